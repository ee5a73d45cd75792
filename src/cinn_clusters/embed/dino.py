"""DINO: Caron+21, arXiv:2104.14294."""

from __future__ import annotations

import warnings

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from lightly.models.utils import update_momentum
from torch import Tensor, nn

from cinn_clusters.embed.method import Method, cosine_momentum, momentum_copy
from cinn_clusters.settings.embedding import DINOConfig


class DINO(Method):
    """A student tells prototypes as a slow, sharpened and centred teacher does.

    Args:
        backbone: Encoder.
        config: Its settings.
    """

    def __init__(self, backbone: nn.Module, config: DINOConfig) -> None:
        super().__init__(backbone)
        self.momentum = config.momentum
        sizes = (self.num_features, config.hidden, 64, config.prototypes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # lightly's weight norm
            self.head, self.key_head = DINOProjectionHead(*sizes), DINOProjectionHead(*sizes)
        self.key_head.load_state_dict(self.head.state_dict())  # weight norm cannot be copied
        self.key_head.requires_grad_(False)
        self.key_backbone = momentum_copy(backbone)
        self.divergence = DINOLoss(
            config.prototypes, teacher_temp=config.teacher_temperature, warmup_teacher_temp_epochs=0
        )

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the student with the teacher, views crossed."""
        student = [self.head(self.backbone(view)) for view in views]
        with torch.no_grad():
            teacher = [self.key_head(self.key_backbone(view)) for view in views]
        return torch.as_tensor(self.divergence(teacher, student, epoch=1))

    def after_step(self, share: float) -> None:
        """Move the teacher."""
        momentum = cosine_momentum(self.momentum, share)
        update_momentum(self.backbone, self.key_backbone, momentum)
        update_momentum(self.head, self.key_head, momentum)
