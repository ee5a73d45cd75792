"""Two-sided conditional coupling (Dinh+17; Kingma & Dhariwal 2018; Ardizzone+19)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cinn_clusters.flows.elements import Element
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape, stacked_mlp


class Coupling(Transform):
    """Coupling of both halves, each mapped element by element given the other half and x.

    With u = (u1, u2): v1 = f(u1; n2(u2, x)), then v2 = f(u2; n1(v1, x)), where f is the element
    (Ardizzone+19, arXiv:1907.02392, section 3.1). The first half holds round(D / 2) targets, half
    to even as FrEIA: with D = 1 the one target is mapped given x alone.
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
        first = round(num_targets / 2)
        second = num_targets - first
        self.sizes = (first, second)

        def subnet(num_fixed: int, num_moved: int) -> nn.Module:
            num_inputs = num_fixed + num_observables
            num_outputs = element.num_parameters * num_moved
            return stacked_mlp(shape, num_inputs, num_outputs, generator)

        self.subnet1 = subnet(first, second)
        self.subnet2 = None
        if first:
            self.subnet2 = subnet(second, first)

    def _conditioned(self, subnet: nn.Module, half: Tensor, x: Tensor) -> Tensor:
        """Parameters of the maps of the other half, (K, B, P, M)."""
        raw: Tensor = subnet(torch.cat((half, x), -1))
        return torch.unflatten(raw, -1, (self.element.num_parameters, -1))

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        v1, v2 = u.split(self.sizes, -1)
        log_det = torch.zeros_like(u[..., 0])
        if self.subnet2 is not None:
            parameters = self._conditioned(self.subnet2, v2, x)
            v1, log_slopes = self.element.forward(v1, parameters)
            log_det = log_slopes.sum(-1)
        parameters = self._conditioned(self.subnet1, v1, x)
        v2, log_slopes = self.element.forward(v2, parameters)
        log_det = log_det + log_slopes.sum(-1)
        return torch.cat((v1, v2), -1), log_det

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        u1, u2 = z.split(self.sizes, -1)
        parameters = self._conditioned(self.subnet1, u1, x)
        u2, log_slopes = self.element.inverse(u2, parameters)
        log_det = log_slopes.sum(-1)
        if self.subnet2 is not None:
            parameters = self._conditioned(self.subnet2, u2, x)
            u1, log_slopes = self.element.inverse(u1, parameters)
            log_det = log_det + log_slopes.sum(-1)
        return torch.cat((u1, u2), -1), log_det
