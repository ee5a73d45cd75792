"""Masked autoregressive transforms (Germain+15, MADE; Papamakarios+17, MAF; Durkan+19)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from cinn_clusters.flows.elements import Element
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import MaskedLinear, NetworkShape, activation, set_to_zero


class Autoregressive(Transform):
    """Map of each target given the targets before it and x: z_d = f(u_d; n(u_1..u_{d-1}, x)).

    One pass of the masked network leads to latent space, D passes lead back; the element is f.
    """

    def __init__(
        self,
        num_targets: int,
        num_observables: int,
        generator: torch.Generator,
        element: Element,
        shape: NetworkShape,
    ) -> None:
        super().__init__(num_targets, num_observables)
        self.element = element
        outputs = torch.arange(1, num_targets + 1).repeat(element.num_parameters)
        self.network = _masked_mlp(
            num_targets, num_observables, outputs, generator, shape
        )

    def _conditioned(self, u: Tensor, x: Tensor) -> Tensor:
        """Parameters of the map of each target, (K, B, P, D)."""
        raw: Tensor = self.network(torch.cat((x, u), -1))
        return torch.unflatten(raw, -1, (self.element.num_parameters, -1))

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slopes = self.element.forward(u, self._conditioned(u, x))
        return z, log_slopes.sum(-1)

    def _conditioned_one(self, u: Tensor, x: Tensor, d: int) -> Tensor:
        """Parameters of target d alone, (K, B, P, 1): the last layer is most of the network."""
        *layers, last = self.network
        assert isinstance(last, MaskedLinear)
        hidden = torch.cat((x, u), -1)
        for layer in layers:
            hidden = layer(hidden)
        every_parameter = slice(d, None, self.num_targets)
        return last.some(hidden, every_parameter).unsqueeze(-1)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        # the network does not see the targets from d on: what stands there does not matter
        u = z
        log_det = torch.zeros_like(z[..., 0])
        for d in range(self.num_targets):
            num_after = self.num_targets - d - 1
            before, target, after = u.split((d, 1, num_after), -1)
            parameters = self._conditioned_one(u, x, d)
            value, log_slope = self.element.inverse(target, parameters)
            u = torch.cat((before, value, after), -1)
            log_det = log_det + log_slope.squeeze(-1)
        return u, log_det


def _masked_mlp(
    num_targets: int,
    num_observables: int,
    outputs: Tensor,
    generator: torch.Generator,
    shape: NetworkShape,
) -> nn.Sequential:
    """Network whose outputs for target d see x and the targets before d only.

    Each unit has a degree, the number of targets it may see (Germain+15, eqs. 8-9); ``outputs``
    holds the targets of the outputs, counted from one.
    """
    targets = torch.arange(1, num_targets + 1)
    inputs = torch.cat((torch.zeros(num_observables, dtype=torch.long), targets))
    hidden = [hidden_degrees(units, num_targets) for units in shape.hidden]
    degrees = [inputs, *hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(degrees):
        mask = after >= before[:, None]
        layers += [
            MaskedLinear(shape.num_members, mask, generator),
            *activation(shape.dropout),
        ]
    mask = outputs > degrees[-1][:, None]
    last = MaskedLinear(shape.num_members, mask, generator)
    if shape.zero_last:
        set_to_zero(last)
    return nn.Sequential(*layers, last)


def hidden_degrees(num_units: int, num_targets: int) -> Tensor:
    """Number of targets that each unit of a hidden layer may see."""
    return torch.arange(num_units) % num_targets
