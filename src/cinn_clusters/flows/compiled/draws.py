"""From arrays of draws to lanes and back: the one kernel that Python calls.

DrawArrays of one object share what the networks see of x: objects of many draws are taken one by one, in
tiles of draws, those of few share tiles. A draw goes through the same operations either way,
whichever its lane, and its result is the same to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.flows.compiled.chain import (
    TILES,
    Plan,
    Registers,
    Stream,
    linear,
    transform,
)
from cinn_clusters.flows.compiled.lanes import WIDTH, load, splat, store
from cinn_clusters.jit import inlined, kernel, part

_HALF = np.float32(0.5)
_HALF_LOG_2PI = np.float32(0.5 * np.log(2.0 * np.pi))


class DrawArrays(NamedTuple):
    """Contiguous arrays of M = N P draws, P of each object.

    Args:
        points: Latent noise, or targets whose density is asked for, of all or of each member,
            (1 or K, M, D).
        x: Standardised observables, (N, L).
        results: Filled with samples (K, M, D), or log-densities (K, M, 1).
    """

    points: np.ndarray
    x: np.ndarray
    results: np.ndarray


@kernel
def run_chain(
    plan: Plan, stream: Stream, draws: DrawArrays, registers: Registers
) -> None:
    """Send draws through the chains of all members.

    What the networks see of x is computed in lanes: of objects, or of draws where each object has
    too few to fill a tile.
    """
    num_draws = draws.points.shape[1]
    num_each = num_draws // len(draws.x)
    shares_tiles = num_each < WIDTH
    num_lanes, draws_a_lane = len(draws.x), num_each
    if shares_tiles:
        num_lanes, draws_a_lane = num_draws, 1
    for member in range(len(draws.results)):
        for first in range(0, num_lanes, WIDTH):
            see(stream, member, draws.x, first, num_each // draws_a_lane, registers)
            num_turns = min(WIDTH, num_lanes - first)
            if shares_tiles:
                num_turns = 1
            for turn in range(num_turns):
                _give_features(registers, turn, shares_tiles)
                begin = (first + turn) * draws_a_lane
                end = min(begin + max(draws_a_lane, WIDTH), num_draws)
                _send(plan, stream, member, draws, (begin, end), registers)


@part
def _give_features(registers, lane, shares_tiles):
    """Features of the draws to come: each from its own lane, or all from that of their object."""
    if shares_tiles:
        keep_lanes(registers)
    else:
        _share_lane(registers, lane)


@part
def see(stream, member, x, begin, num_each, registers):
    """First layers' part of x for the objects of ``WIDTH`` draws from one on."""
    num_columns = x.shape[1]
    for lane in range(WIDTH):
        number = min((begin + lane) // num_each, len(x) - 1)
        for column in range(num_columns):
            registers.x[column, lane] = x[number, column]
    cursor = member * (len(stream.features) // len(stream.log_det))
    span = 0, num_columns, 0, len(registers.seen)
    linear(stream.features, cursor, registers.x, span, registers.seen)


@inlined
def keep_lanes(registers):
    """Let every draw see the features of its own lane."""
    for row in range(len(registers.seen)):
        store(registers.features, row, load(registers.seen, row))


@inlined
def _share_lane(registers, lane):
    for row in range(len(registers.seen)):
        store(registers.features, row, splat(registers.seen[row, lane]))


@part
def _send(plan, stream, member, draws, span, registers):
    """Send a span of draws through the chain of a member, ``TILES`` tiles at once."""
    begin, end = span
    first = member * (len(stream.chain) // len(stream.log_det))
    points = draws.points[member % len(draws.points)]
    log_det = stream.log_det[member]
    for row in range(begin, end, TILES * WIDTH):
        last = min(end, row + TILES * WIDTH)
        num_tiles = (last - row + WIDTH - 1) // WIDTH
        _fill(plan, points, (row, last), registers, num_tiles)
        transform(plan, stream.chain, first, registers, num_tiles)
        results = draws.results[member, row:last]
        if plan.is_inverse:
            _empty(plan, results, registers)
        else:
            _log_density(plan, log_det, results, registers)


@part
def _fill(plan, points, span, registers, num_tiles):
    """Put a span of draws into lanes; those that are left over repeat the last one."""
    row, end = span
    for tile in range(num_tiles):
        first = tile * plan.num_targets
        for lane in range(WIDTH):
            for target in range(plan.num_targets):
                value = points[row, target]
                registers.targets[first + target, lane] = value
            row = min(row + 1, end - 1)


@part
def _empty(plan, results, registers):
    for draw in range(len(results)):
        tile, lane = divmod(draw, WIDTH)
        first = tile * plan.num_targets
        for target in range(plan.num_targets):
            value = registers.targets[first + target, lane]
            results[draw, target] = value


@part
def _log_density(plan, log_det, results, registers):
    """Log N(z; 0, 1) + log|det| of draws."""
    for draw in range(len(results)):
        tile, lane = divmod(draw, WIDTH)
        first = tile * plan.num_targets
        total = log_det + registers.log_det[tile, lane]
        for target in range(plan.num_targets):
            z = registers.targets[first + target, lane]
            square = z * z
            total -= _HALF * square + _HALF_LOG_2PI
        results[draw, 0] = total
