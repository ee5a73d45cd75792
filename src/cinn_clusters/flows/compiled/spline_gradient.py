r"""Rational-quadratic splines and their gradients on lanes of targets: what training needs.

Reverse-mode differentiation of ``monotone.move`` by hand. A loss changes with the image y of a
value and with the logarithm l of the slope there at rates g_y and g_l; the rate with any other
number n is written g_n. With s = height / width and p = xi (1 - xi),

.. math:: y = y_0 + h \frac{N}{E},\quad l = \log \frac{s^2 M}{E^2},\quad
    N = s \xi^2 + d_0 p,\quad E = s + (d_0 + d_1 - 2 s) p,\quad
    M = d_1 \xi^2 + d_0 (1 - \xi)^2 + 2 s p

(Durkan+19, eqs. 4 and 5). The rates go back to the corner, the size and the slopes of the bin, and
from there through softmax and softplus to the raw parameters. Nothing is kept from the map but
what came in: it costs less to do it again than to read it.

Targets go through in the order of memory, ``WIDTH`` at once, all their parameters in registers or
in the first level of the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.flows.compiled.elementary import exp
from cinn_clusters.flows.compiled.lanes import (
    WIDTH,
    absolute,
    choose,
    load,
    splat,
    store,
)
from cinn_clusters.flows.compiled.monotone import (
    ElementShape,
    bend_of,
    bin_of,
    exponentiate,
    in_unit_interval,
    knot_slope,
    move,
)
from cinn_clusters.flows.elements import MIN_SHARE, UNIT_SLOPE
from cinn_clusters.jit import inlined, kernel

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_SHARED = np.float32(1.0 - MIN_SHARE)
_UNIT_SLOPE = np.float32(UNIT_SLOPE)
NUM_VALUES = 3
"""Rows of registers beside the parameters: the value, and two numbers that come or go."""


class Targets(NamedTuple):
    """Values of N rows of M targets, and numbers of the same shape.

    Args:
        values: What the splines map, (N, M).
        parameters: Raw parameters of the spline of each, (N, P, M).
        image: Images, or the rates g_y of a loss, (N, M).
        log_slope: Logarithms of slopes, or the rates g_l, (N, M).
    """

    values: np.ndarray
    parameters: np.ndarray
    image: np.ndarray
    log_slope: np.ndarray


@kernel
def map_values(targets: Targets, shape: ElementShape, registers: np.ndarray) -> None:
    """Fill images and log-slopes; registers are P + ``NUM_VALUES`` rows of ``WIDTH`` numbers."""
    value_row, image_row, slope_row = _rows_of_values(shape)
    for first in range(0, targets.values.size, WIDTH):
        _take(targets.parameters, registers, first)
        _take_row(targets.values, registers, value_row, first)
        value = load(registers, value_row)
        image, log_slope = move(value, registers, 0, shape, False)
        store(registers, image_row, image)
        store(registers, slope_row, log_slope)
        _put_row(registers, image_row, targets.image, first)
        _put_row(registers, slope_row, targets.log_slope, first)


@kernel
def pull_back(
    targets: Targets,
    shape: ElementShape,
    registers: np.ndarray,
    of_values: np.ndarray,
    of_parameters: np.ndarray,
) -> None:
    """Fill the gradients of a loss with respect to values (N, M) and parameters (N, P, M)."""
    value_row, image_row, slope_row = _rows_of_values(shape)
    for first in range(0, targets.values.size, WIDTH):
        _take(targets.parameters, registers, first)
        _take_row(targets.values, registers, value_row, first)
        _take_row(targets.image, registers, image_row, first)
        _take_row(targets.log_slope, registers, slope_row, first)
        differentiate(registers, shape)
        _put_row(registers, value_row, of_values, first)
        _put(registers, of_parameters, first)


@inlined
def _rows_of_values(shape):
    """Rows behind the parameters: of values, and of two numbers that come or go."""
    first = shape.num_parameters
    return first, first + 1, first + 2


@inlined
def _take(parameters, registers, first):
    """Parameters of ``WIDTH`` targets from one on, the last one repeated."""
    num_rows, num_parameters, num_targets = parameters.shape
    num_values = num_rows * num_targets
    last = num_values - 1
    for lane in range(WIDTH):
        position = min(first + lane, last)
        row, target = divmod(position, num_targets)
        for number in range(num_parameters):
            registers[number, lane] = parameters[row, number, target]


@inlined
def _put(registers, parameters, first):
    num_rows, num_parameters, num_targets = parameters.shape
    num_values = num_rows * num_targets
    num_left = min(WIDTH, num_values - first)
    for lane in range(num_left):
        position = first + lane
        row, target = divmod(position, num_targets)
        for number in range(num_parameters):
            parameters[row, number, target] = registers[number, lane]


@inlined
def _take_row(numbers, registers, row, first):
    flat = numbers.reshape(-1)
    last = flat.size - 1
    for lane in range(WIDTH):
        position = min(first + lane, last)
        registers[row, lane] = flat[position]


@inlined
def _put_row(registers, row, numbers, first):
    flat = numbers.reshape(-1)
    num_left = min(WIDTH, flat.size - first)
    for lane in range(num_left):
        position = first + lane
        flat[position] = registers[row, lane]


@inlined
def differentiate(registers, shape):
    """Replace parameters and value by the rates of the loss with them."""
    value_row, image_row, slope_row = _rows_of_values(shape)
    heights = shape.num_bins
    value = load(registers, value_row)
    is_inside = absolute(value) < shape.bound
    inside = choose(is_inside, value, _ZERO)
    width_scale = exponentiate(registers, 0, shape)
    height_scale = exponentiate(registers, heights, shape)
    axes = 0, width_scale, heights, height_scale
    edge, width, _, height, raw_slope, raw_next, index = bin_of(
        inside, registers, 0, shape, axes
    )
    offset = inside - edge

    # outside the box the map is the identity, whatever the parameters
    g_image = load(registers, image_row)
    g_log_slope = load(registers, slope_row)
    g_y = choose(is_inside, g_image, _ZERO)
    g_l = choose(is_inside, g_log_slope, _ZERO)
    holding = offset, width, height, raw_slope, raw_next
    g_value, g_width, g_height, g_slope, g_next = _of_bin(holding, g_y, g_l)
    g_anywhere = choose(is_inside, g_value, g_image)
    store(registers, value_row, g_anywhere)
    g_edge = _ZERO - g_value
    _spread_sizes(registers, 0, shape, width_scale, (index, g_edge, g_width))
    _spread_sizes(registers, heights, shape, height_scale, (index, g_y, g_height))
    _spread_slopes(registers, shape, index, g_slope, g_next)


@inlined
def _of_bin(holding, g_y, g_l):
    """Rates with the value, the size of its bin and the raw slopes at its ends."""
    offset, width, height, raw_slope, raw_next = holding
    d0 = knot_slope(raw_slope)
    d1 = knot_slope(raw_next)
    per_width = _ONE / width
    s = height * per_width
    xi = in_unit_interval(offset * per_width)
    formula = s, d0, d1, xi
    g_share = g_y * height
    g_s, g_d0, g_d1, g_xi, share = _of_formula(formula, g_share, g_l)

    # s = height / width, xi = offset / width
    g_value = g_xi * per_width
    g_s = g_s * per_width
    g_height = g_s + g_y * share
    shrinking = g_value * xi + g_s * s
    g_slope = g_d0 * _derivative_of_slope(raw_slope)
    g_next = g_d1 * _derivative_of_slope(raw_next)
    return g_value, _ZERO - shrinking, g_height, g_slope, g_next


@inlined
def _of_formula(formula, g_share, g_l):
    """Rates with s, d0, d1 and xi, and the share N / E of the height that is reached."""
    s, d0, d1, xi = formula
    rest = _ONE - xi
    p = xi * rest
    square = xi * xi
    rest_square = rest * rest
    bend = bend_of(s, d0, d1)
    e = s + bend * p
    per_e = _ONE / e
    n = s * square + d0 * p
    share = n * per_e
    at_ends = d1 * square + d0 * rest_square
    twice_s = _TWO * s
    m = at_ends + twice_s * p

    # with N, E and M
    twice_l = _TWO * g_l
    g_n = g_share * per_e
    g_log_e = g_n * n + twice_l
    g_e = _ZERO - g_log_e * per_e
    g_m = g_l / m
    g_bend = g_e * p
    g_at_next = g_m * square
    g_at_first = g_m * rest_square

    # with what they are made of: s is in N, E, M and before their ratio
    g_s = g_n * square + g_e
    twice_p = _TWO * p
    of_both = g_m - g_e
    g_s = g_s + twice_p * of_both
    g_s = g_s + twice_l / s
    g_d0 = g_n * p + g_bend
    g_d0 = g_d0 + g_at_first
    g_d1 = g_bend + g_at_next
    g_p = g_n * d0 + g_e * bend
    g_p = g_p + twice_s * g_m
    turn = rest - xi  # dp / dxi
    next_side = d1 * xi
    first_side = d0 * rest
    of_m = next_side - first_side
    of_n = s * xi
    of_squares = g_n * of_n + g_m * of_m
    g_xi = g_p * turn + _TWO * of_squares
    return g_s, g_d0, g_d1, g_xi, share


@inlined
def _derivative_of_slope(raw):
    """Logistic function, the derivative of softplus, without overflow."""
    value = raw + _UNIT_SLOPE
    size = absolute(value)
    smaller = exp(_ZERO - size)
    larger = choose(value < _ZERO, smaller, _ONE)
    return larger / (_ONE + smaller)


@inlined
def _spread_sizes(registers, row, shape, scale, rates):
    """Replace e^raw of an axis by the rates with raw: bins before that of the value move its edge.

    With q_i = scale e^raw_i they are q_i (g_i - sum_j q_j g_j / sum_j q_j), as softmax has it.
    """
    span = _TWO * shape.bound
    mean = splat(_ZERO)
    for number in range(shape.num_bins):
        place = row + number
        size = scale * load(registers, place)
        rate = _rate(number, rates)
        mean = mean + size * rate
    mean = mean / (span * _SHARED)
    for number in range(shape.num_bins):
        place = row + number
        size = scale * load(registers, place)
        excess = _rate(number, rates) - mean
        store(registers, place, size * excess)


@inlined
def _rate(number, rates):
    """Rate of a loss with the size of a bin, given the number of that which holds the value."""
    index, g_edge, g_size = rates
    bin_number = np.float32(number)
    from_bin_on = choose(index < bin_number, _ZERO, g_size)
    return choose(bin_number < index, g_edge, from_bin_on)


@inlined
def _spread_slopes(registers, shape, index, g_slope, g_next):
    """Replace the raw slopes by the rates with them, zero but at both ends of the bin."""
    first = 2 * shape.num_bins - 1
    for knot in range(1, shape.num_bins):
        position = np.float32(knot) - index  # 0 left of the bin, 1 right of it
        at_right = choose(position > _ONE, _ZERO, g_next)
        at_left = choose(position < _ZERO, _ZERO, g_slope)
        rate = choose(position > _ZERO, at_right, at_left)
        store(registers, first + knot, rate)
