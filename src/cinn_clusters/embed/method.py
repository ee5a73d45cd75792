"""What every self-supervised method offers to the training loop."""

from __future__ import annotations

import copy

import torch
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
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            views: Looks at the same objects, each (B, 1, H, H).
            clusters: Number of the cluster of each, (B,).
            labels: What is known of each, (B, C); only supervised methods look.
        """
        raise NotImplementedError

    def after_step(self, share: float) -> None:
        """Called after each step with the share of the training that is done; moves momentum
        encoders.
        """


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy that follows and is not trained."""
    follower = copy.deepcopy(module)
    for parameter in follower.parameters():
        parameter.requires_grad = False
    return follower


def cosine_momentum(start: float, share: float) -> float:
    """Momentum that rises from ``start`` to one along a cosine (Grill+20, arXiv:2006.07733, sec.
    3.2).
    """
    return float(1.0 - (1.0 - start) * (torch.cos(torch.tensor(torch.pi * share)) + 1.0) / 2.0)


class seeded:  # noqa: N801 - reads as a statement
    """Within it torch draws from a stream of one's own; the global generator is left as it was."""

    def __init__(self, seed: int, *name: str | int) -> None:
        self.number = stream_seed(seed, *name)

    def __enter__(self) -> None:
        self.before: Tensor = torch.get_rng_state()
        torch.manual_seed(self.number)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self.before)
