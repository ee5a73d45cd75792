"""BYOL: Grill+20, arXiv:2006.07733."""

from __future__ import annotations

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import update_momentum
from torch import Tensor, nn

from cinn_clusters.embed.method import Method, cosine_momentum, momentum_copy
from cinn_clusters.settings.embedding import BYOLConfig


class BYOL(Method):
    """An encoder predicts what its slow follower sees in the other view; no negatives.

    Args:
        backbone: Encoder.
        config: Its settings.
    """

    def __init__(self, backbone: nn.Module, config: BYOLConfig) -> None:
        super().__init__(backbone)
        self.momentum = config.momentum
        self.head = BYOLProjectionHead(self.num_features, config.hidden, config.outputs)
        self.predictor = BYOLPredictionHead(config.outputs, config.hidden, config.outputs)
        self.key_backbone, self.key_head = momentum_copy(backbone), momentum_copy(self.head)
        self.similarity = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        predicted = [self.predictor(self.head(self.backbone(view))) for view in views]
        with torch.no_grad():
            seen = [self.key_head(self.key_backbone(view)) for view in views]
        return torch.as_tensor(
            0.5 * (self.similarity(predicted[0], seen[1]) + self.similarity(predicted[1], seen[0]))
        )

    def after_step(self, share: float) -> None:
        """Move the follower."""
        momentum = cosine_momentum(self.momentum, share)
        update_momentum(self.backbone, self.key_backbone, momentum)
        update_momentum(self.head, self.key_head, momentum)
