"""DINO: Caron+21, arXiv:2104.14294.

The loss is the cross-entropy of the student with the sharpened and centred teacher (eq. 2), views
crossed.
"""

from __future__ import annotations

import warnings

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from torch import Tensor, nn

from cinn_clusters.embed.method import MomentumMethod, num_features_of
from cinn_clusters.settings.embedding import DINOConfig

_NUM_BOTTLENECK = 64


class DINO(MomentumMethod):
    """A student assigns prototypes as a slow teacher does."""

    def __init__(self, backbone: nn.Module, config: DINOConfig) -> None:
        num_features = num_features_of(backbone)
        sizes = (num_features, config.hidden, _NUM_BOTTLENECK, config.prototypes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # lightly's weight norm
            head, key_head = DINOProjectionHead(*sizes), DINOProjectionHead(*sizes)
        key_head.load_state_dict(head.state_dict())  # weight norm cannot be copied
        super().__init__(backbone, head, key_head, config.momentum)
        self.divergence = DINOLoss(
            config.prototypes,
            teacher_temp=config.teacher_temperature,
            warmup_teacher_temp_epochs=0,
        )

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the student with the teacher, views crossed."""
        student = [self.head(self.backbone(view)) for view in views]
        teacher = [self.keys(view) for view in views]
        return torch.as_tensor(self.divergence(teacher, student, epoch=1))
