"""What every method of learning an encoder offers to the training loop."""

from __future__ import annotations

import copy
import math

import torch
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from cinn_clusters.rng import stream_seed


class Method(nn.Module):
    """A backbone with the heads and the loss of one method.

    Args:
        backbone: Encoder, (B, 1, H, H) -> (B, ``num_features``).
    """

    num_views = 2

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_features = num_features_of(backbone)

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            views: Views of the same objects, each (B, 1, H, H).
            clusters: Number of the cluster of each, (B,).
            labels: Ground truth of each, (B, C); only supervised methods look.
        """
        raise NotImplementedError

    def after_step(self, share: float) -> None:
        """Called after each step with the share of the training that is done."""


class MomentumMethod(Method):
    """A method with a copy of backbone and head that follows them slowly and is not trained.

    Args:
        backbone: Encoder.
        head: Head behind it.
        key_head: A copy of the head.
        momentum: Of the slow copy at the start; rises to one along a cosine.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, key_head: nn.Module, momentum: float
    ) -> None:
        super().__init__(backbone)
        self.momentum, self.head = momentum, head
        self.key_backbone, self.key_head = copy.deepcopy(backbone), key_head
        deactivate_requires_grad(self.key_backbone)
        deactivate_requires_grad(self.key_head)

    def keys(self, view: Tensor) -> Tensor:
        """Outputs of the slow copy, without gradient."""
        with torch.no_grad():
            return torch.as_tensor(self.key_head(self.key_backbone(view)))

    def momentum_at(self, share: float) -> float:
        """Momentum at a share of the training."""
        return cosine_momentum(self.momentum, share)

    def after_step(self, share: float) -> None:
        """Move the slow copy."""
        momentum = self.momentum_at(share)
        update_momentum(self.backbone, self.key_backbone, momentum)
        update_momentum(self.head, self.key_head, momentum)


def num_features_of(backbone: nn.Module) -> int:
    """Length of the vectors that an encoder gives."""
    return int(backbone.num_features)  # type: ignore[arg-type]


def cosine_momentum(start: float, share: float) -> float:
    """Momentum that rises from ``start`` to one (Grill+20, arXiv:2006.07733, section 3.2)."""
    return 1.0 - (1.0 - start) * (math.cos(math.pi * share) + 1.0) / 2.0


class seeded:  # noqa: N801 - reads as a statement
    """Within it torch draws from a named stream; the global generator is left as it was."""

    def __init__(self, seed: int, *name: str | int) -> None:
        self.number = stream_seed(seed, *name)

    def __enter__(self) -> None:
        self.before: Tensor = torch.get_rng_state()
        torch.manual_seed(self.number)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self.before)
