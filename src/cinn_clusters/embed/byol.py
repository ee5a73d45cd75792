"""BYOL: Grill+20, arXiv:2006.07733.

The loss is minus the cosine of a prediction q(z) and the slow copy's z' of the other view, which
differs from eq. 2 by a constant and a factor.
"""

from __future__ import annotations

import copy

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.method import MomentumMethod, num_features_of
from cinn_clusters.settings.embedding import BYOLConfig


class BYOL(MomentumMethod):
    """An encoder predicts what its slow copy makes of the other view; no negatives."""

    def __init__(self, backbone: nn.Module, config: BYOLConfig) -> None:
        num_features = num_features_of(backbone)
        head = BYOLProjectionHead(num_features, config.hidden, config.outputs)
        super().__init__(backbone, head, copy.deepcopy(head), config.momentum)
        self.predictor = BYOLPredictionHead(
            config.outputs, config.hidden, config.outputs
        )
        self.similarity = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        first, second = (
            self.predictor(self.head(self.backbone(view))) for view in views
        )
        there = self.similarity(first, self.keys(views[1]))
        back = self.similarity(second, self.keys(views[0]))
        return torch.as_tensor(0.5 * (there + back))
