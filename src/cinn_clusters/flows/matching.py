r"""Conditional flow matching along straight paths (Lipman+23, arXiv:2210.02747).

A network learns the velocity that carries Gaussian noise (t = 0) to data (t = 1) by lowering

.. math:: \left\lVert v(t, (1 - t) \epsilon + t u, x) - (u - \epsilon) \right\rVert^2

(eq. 23 with sigma_min = 0: the optimal-transport paths of section 4.1, example II). Noise and data
are paired at random: pairing them within a batch would mix the conditions x.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape, StackedLinear, set_to_zero

_NUM_TIME_FEATURES = 3


class FlowMatching(Transform):
    """Map given by following a learned velocity field v(t, u, x) from data to Gaussian noise.

    The path is followed with Runge-Kutta steps of fourth order, the log-determinant along with it:
    the integral of the divergence, which is computed exactly. Map, inverse and determinant agree up
    to the error of the steps. The network starts at zero and has no dropout.
    """

    def __init__(
        self,
        num_targets: int,
        num_observables: int,
        generator: torch.Generator,
        num_steps: int,
        shape: NetworkShape,
    ) -> None:
        super().__init__(num_targets, num_observables)
        self.num_steps = num_steps
        num_inputs = num_targets + num_observables + _NUM_TIME_FEATURES
        sizes = (num_inputs, *shape.hidden, num_targets)
        layers = [
            StackedLinear(shape.num_members, *size, generator)
            for size in pairwise(sizes)
        ]
        self.hidden = nn.ModuleList(layers[:-1])
        self.last = layers[-1]
        set_to_zero(self.last)

    def matching_loss(self, u: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error of the velocity at a random time on a straight path from noise, (K, B)."""
        noise = torch.randn(u.shape, generator=generator).to(u)
        time = torch.rand(*u.shape[:-1], 1, generator=generator).to(u)
        position = (1.0 - time) * noise + time * u
        straight = u - noise
        error = self._velocity(time, position, x) - straight  # Lipman+23, eq. 23
        return error.square().sum(-1)

    def _inputs(self, time: Tensor, u: Tensor, x: Tensor) -> Tensor:
        angle = 2.0 * math.pi * time
        return torch.cat((u, x, time, angle.sin(), angle.cos()), -1)

    def _velocity(self, time: Tensor, u: Tensor, x: Tensor) -> Tensor:
        hidden = self._inputs(time, u, x)
        for layer in self.hidden:
            hidden = silu(layer(hidden))
        velocity: Tensor = self.last(hidden)
        return velocity

    def _velocity_divergence(
        self, time: Tensor, u: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity (K, B, D) and divergence (K, B): D tangents go through the network beside it."""
        hidden = self._inputs(time, u, x)
        tangents = hidden.new_zeros(self.num_targets, *hidden.shape)
        for d in range(self.num_targets):
            tangents[d, ..., d] = 1.0
        for layer in self.hidden:
            assert isinstance(layer, StackedLinear)
            raw, tangents = layer(hidden), tangents @ layer.weight
            gate = raw.sigmoid()
            hidden = raw * gate
            slope = gate * (1.0 + raw * (1.0 - gate))  # of silu
            tangents = tangents * slope
        jacobian = tangents @ self.last.weight  # (D, K, B, D)
        return self.last(hidden), jacobian.diagonal(dim1=0, dim2=-1).sum(-1)

    def _follow(
        self, u: Tensor, x: Tensor, start: float, end: float
    ) -> tuple[Tensor, Tensor]:
        # Runge-Kutta of fourth order
        step = (end - start) / self.num_steps
        half = 0.5 * step
        log_det = torch.zeros_like(u[..., 0])

        def slope(time: float, position: Tensor) -> tuple[Tensor, Tensor]:
            times = torch.full_like(u[..., :1], time)
            return self._velocity_divergence(times, position, x)

        for number in range(self.num_steps):
            time = start + number * step
            middle = time + half
            v1, d1 = slope(time, u)
            v2, d2 = slope(middle, u + half * v1)
            v3, d3 = slope(middle, u + half * v2)
            v4, d4 = slope(time + step, u + step * v3)

            # Simpson's weights: the middle counts twice, by both of its estimates
            velocity = v1 + 2.0 * v2 + 2.0 * v3 + v4
            divergence = d1 + 2.0 * d2 + 2.0 * d3 + d4
            u = u + step / 6.0 * velocity
            log_det = log_det + step / 6.0 * divergence
        return u, log_det

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._follow(u, x, 1.0, 0.0)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._follow(z, x, 0.0, 1.0)
