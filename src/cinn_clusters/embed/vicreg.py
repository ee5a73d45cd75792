"""VICReg: Bardes+22, arXiv:2105.04906."""

from __future__ import annotations

import torch
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.method import Method


class VICReg(Method):
    """Views agree while every feature keeps its variance and features do not repeat each other.

    Args:
        backbone: Encoder.
        outputs: Units of the expander.
        invariance: Weight of the agreement.
        variance: Weight of the variance.
        covariance: Weight of the decorrelation.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        outputs: int = 512,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__(backbone)
        self.head = VICRegProjectionHead(self.num_features, outputs, outputs, num_layers=2)
        self.criterion = VICRegLoss(invariance, variance, covariance, gather_distributed=True)

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Sum of the three terms."""
        first, second = (self.head(self.backbone(view)) for view in views)
        return torch.as_tensor(self.criterion(first, second))
