"""GLOW affine coupling, two-sided and conditional (Kingma & Dhariwal 2018; Ardizzone+19, arXiv:1907.02392)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import stacked_mlp

SOFT_CLAMP = 0.636
"""About 2/pi: scales atan to (-1, 1), so that log-scales stay within +-clamp."""


class AffineCoupling(Transform):
    """Affine coupling of both halves, each scaled and shifted given the other half and x.

    With u = (u1, u2): v1 = u1 * exp(s2) + t2 with (s2, t2) = f2(u2, x), then
    v2 = u2 * exp(s1) + t1 with (s1, t1) = f1(v1, x); every s is clamp * 0.636 * atan(raw s).

    Args:
        num_targets: D; the first half holds round(D / 2) of them (half to even, as FrEIA), so that with D = 1 the one
            target is scaled given x alone.
        num_observables: L.
        num_members: K.
        num_hidden: Units of the hidden layer of each sub-network.
        clamp: Largest |log-scale|.
        generator: Source of the initial weights.
        zero_last: Start as the identity.
    """

    def __init__(
        self,
        num_targets: int,
        num_observables: int,
        generator: torch.Generator,
        *,
        num_members: int = 1,
        num_hidden: int = 128,
        clamp: float = 2.0,
        zero_last: bool = False,
    ) -> None:
        super().__init__(num_targets, num_observables)
        self.clamp = clamp
        first = round(num_targets / 2)
        second = num_targets - first
        self.sizes = (first, second)

        def subnet(num_given: int, num_moved: int) -> nn.Module:
            layers = (num_given + num_observables, num_hidden, 2 * num_moved)
            return stacked_mlp(num_members, layers, generator, zero_last=zero_last)

        self.subnet1 = subnet(first, second)
        self.subnet2 = subnet(second, first) if first else None

    def _scale_shift(self, subnet: nn.Module, given: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = subnet(torch.cat((given, x), -1)).chunk(2, -1)
        return self.clamp * SOFT_CLAMP * torch.atan(raw), shift

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        u1, u2 = u.split(self.sizes, -1)
        log_det = u.new_zeros(u.shape[:-1])
        if self.subnet2 is not None:
            s2, t2 = self._scale_shift(self.subnet2, u2, x)
            u1 = u1 * s2.exp() + t2
            log_det = s2.sum(-1)
        s1, t1 = self._scale_shift(self.subnet1, u1, x)
        return torch.cat((u1, u2 * s1.exp() + t1), -1), log_det + s1.sum(-1)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z1, z2 = z.split(self.sizes, -1)
        s1, t1 = self._scale_shift(self.subnet1, z1, x)
        z2 = (z2 - t1) * (-s1).exp()
        log_det = -s1.sum(-1)
        if self.subnet2 is not None:
            s2, t2 = self._scale_shift(self.subnet2, z2, x)
            z1 = (z1 - t2) * (-s2).exp()
            log_det = log_det - s2.sum(-1)
        return torch.cat((z1, z2), -1), log_det
