"""Two-sided conditional coupling (Dinh+17; Kingma & Dhariwal 2018; Ardizzone+19,
arXiv:1907.02392).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cinn_clusters.flows.elements import Element
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape, stacked_mlp


class Coupling(Transform):
    """Coupling of both halves, each mapped element by element given the other half and x.

    With u = (u1, u2): v1 = f(u1; n2(u2, x)), then v2 = f(u2; n1(v1, x)).

    Args:
        num_targets: D; the first half holds round(D / 2) of them (half to even, as FrEIA), so that
            with D = 1 the one target is mapped given x alone.
        num_observables: L.
        generator: Source of the initial weights.
        element: Map of one target.
        network: Shape of both sub-networks.
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
        first = round(num_targets / 2)
        second = num_targets - first
        self.sizes = (first, second)

        def subnet(num_fixed: int, num_moved: int) -> nn.Module:
            num_outputs = element.num_parameters * num_moved
            return stacked_mlp(network, num_fixed + num_observables, num_outputs, generator)

        self.subnet1 = subnet(first, second)
        self.subnet2 = subnet(second, first) if first else None

    def _conditioned(self, subnet: nn.Module, given: Tensor, x: Tensor) -> Tensor:
        raw: Tensor = subnet(torch.cat((given, x), -1))
        return raw.view(*raw.shape[:-1], self.element.num_parameters, -1)

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        u1, u2 = u.split(self.sizes, -1)
        log_det = u.new_zeros(u.shape[:-1])
        if self.subnet2 is not None:
            u1, slopes = self.element.forward(u1, self._conditioned(self.subnet2, u2, x))
            log_det = slopes.sum(-1)
        u2, slopes = self.element.forward(u2, self._conditioned(self.subnet1, u1, x))
        return torch.cat((u1, u2), -1), log_det + slopes.sum(-1)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z1, z2 = z.split(self.sizes, -1)
        z2, slopes = self.element.inverse(z2, self._conditioned(self.subnet1, z1, x))
        log_det = slopes.sum(-1)
        if self.subnet2 is not None:
            z1, slopes = self.element.inverse(z1, self._conditioned(self.subnet2, z2, x))
            log_det = log_det + slopes.sum(-1)
        return torch.cat((z1, z2), -1), log_det
