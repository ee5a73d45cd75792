r"""Log-density and its gradient with respect to the targets, on lanes of draws.

Reverse-mode differentiation of ``chain.transform`` towards latent space: with z the image of u,

.. math:: \log q(u \mid x) = \sum_d \Big( -\frac{z_d^2}{2} - \frac{\log 2 \pi}{2} \Big)
    + \sum \log |\text{slopes}| + \text{const},

the rates with z are -z, those with the log-slopes 1. They go back step by step: through the map of
each target (``spline_gradient``), its network by transposed products, and the mixing before it. A
tile is one register of draws; what its networks computed on the way out is kept for the way back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.flows.compiled.chain import (
    Plan,
    Registers,
    Stream,
    deeper_layers,
    first_layer,
    layers_a_step,
    mix,
    move_targets,
    span_of,
)
from cinn_clusters.flows.compiled.draws import DrawArrays, keep_lanes, see
from cinn_clusters.flows.compiled.elementary import atan, exp
from cinn_clusters.flows.compiled.lanes import (
    NUM_UNITS,
    WIDTH,
    add_sum,
    choose,
    load,
    load_rows,
    splat,
    store,
)
from cinn_clusters.flows.compiled.spline_gradient import differentiate
from cinn_clusters.flows.elements import SOFT_CLAMP
from cinn_clusters.jit import inlined, kernel, part

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_HALF_LOG_2PI = np.float32(0.5 * np.log(2.0 * np.pi))
_SOFT_CLAMP = np.float32(SOFT_CLAMP)


class Offsets(NamedTuple):
    """Where weights begin.

    Args:
        layers: Those of each layer of each step, behind the first of its block, (S layers,).
        block: Weights of a block, with the mixing before it.
    """

    layers: np.ndarray
    block: int


class WayOut(NamedTuple):
    """What a tile leaves on its way to latent space.

    Args:
        inputs: Targets at the begin of each block, (blocks, rows, ``WIDTH``).
        hidden: Hidden units of each network of each block, (blocks, 1 or S, rows, ``WIDTH``).
        parameters: Raw parameters of each step of each block, (blocks, S, rows, ``WIDTH``).
    """

    inputs: np.ndarray
    hidden: np.ndarray
    parameters: np.ndarray


class Rates(NamedTuple):
    """Rates of the log-density with what the registers hold; rows that fill up a block are zero.

    Args:
        targets: With the images of a block, then with the targets before its mixing.
        inputs: With its targets.
        hidden: With its hidden units.
        parameters: With the parameters of a step.
        element: Room for one map: its parameters, value, and rates with image and log-slope.
    """

    targets: np.ndarray
    inputs: np.ndarray
    hidden: np.ndarray
    parameters: np.ndarray
    element: np.ndarray


class Memory(NamedTuple):
    """All that a thread needs."""

    registers: Registers
    way_out: WayOut
    rates: Rates


@kernel
def run_gradient(
    plan: Plan, stream: Stream, offsets: Offsets, draws: DrawArrays, memory: Memory
) -> None:
    """Fill results (K, M, 1 + D) with log-densities and their gradients at the points."""
    registers = memory.registers
    points = draws.points[0]
    num_draws = len(points)
    num_each = num_draws // len(draws.x)
    num_weights = len(stream.chain) // len(stream.log_det)
    for member in range(len(draws.results)):
        first = member * num_weights
        log_det = stream.log_det[member]
        for begin in range(0, num_draws, WIDTH):
            end = min(begin + WIDTH, num_draws)
            results = draws.results[member, begin:end]
            see(stream, member, draws.x, begin, num_each, registers)
            keep_lanes(registers)
            _fill(plan, points, begin, registers)
            _go_out(plan, stream.chain, first, memory)
            _put_density(plan, log_det, results, registers)
            _come_back(plan, stream.chain, first, offsets, memory)
            _put_gradient(plan, results, memory.rates)


@inlined
def _fill(plan, points, begin, registers):
    """Put ``WIDTH`` points from one on into lanes, the last one repeated."""
    last = len(points) - 1
    row = begin
    for lane in range(WIDTH):
        for target in range(plan.num_targets):
            value = points[row, target]
            registers.targets[target, lane] = value
        row = min(row + 1, last)


@inlined
def _put_density(plan, log_det, results, registers):
    for lane in range(len(results)):
        total = log_det + registers.log_det[0, lane]
        for target in range(plan.num_targets):
            z = registers.targets[target, lane]
            square = z * z
            total -= _HALF * square + _HALF_LOG_2PI
        results[lane, 0] = total


@inlined
def _put_gradient(plan, results, rates):
    num_lanes = len(results)
    for target in range(plan.num_targets):
        column = 1 + target
        for lane in range(num_lanes):
            rate = rates.targets[target, lane]
            results[lane, column] = rate


@part
def _go_out(plan, weights, cursor, memory):
    """Send a tile through the chain and keep what its blocks compute."""
    registers, way_out = memory.registers, memory.way_out
    feature = 0
    store(registers.log_det, 0, splat(_ZERO))
    for block in range(plan.num_blocks):
        cursor = mix(plan, weights, cursor, registers, 0)
        _copy(registers.inputs, way_out.inputs[block], plan.num_targets)
        for step in range(len(plan.steps)):
            hidden = _hidden_of(way_out, block, step)
            parameters = way_out.parameters[block, step]
            kept = _with_networks(registers, hidden, parameters)
            place = cursor, feature
            cursor, feature = first_layer(plan, step, weights, place, kept)
            cursor = deeper_layers(plan, step, weights, cursor, kept)
            # a map overwrites its parameters
            _copy(parameters, registers.parameters, len(parameters))
            move_targets(plan, step, registers, 0)
    mix(plan, weights, cursor, registers, 0)
    _copy(registers.inputs, registers.targets, plan.num_targets)


@part
def _hidden_of(way_out, block, step):
    """Hidden units of a network, which the steps of an autoregression share."""
    of_block = way_out.hidden[block]
    return of_block[step % len(of_block)]


@part
def _with_networks(registers, hidden, parameters):
    """Registers whose networks compute elsewhere."""
    return Registers(
        registers.x,
        registers.seen,
        registers.features,
        registers.targets,
        registers.log_det,
        registers.inputs,
        hidden,
        parameters,
    )


@inlined
def _copy(source, target, num_rows):
    _move_rows(source, 0, target, 0, num_rows)


@inlined
def _move_rows(source, first, target, first_target, num_rows):
    """Copy rows from one on to where others begin."""
    for number in range(num_rows):
        value = load(source, first + number)
        store(target, first_target + number, value)


@inlined
def _clear(rows):
    zero = splat(_ZERO)
    num_rows = len(rows)
    for row in range(num_rows):
        store(rows, row, zero)


@part
def _come_back(plan, weights, first, offsets, memory):
    """Bring the rates with z back to the targets."""
    registers, rates = memory.registers, memory.rates
    for target in range(plan.num_targets):
        z = load(registers.targets, target)
        store(rates.inputs, target, _ZERO - z)
    last_mixing = first + plan.num_blocks * offsets.block
    _pull_mixing(plan, weights, last_mixing, rates)
    for turn in range(plan.num_blocks):
        block = plan.num_blocks - 1 - turn
        begin = first + block * offsets.block
        cursors = begin, offsets.layers
        _clear(rates.inputs)
        _clear(rates.hidden)
        for step in range(len(plan.steps) - 1, -1, -1):
            if plan.sees_moved:  # a network of its own
                _clear(rates.hidden)
            _pull_maps(plan, step, block, memory)
            hidden = _hidden_of(memory.way_out, block, step)
            _pull_network(plan, step, weights, cursors, hidden, rates)
        _pull_mixing(plan, weights, begin, rates)


@inlined
def _pull_mixing(plan, weights, cursor, rates):
    """Rates with what a mixing takes, from those with what it gives."""
    _clear(rates.targets)
    span = 0, plan.num_targets, 0, plan.num_targets
    _pull_layer(weights, cursor, NUM_UNITS, span, rates.inputs, rates.targets)


@inlined
def _pull_layer(weights, cursor, num_biases, span, of_outputs, of_inputs):
    """Add weights times the rates with the outputs of a layer to those with its inputs."""
    begin, end, first, last = span
    for row in range(first, last, NUM_UNITS):
        values = load_rows(of_outputs, row)
        cursor += num_biases
        for number in range(begin, end):
            total = add_sum(load(of_inputs, number), weights, cursor, values)
            store(of_inputs, number, total)
            cursor += NUM_UNITS


@inlined
def _pull_maps(plan, step, block, memory):
    """Rates with the targets that a step moves, and with the parameters of their maps."""
    _, _, first, last = span_of(plan.steps, step)
    inputs = memory.way_out.inputs[block]
    parameters = memory.way_out.parameters[block, step]
    rates, num_parameters = memory.rates, plan.element.num_parameters
    for target in range(first, last):
        row = (target - first) * num_parameters
        _move_rows(parameters, row, rates.element, 0, num_parameters)
        _move_rows(inputs, target, rates.element, num_parameters, 1)
        of_image, of_later = _parted(plan, target, rates)
        store(rates.element, num_parameters + 1, of_image)
        store(rates.element, num_parameters + 2, splat(_ONE))
        _pull_map(rates.element, plan.element)
        of_value = load(rates.element, num_parameters)
        store(rates.inputs, target, of_value + of_later)
        _move_rows(rates.element, 0, rates.parameters, row, num_parameters)


@inlined
def _parted(plan, target, rates):
    """Rates with the image of a target and, by what later networks saw, with its value."""
    of_image = load(rates.targets, target)
    of_later = load(rates.inputs, target)
    if plan.sees_moved:
        return of_image + of_later, splat(_ZERO)
    return of_image, of_later


@inlined
def _pull_map(element, shape):
    """Replace parameters and value of a map by the rates with them."""
    if shape.num_bins:
        differentiate(element, shape)
    else:
        _differentiate_affine(element, shape)


@inlined
def _differentiate_affine(element, shape):
    """Image u exp(s) + t and log-slope s, with s = clamp * 0.636 * atan(raw)."""
    raw = load(element, 0)
    value = load(element, 2)
    of_image = load(element, 3)
    of_log_slope = load(element, 4)
    largest = shape.clamp * _SOFT_CLAMP
    log_scale = largest * atan(raw)
    of_value = of_image * exp(log_scale)
    of_scale = of_value * value + of_log_slope
    square = raw * raw
    slope = largest / (_ONE + square)
    store(element, 0, of_scale * slope)
    store(element, 1, of_image)
    store(element, 2, of_value)


@inlined
def _pull_network(plan, step, weights, cursors, hidden, rates):
    """Rates with the targets that the network of a step sees.

    Weights of its layers begin at the cursors of their numbers behind the first.
    """
    begin, layers = cursors
    num_layers = layers_a_step(plan)
    first = step * num_layers
    last = first + num_layers - 1
    span = span_of(plan.units, last)
    cursor = begin + layers[last]
    _pull_layer(weights, cursor, NUM_UNITS, span, rates.parameters, rates.hidden)
    for layer in range(last - 1, first, -1):
        span = span_of(plan.units, layer)
        _mask(rates.hidden, hidden, span)
        cursor = begin + layers[layer]
        _pull_layer(weights, cursor, NUM_UNITS, span, rates.hidden, rates.hidden)
    span = span_of(plan.units, first)
    _mask(rates.hidden, hidden, span)
    cursor = begin + layers[first]
    _pull_layer(weights, cursor, 0, span, rates.hidden, rates.inputs)


@inlined
def _mask(of_hidden, hidden, span):
    """No rate passes a unit that is at rest."""
    _, _, first, last = span
    for row in range(first, last):
        unit = load(hidden, row)
        rate = load(of_hidden, row)
        is_active = unit > _ZERO
        passed = choose(is_active, rate, _ZERO)
        store(of_hidden, row, passed)
