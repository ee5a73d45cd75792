"""A conditional flow: a chain of transforms onto a standard Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cinn_clusters.errors import DataError
from cinn_clusters.flows.matching import FlowMatching
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import Dropout

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Flow(Transform):
    """Chain of transforms with a standard Gaussian at its latent end, for K members at once.

    Args:
        transforms: Layers from data to latent space; all of the same D and L.
        num_members: K.
    """

    def __init__(self, transforms: Sequence[Transform], num_members: int = 1) -> None:
        first = transforms[0]
        super().__init__(first.num_targets, first.num_observables)
        self.transforms = nn.ModuleList(transforms)
        self.num_members = num_members

    def _check(self, u: Tensor, x: Tensor) -> None:
        super()._check(u, x)
        if len(u) != self.num_members:
            name, shape = type(self).__name__, tuple(u.shape)
            expected = f"{self.num_members} members"
            got = f"{len(u)} (K, B, D = {shape})"
            raise DataError(name, expected, got)

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = torch.zeros_like(u[..., 0])
        for transform in self.transforms:
            u, step = transform(u, x)
            log_det = log_det + step
        return u, log_det

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = torch.zeros_like(z[..., 0])
        for transform in reversed(self.transforms):
            assert isinstance(transform, Transform)
            z, step = transform.inverse(z, x)
            log_det = log_det + step
        return z, log_det

    def log_prob(self, u: Tensor, x: Tensor) -> Tensor:
        """Log-density of each member, log N(z; 0, 1) + log|det dz/du|.

        Args:
            u: Standardised unbounded targets, (K, B, D).
            x: Standardised observables, (K, B, L).

        Returns:
            (K, B).
        """
        z, log_det = self(u, x)
        log_normal = -0.5 * z.square() - HALF_LOG_2PI
        log_prob: Tensor = log_normal.sum(-1) + log_det
        return log_prob

    def loss(self, u: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
        """What training lowers: -log_prob, or the matching loss of a velocity field.

        Args:
            u: Standardised unbounded targets, (K, B, D).
            x: Standardised observables, (K, B, L).
            generator: Source of all that is random in training: dropout, times and noise.

        Returns:
            (K, B).
        """
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator
        first = self.transforms[0]
        if isinstance(first, FlowMatching):
            return first.matching_loss(u, x, generator)
        return -self.log_prob(u, x)

    def sample(self, noise: Tensor, x: Tensor) -> Tensor:
        """Turn Gaussian noise (K, B, D) into targets (K, B, D) given x (K, B, L)."""
        with torch.no_grad():
            u, _ = self.inverse(noise, x)
        return u
