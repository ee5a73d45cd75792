"""Elements of flows as expressions: the formulas of ``flows.elements`` with the parameters last.

An element maps ``u`` (..., M) with ``parameters`` (..., M, P). Beyond the box of a spline u is
clamped onto its edge, where the spline is the identity of slope one, and what was cut off is added
again: nothing is chosen by a mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinn_clusters.flows.elements import (
    MIN_SHARE,
    MIN_SLOPE,
    SOFT_CLAMP,
    UNIT_SLOPE,
    Affine,
    Element,
    Spline,
)
from cinn_clusters.storage.onnx.expressions import Expression

_NUM_AXES = 5
"""Axes of parameters: members, turns, objects, targets, parameters."""


def inverse(element: Element, z: Expression, parameters: Expression) -> Expression:
    """Map back to data."""
    if isinstance(element, Spline):
        return _inverse_spline(element, z, parameters)
    log_scale, shift = _log_scale_and_shift(element, parameters)
    centred = z - shift
    return centred * (-log_scale).exp


def forward(
    element: Element, u: Expression, parameters: Expression
) -> tuple[Expression, Expression]:
    """Map towards latent space, with log|slope|."""
    if isinstance(element, Spline):
        return _spline(element, u, parameters)
    log_scale, shift = _log_scale_and_shift(element, parameters)
    scaled = u * log_scale.exp
    return scaled + shift, log_scale


def _log_scale_and_shift(
    element: Element, parameters: Expression
) -> tuple[Expression, Expression]:
    assert isinstance(element, Affine)
    raw = parameters.take(0)
    largest = element.clamp * SOFT_CLAMP
    return raw.apply("Atan") * largest, parameters.take(1)


def _spline(
    spline: Spline, u: Expression, parameters: Expression
) -> tuple[Expression, Expression]:
    value = u.clip(-spline.bound, spline.bound)
    knots = _Knots.read(spline, parameters)
    segment = knots.bin_of(value, knots.left)
    offset = value - segment.left
    share = offset / segment.width
    xi = share.clip(0.0, 1.0)
    rise = segment.height * segment.rise(xi)
    excess = u - value
    return segment.bottom + rise + excess, segment.log_slope(xi)


def _inverse_spline(
    spline: Spline, z: Expression, parameters: Expression
) -> Expression:
    value = z.clip(-spline.bound, spline.bound)
    knots = _Knots.read(spline, parameters)
    segment = knots.bin_of(value, knots.bottom)
    offset = value - segment.bottom
    xi = segment.solve(offset / segment.height)
    advance = segment.width * xi
    excess = z - value
    return segment.left + advance + excess


@dataclass(frozen=True, eq=False)
class _Bin:
    """The bin of each value: its lower corner, size, and the slopes at both ends; all (..., M)."""

    left: Expression
    width: Expression
    bottom: Expression
    height: Expression
    slope: Expression
    next_slope: Expression

    @property
    def mean_slope(self) -> Expression:
        return self.height / self.width

    @property
    def bend(self) -> Expression:
        ends = self.next_slope + self.slope
        return ends - self.mean_slope * 2.0

    def rise(self, xi: Expression) -> Expression:
        """Share of the height that is reached at xi (Durkan+19, eq. 4)."""
        s, product = self.mean_slope, xi - xi.square
        from_slope = self.slope * product
        numerator = s * xi.square + from_slope
        bent = self.bend * product
        return numerator / (s + bent)

    def log_slope(self, xi: Expression) -> Expression:
        """Logarithm of the derivative at xi (Durkan+19, eq. 5)."""
        s = self.mean_slope
        remainder = -xi + 1.0
        product = xi * remainder

        # slopes of both ends, weighted by the squared distance to the other end
        at_end = self.next_slope * xi.square
        at_begin = self.slope * remainder.square
        inside = s * product * 2.0
        numerator = at_begin + at_end + inside
        bent = self.bend * product
        denominator = s + bent
        ratio = s / denominator
        return numerator.log + ratio.log * 2.0

    def solve(self, rise: Expression) -> Expression:
        """Position xi at which a share of the height is reached (Durkan+19, eqs. 6-8)."""
        s = self.mean_slope
        bent = rise * self.bend

        # coefficients of the quadratic, divided by the height
        a = s - self.slope + bent
        b = self.slope - bent
        minus_c = s * rise

        # the root in the form that does not cancel
        product = a * minus_c * 4.0
        discriminant = b.square + product
        root = discriminant.relu.sqrt
        xi = minus_c * 2.0 / (b + root)
        return xi.clip(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class _Knots:
    """Lower corners and sizes of the B bins, (..., M, B); slopes at their ends, (..., M, B + 1)."""

    left: Expression
    width: Expression
    bottom: Expression
    height: Expression
    slopes: Expression

    @classmethod
    def read(cls, spline: Spline, parameters: Expression) -> _Knots:
        num_bins = spline.num_bins
        numbers = np.arange(spline.num_parameters)
        parts = np.split(numbers, (num_bins, 2 * num_bins))
        widths, heights, slopes = map(parameters.take, parts)
        left, width = _positions(spline, widths)
        bottom, height = _positions(spline, heights)
        raised = slopes + UNIT_SLOPE
        inner = raised.softplus + MIN_SLOPE

        # slopes of one at both ends join the identity outside smoothly
        last_axis = np.arange(_NUM_AXES) == _NUM_AXES - 1
        once = parameters.graph.constant(last_axis.astype(np.int64))
        return cls(left, width, bottom, height, inner.padded(once, once, 1.0))

    def bin_of(self, value: Expression, edges: Expression) -> _Bin:
        """Look up the bin of each value (..., M) between lower edges (..., M, B)."""
        column = value.unsqueezed()
        is_reached = column.compare("GreaterOrEqual", edges)
        next_knot = is_reached.cast(np.int64).sum().unsqueezed()
        index = next_knot - 1
        at_begin = self.left, self.width, self.bottom, self.height, self.slopes
        left, width, bottom, height, slope = (values.pick(index) for values in at_begin)
        next_slope = self.slopes.pick(next_knot)
        return _Bin(left, width, bottom, height, slope, next_slope)


def _positions(spline: Spline, raw: Expression) -> tuple[Expression, Expression]:
    """Lower ends in [-bound, bound] and lengths of bins of raw shares."""
    num_bins = spline.num_bins
    whole = 2.0 * spline.bound
    shortest = whole * MIN_SHARE / num_bins
    free = whole * (1.0 - MIN_SHARE)
    lengths = raw.apply("Softmax", axis=-1) * free + shortest

    # the sum of the lengths before each bin, as a product
    square = np.ones((num_bins, num_bins))
    ends = lengths @ np.triu(square, 1)
    return ends - spline.bound, lengths
