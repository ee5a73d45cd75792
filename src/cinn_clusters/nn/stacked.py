"""Small networks for K ensemble members at once, one batched product a layer.

Parameters carry a leading member axis and all tensors are (K, B, features). Members never mix, so K
members trained together are K independent networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

_EPSILON = 1e-5
"""Added to a variance before it divides."""


@dataclass(frozen=True)
class NetworkShape:
    """Shape of the network of a transform.

    Args:
        num_members: K.
        hidden: Units of each hidden layer.
        dropout: Share of hidden units that are silenced in training.
        zero_last: Start with an output of zero everywhere, so that a flow starts as the identity.
    """

    num_members: int
    hidden: tuple[int, ...]
    dropout: float = 0.0
    zero_last: bool = False


class StackedLinear(nn.Module):
    """Affine map of every member, (K, B, num_inputs) to (K, B, num_outputs).

    Weights (K, num_inputs, num_outputs) and biases (K, 1, num_outputs) start uniform in
    +-1/sqrt(num_inputs).
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        num_members: int,
        num_inputs: int,
        num_outputs: int,
        generator: torch.Generator,
        *,
        has_bias: bool = True,
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(num_inputs, 1))

        def uniform(*shape: int) -> nn.Parameter:
            unit = torch.rand(*shape, generator=generator)
            symmetric = 2.0 * unit - 1.0
            return nn.Parameter(symmetric * bound)

        self.weight = uniform(num_members, num_inputs, num_outputs)
        self.register_parameter("bias", None)
        if has_bias:
            self.bias = uniform(num_members, 1, num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (K, B, num_inputs) to (K, B, num_outputs)."""
        return _product(inputs, self.weight, self.bias)


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return torch.bmm(inputs, weight)
    return torch.baddbmm(bias, inputs, weight)


class MaskedLinear(StackedLinear):
    """Affine map of which only the weights count that a mask (num_inputs, num_outputs) lets in."""

    mask: Tensor

    def __init__(
        self, num_members: int, mask: Tensor, generator: torch.Generator
    ) -> None:
        num_inputs, num_outputs = mask.shape
        super().__init__(num_members, num_inputs, num_outputs, generator)
        self.register_buffer("mask", mask.float(), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (K, B, num_inputs) to (K, B, num_outputs)."""
        return _product(inputs, self.weight * self.mask, self.bias)

    def some(self, inputs: Tensor, outputs: slice) -> Tensor:
        """Map to some of the outputs only."""
        assert self.bias is not None
        mask = self.mask[..., outputs]
        weight = self.weight[..., outputs] * mask
        bias = self.bias[..., outputs]
        return _product(inputs, weight, bias)


class StackedBatchNorm(nn.Module):
    """Batch normalisation of (K, B, F): by its batch in training, by running moments afterwards.

    Ioffe & Szegedy (2015), arXiv:1502.03167, algorithm 1.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, num_members: int, num_features: int, *, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.momentum = momentum
        shape = (num_members, 1, num_features)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise the features of all members as those of one wide layer of torch."""
        num_members, num_rows, num_features = inputs.shape
        if self.training and num_rows == 1:
            # one row has no variance; torch refuses it
            return self.bias.expand_as(inputs)
        rows_first = inputs.transpose(0, 1)  # (B, K, F)
        normed = nn.functional.batch_norm(
            rows_first.reshape(num_rows, num_members * num_features),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            _EPSILON,
        )
        return normed.view(num_rows, num_members, num_features).transpose(0, 1)


class Dropout(nn.Module):
    """Silence a share of hidden units in training, from a named stream: resuming is bit-exact."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """Scale the units that stay so that the mean stays; outside training nothing happens."""
        if not (self.training and self.rate):
            return hidden
        uniform = torch.rand(hidden.shape, generator=self.generator)
        stays = uniform >= self.rate
        share = 1.0 - self.rate
        return hidden * stays.to(hidden) / share


def stacked_mlp(
    shape: NetworkShape, num_inputs: int, num_outputs: int, generator: torch.Generator
) -> nn.Sequential:
    """Return Linear-ReLU-...-Linear for K members: (K, B, num_inputs) to (K, B, num_outputs)."""
    sizes = (num_inputs, *shape.hidden)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        linear = StackedLinear(shape.num_members, before, after, generator)
        layers += [linear, *activation(shape.dropout)]
    last = StackedLinear(shape.num_members, sizes[-1], num_outputs, generator)
    if shape.zero_last:
        set_to_zero(last)
    return nn.Sequential(*layers, last)


def activation(dropout: float) -> list[nn.Module]:
    """Return what stands between two linear layers."""
    if not dropout:
        return [nn.ReLU()]
    return [nn.ReLU(), Dropout(dropout)]


def set_to_zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
