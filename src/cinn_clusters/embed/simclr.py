"""SimCLR: Chen+20, arXiv:2002.05709."""

from __future__ import annotations

from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.contrast import info_nce
from cinn_clusters.embed.method import Method


class SimCLR(Method):
    """Two views of a map find each other among all maps of a batch.

    Args:
        backbone: Encoder.
        temperature: Of the cosines.
        hidden: Units of the projection head.
        outputs: Its outputs.
    """

    def __init__(
        self, backbone: nn.Module, *, temperature: float = 0.2, hidden: int = 256, outputs: int = 64
    ) -> None:
        super().__init__(backbone)
        self.temperature = temperature
        self.head = SimCLRProjectionHead(self.num_features, hidden, outputs)

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        first, second = (self.head(self.backbone(view)) for view in views)
        there = info_nce(first, second, clusters, self.temperature, same=True)
        return 0.5 * (there + info_nce(second, first, clusters, self.temperature, same=True))
