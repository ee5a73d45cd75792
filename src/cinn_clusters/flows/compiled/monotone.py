"""Monotone maps of one target on lanes of draws: the formulas of ``flows.elements``.

Each takes a value and the rows of its parameters, and returns the image and, of a forward map,
log|slope|: samples need none. Everything but the parameters stays in registers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.flows.compiled.elementary import atan, exp, natural_log, softplus
from cinn_clusters.flows.compiled.lanes import (
    absolute,
    choose,
    load,
    maximum,
    minimum,
    splat,
    sqrt,
    store,
)
from cinn_clusters.flows.elements import MIN_SHARE, MIN_SLOPE, SOFT_CLAMP, UNIT_SLOPE
from cinn_clusters.jit import inlined, part

_F32 = np.float32
_ZERO = _F32(0.0)
_ONE = _F32(1.0)
_TWO = _F32(2.0)
_FOUR = _F32(4.0)
_SOFT_CLAMP = _F32(SOFT_CLAMP)
_SHARED = _F32(1.0 - MIN_SHARE)
_MIN_SHARE = _F32(MIN_SHARE)
_MIN_SLOPE = _F32(MIN_SLOPE)
_UNIT_SLOPE = _F32(UNIT_SLOPE)


class ElementShape(NamedTuple):
    """What an element is: a spline of bins on [-bound, bound], or affine where there are none."""

    num_parameters: int
    num_bins: int
    bound: np.float32
    clamp: np.float32


@part
def move(value, parameters, row, shape, is_inverse):
    """Image and log|slope| of the map whose parameters begin at a row."""
    if shape.num_bins:
        return _spline(value, parameters, row, shape, is_inverse)
    return _affine(value, parameters, row, shape, is_inverse)


@part
def _affine(value, parameters, row, shape, is_inverse):
    """Image u exp(s) + t with s = clamp * 0.636 * atan(raw) (Ardizzone+19, section 3.1)."""
    angle = atan(load(parameters, row))
    shift = load(parameters, row + 1)
    log_scale = (shape.clamp * _SOFT_CLAMP) * angle
    if is_inverse:
        return (value - shift) * exp(_ZERO - log_scale), splat(_ZERO)
    return value * exp(log_scale) + shift, log_scale


@inlined
def exponentiate(parameters, row, shape):
    """Replace raw widths or heights by e^raw; the size of a bin is least + scale e^raw."""
    most = load(parameters, row)
    for number in range(row + 1, row + shape.num_bins):
        most = maximum(most, load(parameters, number))
    total = splat(_ZERO)
    for number in range(row, row + shape.num_bins):
        weight = exp(load(parameters, number) - most)
        store(parameters, number, weight)
        total = total + weight
    span = _TWO * shape.bound
    return (span * _SHARED) / total


@part
def _spline(value, parameters, row, shape, is_inverse):
    """Rational-quadratic spline (Durkan+19, section 3.1), the identity outside its box."""
    is_inside = absolute(value) < shape.bound
    inside = choose(is_inside, value, _ZERO)
    widths, heights = row, row + shape.num_bins
    width_scale = exponentiate(parameters, widths, shape)
    height_scale = exponentiate(parameters, heights, shape)

    # the map looks the bin up by its left edge, the inverse by its lower one
    if is_inverse:
        axes = heights, height_scale, widths, width_scale
    else:
        axes = widths, width_scale, heights, height_scale
    edge, size, other_edge, other_size, slope, next_slope, _ = bin_of(
        inside, parameters, row, shape, axes
    )
    d0 = knot_slope(slope)
    d1 = knot_slope(next_slope)
    offset = inside - edge
    if is_inverse:
        mean_slope = size / other_size
        xi = _solved(offset / size, mean_slope, d0, d1)
        image = other_edge + other_size * xi
        return choose(is_inside, image, value), splat(_ZERO)
    mean_slope = other_size / size
    xi = in_unit_interval(offset / size)
    image = other_edge + other_size * _rise(xi, mean_slope, d0, d1)
    log_slope = _log_slope(xi, mean_slope, d0, d1)
    return choose(is_inside, image, value), choose(is_inside, log_slope, _ZERO)


@inlined
def knot_slope(raw):
    """Slope at a knot, one where the raw slope is zero."""
    return _MIN_SLOPE + softplus(raw + _UNIT_SLOPE)


@inlined
def bin_of(inside, parameters, row, shape, axes):
    """Edges and sizes of the bin of each value on both axes, raw slopes at its ends, its number.

    One pass over the bins: each that a value has reached replaces the one before.
    """
    rows, scale, other_rows, other_scale = axes
    least = _TWO * shape.bound * _MIN_SHARE / _F32(shape.num_bins)
    slopes = row + 2 * shape.num_bins
    end = edge = splat(_ZERO - shape.bound)
    other_end = other_edge = edge
    bin_size = size = least + scale * load(parameters, rows)
    bin_other = other_size = least + other_scale * load(parameters, other_rows)
    slope = end_slope = splat(_ZERO)  # raw, of a slope of one at the ends
    next_slope = load(parameters, slopes)
    index = splat(_ZERO)
    for number in range(1, shape.num_bins):
        end = end + bin_size
        other_end = other_end + bin_other
        bin_size = least + scale * load(parameters, rows + number)
        bin_other = least + other_scale * load(parameters, other_rows + number)
        is_reached = end <= inside
        edge = choose(is_reached, end, edge)
        other_edge = choose(is_reached, other_end, other_edge)
        size = choose(is_reached, bin_size, size)
        other_size = choose(is_reached, bin_other, other_size)
        slope = choose(is_reached, load(parameters, slopes + number - 1), slope)
        upper = end_slope
        if number + 1 < shape.num_bins:
            upper = load(parameters, slopes + number)
        next_slope = choose(is_reached, upper, next_slope)
        index = choose(is_reached, _F32(number), index)
    return edge, size, other_edge, other_size, slope, next_slope, index


@inlined
def _rise(xi, mean_slope, d0, d1):
    """Share of the height that is reached at xi (eq. 4)."""
    rest = _ONE - xi
    product = xi * rest
    square = xi * xi
    numerator = mean_slope * square + d0 * product
    return numerator / _denominator(product, mean_slope, d0, d1)


@inlined
def _denominator(product, mean_slope, d0, d1):
    bend = bend_of(mean_slope, d0, d1)
    return mean_slope + bend * product


@inlined
def bend_of(mean_slope, d0, d1):
    """How much the slopes at the ends exceed the mean one, together."""
    twice = _TWO * mean_slope
    return d1 + d0 - twice


@inlined
def _log_slope(xi, mean_slope, d0, d1):
    """Logarithm of the derivative at xi (eq. 5)."""
    rest = _ONE - xi
    product = xi * rest
    at_ends = d1 * (xi * xi) + d0 * (rest * rest)
    inside = _TWO * mean_slope
    numerator = at_ends + inside * product
    ratio = mean_slope / _denominator(product, mean_slope, d0, d1)
    return natural_log(ratio * ratio * numerator)


@inlined
def _solved(rise, mean_slope, d0, d1):
    """Position xi at which a share of the height is reached (eqs. 6-8)."""
    bent = rise * bend_of(mean_slope, d0, d1)
    a = mean_slope - d0 + bent
    b = d0 - bent
    c = _ZERO - mean_slope * rise
    square = b * b
    discriminant = square - _FOUR * a * c
    root = sqrt(maximum(discriminant, _ZERO))
    xi = _TWO * c / (_ZERO - b - root)
    return in_unit_interval(xi)


@inlined
def in_unit_interval(xi):
    """Take back what rounding has put outside a bin."""
    return maximum(minimum(xi, _ONE), _ZERO)
