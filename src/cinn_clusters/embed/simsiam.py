"""SimSiam: Chen & He 2021, arXiv:2011.10566."""

from __future__ import annotations

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.method import Method


class SimSiam(Method):
    """An encoder predicts itself in the other view; stopping the gradient keeps it from collapse.

    Args:
        backbone: Encoder.
        hidden: Units of the projection head.
        bottleneck: Units of the prediction head.
        outputs: Outputs of both.
    """

    def __init__(
        self, backbone: nn.Module, *, hidden: int = 512, bottleneck: int = 128, outputs: int = 512
    ) -> None:
        super().__init__(backbone)
        self.head = SimSiamProjectionHead(self.num_features, hidden, outputs)
        self.predictor = SimSiamPredictionHead(outputs, bottleneck, outputs)
        self.similarity = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        first, second = (self.head(self.backbone(view)) for view in views)
        there = self.similarity(self.predictor(first), second.detach())
        return torch.as_tensor(
            0.5 * (there + self.similarity(self.predictor(second), first.detach()))
        )
