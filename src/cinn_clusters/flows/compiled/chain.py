r"""A chain of blocks on lanes of draws, its weights one stream in the order in which they are used.

A block mixes the targets and then takes steps: a network, given x and some of the targets, gives the
parameters of the maps of others. A coupling has two steps; an autoregression has one a target, in
which it computes the hidden units that wait for no later one, so that D steps cost one pass of the
network. The first layer's part of x is the same for all draws of an object and comes as
``features``. All layers are products with ``NUM_UNITS`` sums in registers,

.. math:: h_j = b_j + \sum_i w_{ij} v_i, \qquad j = 8 c \dots 8 c + 7

with the inputs i in the inner loop: one load and eight multiply-adds each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.flows.compiled.lanes import (
    NUM_UNITS,
    add_products,
    add_sum,
    load,
    load_rows,
    load_weights,
    rectify,
    splat,
    store,
    store_rows,
)
from cinn_clusters.flows.compiled.monotone import ElementShape, move
from cinn_clusters.jit import inlined, part

TILES = 8
"""Registers of draws that go through a block together, while its weights are in the cache."""
_ZERO = np.float32(0.0)


class Plan(NamedTuple):
    """Shape of the chain.

    Args:
        num_blocks: Blocks, each after a mixing; one more mixing follows.
        num_targets: D.
        steps: Of each step first and last conditioning target, first and last moved one, (S, 4).
        units: First and last input, first and last output of each layer of each step, as rows of
            ``Registers``, (S layers, 4).
        element: Map of one target.
        is_inverse: Whether draws go from latent to data space.
        is_pushed: Whether each hidden unit is added to the parameters at once (one hidden layer).
        sees_moved: Whether a network sees the targets that its block has moved.
    """

    num_blocks: int
    num_targets: int
    steps: np.ndarray
    units: np.ndarray
    element: ElementShape
    is_inverse: bool
    is_pushed: bool
    sees_moved: bool


class Stream(NamedTuple):
    """Weights of all members.

    Args:
        chain: Those of the chain, in the order of their use, member by member, flat.
        features: Biases and weights of x of all first layers, likewise.
        log_det: Sum of the log-determinants of the mixings of each member, (K,).
    """

    chain: np.ndarray
    features: np.ndarray
    log_det: np.ndarray


class Registers(NamedTuple):
    """Rows of ``WIDTH`` draws, memory of one thread.

    Args:
        x: Observables.
        seen: What all first layers see of them.
        features: The same, of the object whose draws are made.
        targets: Targets of all tiles, one after the other.
        log_det: Log-determinant of each tile.
        inputs: Targets of one tile within a block.
        hidden: Hidden units of one tile, (layers, units).
        parameters: Parameters of the maps of a step.
    """

    x: np.ndarray
    seen: np.ndarray
    features: np.ndarray
    targets: np.ndarray
    log_det: np.ndarray
    inputs: np.ndarray
    hidden: np.ndarray
    parameters: np.ndarray


@inlined
def _add_inputs(values, weights, cursor, inputs, span):
    """Add weights times the inputs of a span to ``NUM_UNITS`` sums."""
    begin, end = span
    for row in range(begin, end):
        values = add_products(values, weights, cursor, load(inputs, row))
        cursor += NUM_UNITS
    return values


@inlined
def linear(weights, cursor, inputs, span, outputs):
    """Rows of outputs from the biases, weights and inputs of a span (begin, end, first, last)."""
    begin, end, first, last = span
    for row in range(first, last, NUM_UNITS):
        values = load_weights(weights, cursor)
        cursor += NUM_UNITS
        values = _add_inputs(values, weights, cursor, inputs, (begin, end))
        cursor += NUM_UNITS * (end - begin)
        store_rows(outputs, row, values)
    return cursor


@inlined
def span_of(table, index):
    """Row of a table of spans."""
    return table[index, 0], table[index, 1], table[index, 2], table[index, 3]


@part
def first_layer(plan, step, weights, place, registers):
    """Hidden units that see targets and, by ``features``, x; the place behind their weights."""
    cursor, feature = place
    begin, end, first, last = span_of(plan.units, step * layers_a_step(plan))
    for row in range(first, last, NUM_UNITS):
        values = load_rows(registers.features, feature)
        values = _add_inputs(values, weights, cursor, registers.inputs, (begin, end))
        cursor += NUM_UNITS * (end - begin)
        feature += NUM_UNITS
        store_rows(registers.hidden, row, rectify(values))
    return cursor, feature


@inlined
def layers_a_step(plan):
    """Layers of the network of a step."""
    return len(plan.units) // len(plan.steps)


@part
def deeper_layers(plan, step, weights, cursor, registers):
    """Hidden units behind the first layer, and the parameters of the maps."""
    num_layers = layers_a_step(plan)
    for layer in range(1, num_layers - 1):
        span = span_of(plan.units, step * num_layers + layer)
        cursor = linear(weights, cursor, registers.hidden, span, registers.hidden)
        for row in range(span[2], span[3], NUM_UNITS):
            values = load_rows(registers.hidden, row)
            store_rows(registers.hidden, row, rectify(values))
    span = span_of(plan.units, (step + 1) * num_layers - 1)
    return linear(weights, cursor, registers.hidden, span, registers.parameters)


@part
def _push(plan, step, weights, place, registers):
    """Parameters of a network of one hidden layer whose units never leave the registers.

    The layers are fused: ``NUM_UNITS`` hidden units are computed, added to every parameter and forgotten.
    """
    cursor, feature = place
    begin, end, first, last = span_of(plan.units, 2 * step)
    num_parameters = plan.units[2 * step + 1, 3]
    for row in range(num_parameters):
        store(registers.parameters, row, splat(weights[cursor + row]))
    cursor += num_parameters
    for _ in range(first, last, NUM_UNITS):
        values = load_rows(registers.features, feature)
        values = _add_inputs(values, weights, cursor, registers.inputs, (begin, end))
        cursor += NUM_UNITS * (end - begin)
        feature += NUM_UNITS
        values = rectify(values)
        for row in range(num_parameters):
            total = load(registers.parameters, row)
            total = add_sum(total, weights, cursor, values)
            store(registers.parameters, row, total)
            cursor += NUM_UNITS
    return cursor, feature


@part
def move_targets(plan, step, registers, tile):
    """Apply the maps of a step to its targets."""
    _, _, first, last = span_of(plan.steps, step)
    for target in range(first, last):
        value = load(registers.inputs, target)
        row = (target - first) * plan.element.num_parameters
        image, log_slope = move(
            value, registers.parameters, row, plan.element, plan.is_inverse
        )
        store(registers.targets, tile * plan.num_targets + target, image)
        store(registers.log_det, tile, load(registers.log_det, tile) + log_slope)
        if plan.sees_moved:
            store(registers.inputs, target, image)


@part
def mix(plan, weights, cursor, registers, tile):
    """Linear map of the targets, into the inputs of the block."""
    begin = tile * plan.num_targets
    span = begin, begin + plan.num_targets, 0, plan.num_targets
    return linear(weights, cursor, registers.targets, span, registers.inputs)


@part
def _block(plan, weights, place, registers, tile):
    """Send a tile through a mixing and the steps of a block."""
    cursor, feature = place
    cursor = mix(plan, weights, cursor, registers, tile)
    for step in range(len(plan.steps)):
        place = cursor, feature
        if plan.is_pushed:
            cursor, feature = _push(plan, step, weights, place, registers)
        else:
            cursor, feature = first_layer(plan, step, weights, place, registers)
            cursor = deeper_layers(plan, step, weights, cursor, registers)
        move_targets(plan, step, registers, tile)
    return cursor, feature


@part
def transform(plan, weights, cursor, registers, num_tiles):
    """Send tiles through the chain: block by block, so that its weights stay in the cache."""
    for tile in range(num_tiles):
        store(registers.log_det, tile, splat(_ZERO))
    block_begin = cursor, 0
    for _ in range(plan.num_blocks):
        place = block_begin
        for tile in range(num_tiles):
            place = _block(plan, weights, block_begin, registers, tile)
        block_begin = place
    cursor, _ = block_begin
    for tile in range(num_tiles):
        mix(plan, weights, cursor, registers, tile)
        for target in range(plan.num_targets):
            row = tile * plan.num_targets + target
            store(registers.targets, row, load(registers.inputs, target))
