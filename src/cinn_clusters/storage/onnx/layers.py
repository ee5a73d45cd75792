"""Flows as expressions: networks, couplings, autoregressions and linear maps of K members.

Tensors are (K, P, N, features): sample s of an object is turn s // K of member s mod K. What a first
layer makes of x is computed once an object, (K, 1, N, H), and the sums of an autoregression's hidden
units grow with each target instead of being taken anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from cinn_clusters.errors import DataError
from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.elements import Element
from cinn_clusters.flows.flow import HALF_LOG_2PI, Flow
from cinn_clusters.flows.linear_parts import layer_arrays, linear_map
from cinn_clusters.flows.mixing import ActNorm, Permutation, Rotation
from cinn_clusters.nn.stacked import StackedLinear
from cinn_clusters.storage.onnx import element_maps
from cinn_clusters.storage.onnx.expressions import Expression, joined


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """Weights (K, I, O) and biases (K, 1, O) of a stacked linear layer."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def read(cls, layer: StackedLinear) -> DenseLayer:
        """Copy the numbers of a layer; what its mask leaves out is zero."""
        weight, bias = layer_arrays(layer)
        return cls(weight, bias[:, None])

    def outputs(self, columns: np.ndarray) -> DenseLayer:
        """The layer with some of its outputs, in an order."""
        return DenseLayer(self.weight[..., columns], self.bias[..., columns])


@dataclass(frozen=True, eq=False)
class Batch:
    """Features x (1, N, F) of N objects, and the shape (3,) of K members, P turns and N objects."""

    x: Expression
    shape: Expression

    def linear(self, values: Expression, layer: DenseLayer) -> Expression:
        """Affine map of the features of values (K, P, N, I), as one product a member."""
        num_members, num_inputs, num_outputs = layer.weight.shape
        flat = values.reshaped(num_members, -1, num_inputs)
        product = flat @ layer.weight + layer.bias
        return product.reshaped(self.shape, num_outputs)


@dataclass(frozen=True, eq=False)
class Network:
    """A network whose first layer is split into that of x and that of the targets (K, I, H)."""

    of_x: DenseLayer
    of_targets: DenseLayer
    hidden: tuple[DenseLayer, ...]
    last: DenseLayer

    @classmethod
    def read(cls, network: nn.Module, is_x: np.ndarray) -> Network:
        """Read the layers of a network; a mask says which of its inputs are x."""
        linear = [part for part in network.modules() if isinstance(part, StackedLinear)]
        first, *hidden, last = map(DenseLayer.read, linear)
        of_x = DenseLayer(first.weight[:, is_x], first.bias)
        of_targets = DenseLayer(first.weight[:, ~is_x], np.zeros_like(first.bias))
        return cls(of_x, of_targets, tuple(hidden), last)

    def start(self, batch: Batch) -> Expression:
        """Sums of the first hidden units before any target counts, (K, P, N, H)."""
        sums = batch.x @ self.of_x.weight + self.of_x.bias
        num_units = self.of_x.bias.shape[-1]
        return sums.unsqueezed(1).expanded(batch.shape, num_units)

    def outputs(
        self, batch: Batch, sums: Expression, columns: np.ndarray
    ) -> Expression:
        """Some outputs (K, P, N, O) for sums of the first hidden units."""
        for layer in self.hidden:
            sums = batch.linear(sums.relu, layer)
        return batch.linear(sums.relu, self.last.outputs(columns))


def inverse_flow(flow: Flow, z: Expression, batch: Batch) -> Expression:
    """Turn noise z into targets u, both (K, P, N, D)."""
    for transform in reversed(flow.transforms):
        match transform:
            case Coupling():
                z = _inverse_coupling(transform, z, batch)
            case Autoregressive():
                z = _inverse_autoregression(transform, z, batch)
            case _:
                layer, _ = _linear_map(transform, is_inverse=True)
                z = batch.linear(z, layer)
    return z


def log_prob_of_flow(flow: Flow, u: Expression, batch: Batch) -> Expression:
    """Log-density (K, P, N) of targets u (K, P, N, D)."""
    log_prob = u.graph.constant(np.zeros(1, np.float32))
    for transform in flow.transforms:
        match transform:
            case Coupling():
                u, log_slopes = _coupling(transform, u, batch)
                log_det = log_slopes.sum()
            case Autoregressive():
                u, log_slopes = _autoregression(transform, u, batch)
                log_det = log_slopes.sum()
            case _:
                layer, constant = _linear_map(transform, is_inverse=False)
                u = batch.linear(u, layer)
                log_det = u.graph.constant(constant)
        log_prob = log_prob + log_det
    log_normal = u.square * -0.5 - HALF_LOG_2PI
    return log_prob + log_normal.sum()


