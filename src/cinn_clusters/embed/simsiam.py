"""SimSiam: Chen & He 2021, arXiv:2011.10566; eqs. 1-4."""

from __future__ import annotations

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.method import Method
from cinn_clusters.settings.embedding import SimSiamConfig


class SimSiam(Method):
    """An encoder predicts itself in the other view; stopping the gradient prevents collapse."""

    def __init__(self, backbone: nn.Module, config: SimSiamConfig) -> None:
        super().__init__(backbone)
        self.head = SimSiamProjectionHead(
            self.num_features, config.hidden, config.outputs
        )
        self.predictor = SimSiamPredictionHead(
            config.outputs, config.bottleneck, config.outputs
        )
        self.similarity = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        first, second = (self.head(self.backbone(view)) for view in views)
        there = self.similarity(self.predictor(first), second.detach())
        back = self.similarity(self.predictor(second), first.detach())
        return torch.as_tensor(0.5 * (there + back))
