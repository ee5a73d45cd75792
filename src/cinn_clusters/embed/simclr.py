"""SimCLR: Chen+20, arXiv:2002.05709."""

from __future__ import annotations

from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.contrast import info_nce
from cinn_clusters.embed.method import Method
from cinn_clusters.settings.embedding import SimCLRConfig


class SimCLR(Method):
    """Two views of a map find each other among all maps of a batch.

    Args:
        backbone: Encoder.
        config: Its settings.
    """

    def __init__(self, backbone: nn.Module, config: SimCLRConfig) -> None:
        super().__init__(backbone)
        self.temperature = config.temperature
        self.head = SimCLRProjectionHead(self.num_features, config.hidden, config.outputs)

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        first, second = (self.head(self.backbone(view)) for view in views)
        there = info_nce(first, second, clusters, self.temperature, same=True)
        return 0.5 * (there + info_nce(second, first, clusters, self.temperature, same=True))