def _linear_map(
    transform: nn.Module, *, is_inverse: bool
) -> tuple[DenseLayer, np.ndarray]:
    """A layer that is the same for all x and its log|det| (K, 1, 1), in explicit numbers."""
    if not isinstance(transform, Permutation | ActNorm | Rotation):
        got = type(transform).__name__
        expected = "couplings, autoregressions and linear maps"
        hint = "train a model with another model.flow"
        raise DataError("flow", expected, got, "", hint)
    num_members = max([1, *map(len, transform.parameters())])
    matrix, shift, log_det = linear_map(
        [transform], transform.num_targets, num_members, is_inverse=is_inverse
    )
    layer = DenseLayer(_single(matrix), _single(shift[:, None]))
    return layer, _single(log_det[:, None, None])


def _single(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.float32)


def _columns(element: Element, targets: ArrayLike, num_targets: int) -> np.ndarray:
    """Outputs of a network for some of the targets it serves, all parameters of one together."""
    first = np.reshape(targets, (-1, 1))
    parameters = np.arange(element.num_parameters)
    columns = first + num_targets * parameters
    return columns.ravel()


def _parameters(
    coupling: Coupling, subnet: nn.Module, half: Expression | None, batch: Batch
) -> Expression:
    """Parameters (K, P, N, M, P') of the maps of the other half, given one half or none."""
    num_fixed, num_moved = coupling.sizes
    if subnet is coupling.subnet2:
        num_moved, num_fixed = coupling.sizes
    inputs = np.arange(num_fixed + coupling.num_observables)
    network = Network.read(subnet, inputs >= num_fixed)
    sums = network.start(batch)
    if half is not None:
        sums = sums + batch.linear(half, network.of_targets)
    num_parameters = coupling.element.num_parameters
    columns = _columns(coupling.element, range(num_moved), num_moved)
    raw = network.outputs(batch, sums, columns)
    return raw.reshaped(batch.shape, num_moved, num_parameters)


def _halves(coupling: Coupling, u: Expression) -> tuple[Expression, Expression]:
    first, second = np.split(np.arange(coupling.num_targets), coupling.sizes[:1])
    return u.take(first), u.take(second)


def _inverse_coupling(coupling: Coupling, z: Expression, batch: Batch) -> Expression:
    element = coupling.element
    if coupling.subnet2 is None:
        parameters = _parameters(coupling, coupling.subnet1, None, batch)
        return element_maps.inverse(element, z, parameters)
    z1, z2 = _halves(coupling, z)
    parameters = _parameters(coupling, coupling.subnet1, z1, batch)
    u2 = element_maps.inverse(element, z2, parameters)
    parameters = _parameters(coupling, coupling.subnet2, u2, batch)
    u1 = element_maps.inverse(element, z1, parameters)
    return joined((u1, u2))


def _coupling(
    coupling: Coupling, u: Expression, batch: Batch
) -> tuple[Expression, Expression]:
    """Image and log-slopes, both (K, P, N, D)."""
    element = coupling.element
    if coupling.subnet2 is None:
        parameters = _parameters(coupling, coupling.subnet1, None, batch)
        return element_maps.forward(element, u, parameters)
    u1, u2 = _halves(coupling, u)
    parameters = _parameters(coupling, coupling.subnet2, u2, batch)
    v1, log_slopes1 = element_maps.forward(element, u1, parameters)
    parameters = _parameters(coupling, coupling.subnet1, v1, batch)
    v2, log_slopes2 = element_maps.forward(element, u2, parameters)
    return joined((v1, v2)), joined((log_slopes1, log_slopes2))


def _network(flow: Autoregressive) -> Network:
    inputs = np.arange(flow.num_observables + flow.num_targets)
    return Network.read(flow.network, inputs < flow.num_observables)


def _inverse_autoregression(
    flow: Autoregressive, z: Expression, batch: Batch
) -> Expression:
    network, element = _network(flow), flow.element
    sums = network.start(batch)
    values: list[Expression] = []
    for d in range(flow.num_targets):
        columns = _columns(element, d, flow.num_targets)
        raw = network.outputs(batch, sums, columns)
        parameters = raw.reshaped(batch.shape, 1, element.num_parameters)
        value = element_maps.inverse(element, z.take([d]), parameters)
        values.append(value)
        weights = network.of_targets.weight[:, None, None, d]  # (K, 1, 1, H)
        sums = sums + value * weights
    return joined(values)


def _autoregression(
    flow: Autoregressive, u: Expression, batch: Batch
) -> tuple[Expression, Expression]:
    """Image and log-slopes, both (K, P, N, D)."""
    network, element = _network(flow), flow.element
    sums = network.start(batch) + batch.linear(u, network.of_targets)
    columns = _columns(element, range(flow.num_targets), flow.num_targets)
    raw = network.outputs(batch, sums, columns)
    shape = batch.shape, flow.num_targets, element.num_parameters
    return element_maps.forward(element, u, raw.reshaped(*shape))
