"""Monotone maps of one target each, their parameters given by a network: what couplings and autoregressions apply.

An element maps ``u`` (..., M) with ``parameters`` (..., P, M) to its image and log|slope|, both
(..., M). Parameters of zero give the identity, so that a network that starts at zero starts a flow
as the identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softmax, softplus

SOFT_CLAMP = 0.636
"""About 2/pi: scales atan to (-1, 1), so that log-scales stay within +-clamp."""
MIN_SHARE = 1e-3
"""Smallest width and height of a bin, as a share of the mean one."""
MIN_SLOPE = 1e-3
UNIT_SLOPE = math.log(math.expm1(1.0 - MIN_SLOPE))
"""Softplus of it is a slope of one."""


class Element(Protocol):
    """What a coupling or an autoregression needs to know of an element."""

    @property
    def num_parameters(self) -> int:
        """P, numbers a target."""
        ...

    def forward(self, u: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Map towards latent space."""
        ...

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Map back."""
        ...


@dataclass(frozen=True)
class Affine:
    """Scale and shift, with the soft clamp of GLOW-type cINNs: z = u exp(clamp * 0.636 * atan(s)) + t.

    Args:
        clamp: Largest |log-scale|.

    References:
        Ardizzone+19, arXiv:1907.02392, section 3.1.
    """

    clamp: float = 2.0
    num_parameters: int = 2

    def _log_scale(self, parameters: Tensor) -> Tensor:
        return self.clamp * SOFT_CLAMP * torch.atan(parameters[..., 0, :])

    def forward(self, u: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return u exp(s) + t and s."""
        log_scale = self._log_scale(parameters)
        return u * log_scale.exp() + parameters[..., 1, :], log_scale

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return (z - t) exp(-s) and -s."""
        log_scale = self._log_scale(parameters)
        return (z - parameters[..., 1, :]) * (-log_scale).exp(), -log_scale


@dataclass(frozen=True)
class Spline:
    """Monotone rational-quadratic spline on [-bound, bound], the identity outside.

    Args:
        num_bins: B.
        bound: Half the width of the interval.

    References:
        Durkan+19, Neural spline flows, arXiv:1906.04032, section 3.1; Gregory & Delbourgo (1982).
    """

    num_bins: int = 8
    bound: float = 5.0

    @property
    def num_parameters(self) -> int:
        """Widths, heights and inner slopes."""
        return 3 * self.num_bins - 1

    def forward(self, u: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the spline."""
        left, bottom, slopes = self._knots(parameters)
        inside = u.abs() < self.bound
        value = torch.where(inside, u, 0.0)
        bin_ = _Bin.holding(value, left, left, bottom, slopes)
        xi = ((value - bin_.left) / bin_.width).clamp(0.0, 1.0)
        image = bin_.bottom + bin_.height * bin_.rise(xi)  # Durkan+19, eq. 4
        return torch.where(inside, image, u), torch.where(inside, bin_.log_slope(xi), 0.0)

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Solve the quadratic of the bin."""
        left, bottom, slopes = self._knots(parameters)
        inside = z.abs() < self.bound
        value = torch.where(inside, z, 0.0)
        bin_ = _Bin.holding(value, bottom, left, bottom, slopes)
        xi = bin_.solve((value - bin_.bottom) / bin_.height)
        return torch.where(inside, bin_.left + bin_.width * xi, z), torch.where(
            inside, -bin_.log_slope(xi), 0.0
        )

    def _knots(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Abscissae, ordinates and slopes of the knots, (B + 1, ..., M) each: one bin of all
        values is one block.
        """
        first = parameters.movedim(-2, 0).contiguous()
        widths, heights, slopes = first.split((self.num_bins, self.num_bins, self.num_bins - 1))
        at_ends = slopes.new_ones(1, *slopes.shape[1:])
        inner = MIN_SLOPE + softplus(slopes + UNIT_SLOPE)
        return (
            self._positions(widths),
            self._positions(heights),
            torch.cat((at_ends, inner, at_ends)),
        )

    def _positions(self, raw: Tensor) -> Tensor:
        shares = MIN_SHARE / self.num_bins + (1.0 - MIN_SHARE) * softmax(raw, 0)
        inner = self.bound * (2.0 * shares.cumsum(0)[:-1] - 1.0)
        end = raw.new_full((1, *raw.shape[1:]), self.bound)
        return torch.cat((-end, inner, end))


@dataclass(frozen=True)
class _Bin:
    """The bin of each value: its lower corner, size, and the slopes at both ends; all (..., M)."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor

    @classmethod
    def holding(
        cls, value: Tensor, edges: Tensor, left: Tensor, bottom: Tensor, slopes: Tensor
    ) -> _Bin:
        index = (value >= edges[1:-1]).sum(0, keepdim=True)

        def at(knots: Tensor, offset: int = 0) -> Tensor:
            return knots.gather(0, index + offset)[0]

        lower, floor = at(left), at(bottom)
        return cls(
            lower, at(left, 1) - lower, floor, at(bottom, 1) - floor, at(slopes), at(slopes, 1)
        )

    @property
    def mean_slope(self) -> Tensor:
        return self.height / self.width

    @property
    def bend(self) -> Tensor:
        return self.next_slope + self.slope - 2.0 * self.mean_slope

    def rise(self, xi: Tensor) -> Tensor:
        s, both = self.mean_slope, xi * (1.0 - xi)
        return (s * xi.square() + self.slope * both) / (s + self.bend * both)

    def log_slope(self, xi: Tensor) -> Tensor:
        s, both = self.mean_slope, xi * (1.0 - xi)
        numerator = (
            self.next_slope * xi.square() + 2.0 * s * both + self.slope * (1.0 - xi).square()
        )
        return (
            2.0 * s.log() + numerator.log() - 2.0 * (s + self.bend * both).log()
        )  # Durkan+19, eq. 5

    def solve(self, rise: Tensor) -> Tensor:
        """Position xi at which a share of the height is reached (Durkan+19, eqs. 6-8, divided by
        the height).
        """
        s = self.mean_slope
        a = s - self.slope + rise * self.bend
        b = self.slope - rise * self.bend
        c = -s * rise
        root = (b.square() - 4.0 * a * c).clamp(min=0.0).sqrt()
        return (2.0 * c / (-b - root)).clamp(0.0, 1.0)
