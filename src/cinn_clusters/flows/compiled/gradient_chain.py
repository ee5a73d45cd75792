"""Memory and offsets of the kernel of log-densities and gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cinn_clusters.flows.compiled.chain import Plan, Registers, Stream
from cinn_clusters.flows.compiled.density_gradient import (
    Memory,
    Offsets,
    Rates,
    WayOut,
    run_gradient,
)
from cinn_clusters.flows.compiled.draws import DrawArrays
from cinn_clusters.flows.compiled.lanes import NUM_UNITS, WIDTH

_CACHE_LINE = 64
_NUM_ELEMENT_VALUES = 3


@dataclass(frozen=True, eq=False)
class GradientChain:
    """A flow towards latent space, whose networks do not push.

    Args:
        plan: Shape of the chain.
        stream: Its weights.
        num_rows: Rows of each of ``Registers``.
    """

    plan: Plan
    stream: Stream
    num_rows: dict[str, int]

    def run(self, draws: DrawArrays) -> None:
        """Fill the results (K, M, 1 + D)."""
        run_gradient(self.plan, self.stream, self._offsets, draws, self._memory())

    @property
    def _offsets(self) -> Offsets:
        num_targets = self.plan.num_targets
        num_layers = len(self.plan.units) // len(self.plan.steps)
        place = _num_weights(1 + num_targets, num_targets)  # the mixing
        places = []
        for number, span in enumerate(self.plan.units):
            places.append(place)
            begin, end, first, last = span
            num_inputs = end - begin
            if number % num_layers:  # the first has the biases of the features
                num_inputs += 1
            place += _num_weights(num_inputs, last - first)
        return Offsets(np.array(places), place)

    def _memory(self) -> Memory:
        rows = self.num_rows
        num_steps = num_networks = len(self.plan.steps)
        if not self.plan.sees_moved:  # one network for all steps of an autoregression
            num_networks = 1
        registers = {name: aligned_rows(count) for name, count in rows.items()}
        blocks = self.plan.num_blocks
        way_out = WayOut(
            aligned_rows(blocks, rows["inputs"]),
            aligned_rows(blocks, num_networks, rows["hidden"]),
            aligned_rows(blocks, num_steps, rows["parameters"]),
        )
        rates = Rates(
            aligned_rows(rows["inputs"]),
            aligned_rows(rows["inputs"]),
            aligned_rows(rows["hidden"]),
            aligned_rows(rows["parameters"]),
            aligned_rows(self.plan.element.num_parameters + _NUM_ELEMENT_VALUES),
        )
        return Memory(Registers(**registers), way_out, rates)


def _num_weights(num_inputs: int, num_outputs: int) -> int:
    """Weights of a layer, whose outputs are filled up to blocks of ``NUM_UNITS``."""
    filling = -num_outputs % NUM_UNITS
    num_filled = num_outputs + filling
    return int(num_filled * num_inputs)


def aligned_rows(*shape: int) -> np.ndarray:
    """Rows of ``WIDTH`` zeros, each of which begins a line of the cache."""
    size = math.prod(shape) * WIDTH
    memory = np.zeros(size + _CACHE_LINE, dtype=np.float32)
    num_bytes = -memory.ctypes.data % _CACHE_LINE
    offset = num_bytes // memory.itemsize
    end = offset + size
    return memory[offset:end].reshape(*shape, WIDTH)
