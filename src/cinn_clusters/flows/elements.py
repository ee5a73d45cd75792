"""Monotone maps of one target each: what couplings and autoregressions apply.

An element maps ``u`` (..., M) with ``parameters`` (..., P, M), which a network gives, to its image
and log|slope|, both (..., M). Parameters of zero give the identity, so that a network that starts
at zero starts a flow as the identity.
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
    """Scale and shift with a soft clamp: z = u exp(clamp * 0.636 * atan(s)) + t.

    Ardizzone+19, arXiv:1907.02392, section 3.1; ``clamp`` is the largest |log-scale|.
    """

    clamp: float
    num_parameters: int = 2

    def forward(self, u: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return u exp(s) + t and s."""
        log_scale, shift = self._log_scale_and_shift(parameters)
        return u * log_scale.exp() + shift, log_scale

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return (z - t) exp(-s) and -s."""
        log_scale, shift = self._log_scale_and_shift(parameters)
        return (z - shift) * (-log_scale).exp(), -log_scale

    def _log_scale_and_shift(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = parameters.unbind(-2)
        return self.clamp * SOFT_CLAMP * torch.atan(raw), shift


@dataclass(frozen=True)
class Spline:
    """Monotone rational-quadratic spline of B bins on [-bound, bound], the identity outside.

    Durkan+19, Neural spline flows, arXiv:1906.04032, section 3.1; Gregory & Delbourgo (1982).
    """

    num_bins: int
    bound: float

    @property
    def num_parameters(self) -> int:
        """Widths, heights and inner slopes."""
        return 3 * self.num_bins - 1

    def forward(self, u: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the spline."""
        is_inside = u.abs() < self.bound
        value = torch.where(is_inside, u, 0.0)
        left, bottom, slopes = self._knots(parameters)
        segment = _Bin.holding(value, left, left, bottom, slopes)

        # position in the bin; rounding may leave it by an ulp
        offset = value - segment.left
        xi = (offset / segment.width).clamp(0.0, 1.0)
        rise = segment.height * segment.rise(xi)
        image = segment.bottom + rise

        # outside the box the map is the identity
        log_slope = torch.where(is_inside, segment.log_slope(xi), 0.0)
        return torch.where(is_inside, image, u), log_slope

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Solve the quadratic of the bin."""
        is_inside = z.abs() < self.bound
        value = torch.where(is_inside, z, 0.0)
        left, bottom, slopes = self._knots(parameters)
        segment = _Bin.holding(value, bottom, left, bottom, slopes)

        # share of the height of the bin that is reached
        offset = value - segment.bottom
        rise = offset / segment.height
        xi = segment.solve(rise)
        image = segment.left + segment.width * xi

        # the slope of the inverse is one over that of the map
        log_slope = torch.where(is_inside, -segment.log_slope(xi), 0.0)
        return torch.where(is_inside, image, z), log_slope

    def _knots(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Abscissae, ordinates and slopes of the knots, (B + 1, ..., M) each, bins first."""
        # bins come first, so that a bin of all values is one block of memory
        bins_first = parameters.movedim(-2, 0).contiguous()
        sizes = (self.num_bins, self.num_bins, self.num_bins - 1)
        widths, heights, slopes = bins_first.split(sizes)
        inner = MIN_SLOPE + softplus(slopes + UNIT_SLOPE)

        # slopes of one at both ends join the identity outside smoothly
        end = slopes.new_ones(1, *slopes.shape[1:])
        slopes = torch.cat((end, inner, end))
        return self._positions(widths), self._positions(heights), slopes

    def _positions(self, raw: Tensor) -> Tensor:
        smallest = MIN_SHARE / self.num_bins
        shares = smallest + (1.0 - MIN_SHARE) * softmax(raw, 0)

        # shares of [0, 1] become positions in [-bound, bound]
        edges = shares.cumsum(0)[:-1]
        inner = self.bound * (2.0 * edges - 1.0)
        end = raw.new_full((1, *raw.shape[1:]), self.bound)
        return torch.cat((-end, inner, end))


@dataclass(frozen=True, eq=False)
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
        """Look up the bin of each value between edges; knots are (B + 1, ..., M)."""
        index = (value >= edges[1:-1]).sum(0, keepdim=True)
        lower, upper = _both_ends(left, index)
        floor, ceiling = _both_ends(bottom, index)
        slope, next_slope = _both_ends(slopes, index)
        return cls(lower, upper - lower, floor, ceiling - floor, slope, next_slope)

    @property
    def mean_slope(self) -> Tensor:
        return self.height / self.width

    @property
    def bend(self) -> Tensor:
        return self.next_slope + self.slope - 2.0 * self.mean_slope

    def rise(self, xi: Tensor) -> Tensor:
        """Share of the height that is reached at xi (Durkan+19, eq. 4)."""
        s, product = self.mean_slope, xi * (1.0 - xi)
        numerator = s * xi.square() + self.slope * product
        return numerator / (s + self.bend * product)

    def log_slope(self, xi: Tensor) -> Tensor:
        """Logarithm of the derivative at xi (Durkan+19, eq. 5)."""
        s = self.mean_slope
        rest = 1.0 - xi
        product = xi * rest

        # slopes of both ends, weighted by the squared distance to the other end
        at_ends = self.next_slope * xi.square() + self.slope * rest.square()
        numerator = at_ends + 2.0 * s * product
        denominator = s + self.bend * product
        return 2.0 * s.log() + numerator.log() - 2.0 * denominator.log()

    def solve(self, rise: Tensor) -> Tensor:
        """Position xi at which a share of the height is reached (Durkan+19, eqs. 6-8)."""
        s = self.mean_slope
        bent = rise * self.bend

        # coefficients of the quadratic, divided by the height
        a = s - self.slope + bent
        b = self.slope - bent
        c = -s * rise

        # the root in the form that does not cancel
        discriminant = b.square() - 4.0 * a * c
        root = discriminant.clamp(min=0.0).sqrt()
        xi = 2.0 * c / (-b - root)
        return xi.clamp(0.0, 1.0)


def _both_ends(knots: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Values of knots (B + 1, ..., M) at the bins of an index (1, ..., M), and at the next ones."""
    return knots.gather(0, index)[0], knots.gather(0, index + 1)[0]
