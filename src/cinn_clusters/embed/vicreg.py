"""VICReg: Bardes+22, arXiv:2105.04906; eq. 6."""

from __future__ import annotations

import torch
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.method import Method
from cinn_clusters.settings.embedding import VICRegConfig


class VICReg(Method):
    """Views agree while every feature keeps its variance and features do not repeat each other."""

    def __init__(self, backbone: nn.Module, config: VICRegConfig) -> None:
        super().__init__(backbone)
        sizes = (self.num_features, config.outputs, config.outputs)
        weights = (config.invariance, config.variance, config.covariance)
        self.head = VICRegProjectionHead(*sizes, num_layers=2)
        self.criterion = VICRegLoss(*weights, gather_distributed=True)

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Sum of the three terms."""
        first, second = (self.head(self.backbone(view)) for view in views)
        return torch.as_tensor(self.criterion(first, second))
