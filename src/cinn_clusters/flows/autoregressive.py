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

    One pass of the masked network towards latent space, D passes back.

    Args:
        num_targets: D.
        num_observables: L.
        generator: Source of the initial weights.
        element: Map of one target.
        network: Shape of the masked network.
    """

    def __init__(
        self,
        num_targets: int,
        num_observables: int,
        generator: torch.Generator,
        element: Element,
        network: NetworkShape,
    ) -> None:
        super().__init__(num_targets, num_observables)
        self.element = element
        num_parameters = element.num_parameters
        self.network = _masked_mlp(num_targets, num_observables, num_parameters, generator, network)

    def _conditioned(self, u: Tensor, x: Tensor) -> Tensor:
        raw: Tensor = self.network(torch.cat((x, u), -1))
        return raw.view(*raw.shape[:-1], self.element.num_parameters, -1)

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z, slopes = self.element.forward(u, self._conditioned(u, x))
        return z, slopes.sum(-1)

    def _conditioned_one(self, u: Tensor, x: Tensor, d: int) -> Tensor:
        """Parameters of target d alone, (..., P, 1): the last layer is most of the network."""
        last = self.network[-1]
        assert isinstance(last, MaskedLinear)
        hidden = self.network[:-1](torch.cat((x, u), -1))
        return last.some(hidden, slice(d, None, self.num_targets))[..., None]

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        known: list[Tensor] = []
        log_det = z.new_zeros(z.shape[:-1])
        for d in range(self.num_targets):
            guess = torch.cat(
                (*known, z[..., d:]), -1
            )  # the network does not see what comes from d on
            value, slope = self.element.inverse(
                z[..., d : d + 1], self._conditioned_one(guess, x, d)
            )
            known.append(value)
            log_det = log_det + slope[..., 0]
        return torch.cat(known, -1), log_det


def _masked_mlp(
    num_targets: int,
    num_observables: int,
    num_parameters: int,
    generator: torch.Generator,
    network: NetworkShape,
) -> nn.Sequential:
    """Return a network whose outputs for target d see x and the targets before d only
    (Germain+15, eqs. 8-9).
    """
    inputs = torch.cat((torch.zeros(num_observables), torch.arange(1, num_targets + 1))).long()
    degrees = [inputs, *(torch.arange(units) % num_targets for units in network.hidden)]
    layers: list[nn.Module] = []
    for before, after in pairwise(degrees):
        linear = MaskedLinear(network.num_members, after >= before[:, None], generator)
        layers += [linear, *activation(network.dropout)]
    outputs = torch.arange(1, num_targets + 1).repeat(num_parameters)
    last = MaskedLinear(network.num_members, outputs > degrees[-1][:, None], generator)
    if network.zero_last:
        set_to_zero(last)
    return nn.Sequential(*layers, last)
