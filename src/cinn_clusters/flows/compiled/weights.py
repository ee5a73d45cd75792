"""From the modules of PyTorch to the streams of weights that the kernels read.

Only shapes decide the order: masks become spans of hidden units, sorted by their degrees, and the
linear maps between blocks, whatever their parameters, are read off their images of the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from torch import nn

from cinn_clusters.flows.autoregressive import Autoregressive, hidden_degrees
from cinn_clusters.flows.compiled.lanes import NUM_UNITS
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.linear_parts import layer_arrays
from cinn_clusters.nn.stacked import StackedLinear

Block: TypeAlias = Coupling | Autoregressive
Span: TypeAlias = tuple[int, int, int, int]
"""First and last input, first and last output."""
_EVERYTHING = slice(None)


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights (K, I, O) and biases (K, O) of one layer of K members, or of a part of it."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, module: StackedLinear) -> Layer:
        """Read a layer of PyTorch; masked weights are zero."""
        return cls(*layer_arrays(module))

    @property
    def num_outputs(self) -> int:
        """O."""
        return len(self.bias[0])

    def at(self, inputs: slice | np.ndarray, outputs: slice | np.ndarray) -> Layer:
        """Return some inputs and outputs."""
        weight = self.weight[:, inputs][:, :, outputs]
        return Layer(weight, self.bias[:, outputs])

    @property
    def weight_blocks(self) -> np.ndarray:
        """Weights in blocks of ``NUM_UNITS`` outputs, (K, blocks, I, NUM_UNITS), filled up with zeros."""
        return _blocks(self.weight)

    @property
    def bias_blocks(self) -> np.ndarray:
        """Biases likewise, (K, blocks, 1, NUM_UNITS)."""
        return _blocks(self.bias[:, None])

    @property
    def stream(self) -> np.ndarray:
        """Biases, then weights of each block, (K, numbers)."""
        blocks = np.concatenate((self.bias_blocks, self.weight_blocks), 2)
        return blocks.reshape(len(blocks), -1)


def _blocks(numbers: np.ndarray) -> np.ndarray:
    num_members, num_inputs, num_outputs = numbers.shape
    num_blocks = -(-num_outputs // NUM_UNITS)
    filling = num_blocks * NUM_UNITS - num_outputs
    filled = np.pad(numbers, ((0, 0), (0, 0), (0, filling)))
    blocks = filled.reshape(num_members, num_inputs, num_blocks, NUM_UNITS)
    return blocks.swapaxes(1, 2)


@dataclass(frozen=True, eq=False)
class Step:
    """Network of a step; its first layer is split in two.

    Args:
        targets: First and last conditioning target, first and last moved one.
        of_x: What the first layer sees of x, with its biases.
        layers: What the first layer sees of the targets, then the other layers.
        spans: Rows of the inputs and outputs of each layer.
    """

    targets: Span
    of_x: Layer
    layers: tuple[Layer, ...]
    spans: tuple[Span, ...]

    @property
    def stream(self) -> np.ndarray:
        """Weights in the order of their use, but for those of x."""
        first, *others = self.layers
        num_members = len(first.weight)
        of_targets = first.weight_blocks.reshape(num_members, -1)
        return np.concatenate((of_targets, *(layer.stream for layer in others)), 1)

    @property
    def pushed_stream(self) -> np.ndarray:
        """Biases of the parameters, then weights into and out of each block of hidden units."""
        first, last = self.layers
        num_members = len(first.weight)
        outwards = _blocks(last.weight.swapaxes(1, 2))
        both = np.concatenate((first.weight_blocks, outwards), 2)
        return np.concatenate((last.bias, both.reshape(num_members, -1)), 1)


def steps_of(block: Block, is_inverse: bool) -> list[Step]:
    """Steps of a block in the order in which draws take them."""
    if isinstance(block, Autoregressive):
        return [_autoregressive_step(block, d) for d in range(block.num_targets)]
    first, num_targets = block.sizes[0], block.num_targets
    steps = [_coupling_step(block.subnet1, (0, first, first, num_targets))]
    if block.subnet2 is not None:
        moves_first = first, num_targets, 0, first
        steps.append(_coupling_step(block.subnet2, moves_first))
    if is_inverse:
        return steps
    return steps[::-1]


def _coupling_step(subnet: nn.Module, targets: Span) -> Step:
    """The network as it is, but that the parameters of a target stand next to each other."""
    begin, end, first_moved, last_moved = targets
    first, *hidden, last = _linear_layers(subnet)
    num_moved = last_moved - first_moved
    numbers = np.arange(last.num_outputs).reshape(-1, num_moved)
    by_target = last.at(_EVERYTHING, numbers.T.ravel())
    of_x = first.at(slice(end - begin, None), _EVERYTHING)
    of_targets = first.at(slice(end - begin), _EVERYTHING)
    layers = of_targets, *hidden, by_target
    units = [(0, layer.num_outputs) for layer in layers]
    spans = _spans((begin, end), units, num_hidden_rows((first, *hidden)))
    return Step(targets, of_x, layers, spans)


def _autoregressive_step(block: Autoregressive, d: int) -> Step:
    """Part of the network that target d needs and the targets before do not."""
    first, *hidden, last = _linear_layers(block.network)
    new, before, units = [], [], []
    for layer in (first, *hidden):
        degrees = hidden_degrees(layer.num_outputs, block.num_targets).numpy()
        order = np.argsort(degrees, kind="stable")
        begin, end = np.searchsorted(degrees[order], (d, d + 1)).tolist()
        new.append(order[begin:end])
        before.append(order[:end])
        units.append((begin, end))

    # observables come first, then the targets before this one
    num_observables = block.num_observables
    of_x = first.at(slice(num_observables), new[0])
    targets_before = slice(num_observables, num_observables + d)
    of_targets = first.at(targets_before, new[0])
    deeper = [
        layer.at(inputs, outputs)
        for layer, inputs, outputs in zip(hidden, before, new[1:], strict=False)
    ]
    of_target = last.at(before[-1], slice(d, None, block.num_targets))
    units.append((0, of_target.num_outputs))
    layers = of_targets, *deeper, of_target
    spans = _spans((0, d), units, num_hidden_rows((first, *hidden)))
    return Step((0, d, d, d + 1), of_x, layers, spans)


def _linear_layers(network: nn.Module) -> list[Layer]:
    modules = [part for part in network.modules() if isinstance(part, StackedLinear)]
    return list(map(Layer.of, modules))


def _spans(
    targets: tuple[int, int], units: Sequence[tuple[int, int]], num_rows: int
) -> tuple[Span, ...]:
    """Rows of inputs and outputs: hidden layers have ``num_rows`` each, one after the other."""
    *hidden, parameters = units
    begins = range(0, len(hidden) * num_rows, num_rows)
    outputs = [
        (row + first, row + last)
        for row, (first, last) in zip(begins, hidden, strict=True)
    ]
    inputs = [(row, last) for row, (_, last) in zip(begins, outputs, strict=True)]
    both = zip((targets, *inputs), (*outputs, parameters), strict=True)
    return tuple((*span, *image) for span, image in both)


def num_hidden_rows(layers: Sequence[Layer]) -> int:
    """Rows of a hidden layer; its last block of units may stand over."""
    return NUM_UNITS + max(layer.num_outputs for layer in layers)
