"""Conditional Gaussian mixture (Bishop 1994), as an exact map onto a Gaussian (Rosenblatt 1952)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape, stacked_mlp

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
UNIT = math.log(math.expm1(1.0))
"""Softplus of it is one."""
LOWEST = -690.0
"""Smallest log-probability that double precision tells from zero."""
NUM_BISECTIONS = 40
FIRST_SPREAD = 0.5
"""Standard deviation of the first means: components that start alike stay alike."""


class GaussianMixture(Transform):
    """Mixture of C Gaussians of full covariance whose weights, means and precisions a network gives from x.

    z_d = Phi^-1(F_d(u_d | u_1..u_{d-1}, x)): each target through its own conditional distribution,
    which in a mixture of Gaussians is a mixture of Gaussians, too. The determinant of this
    triangular map makes the density of the whole exactly the mixture.

    Args:
        num_targets: D.
        num_observables: L.
        generator: Source of the initial weights.
        num_components: C.
        network: Shape of the network; it starts at zero whatever it says.

    References:
        Bishop (1994), Mixture density networks; Rosenblatt (1952), Remarks on a multivariate
        transformation.
    """

    def __init__(
        self,
        num_targets: int,
        num_observables: int,
        generator: torch.Generator,
        num_components: int,
        network: NetworkShape,
    ) -> None:
        super().__init__(num_targets, num_observables)
        self.num_components = num_components
        num_below = num_targets * (num_targets - 1) // 2
        self.sizes = (
            1,
            num_targets,
            num_targets,
            num_below,
        )  # logits, means, diagonal and rest of the precision root
        outputs = num_components * sum(self.sizes)
        network = replace(network, zero_last=True)
        self.network = stacked_mlp(network, num_observables, outputs, generator)
        first = torch.zeros(network.num_members, num_components, sum(self.sizes))
        means = first[..., 1 : 1 + num_targets]
        means.copy_(FIRST_SPREAD * torch.randn(means.shape, generator=generator))
        self.start = nn.Parameter(first.flatten(1)[:, None])
        rows, columns = torch.tril_indices(num_targets, num_targets, -1)
        self.below = (rows, columns)

    def _components(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-weights (K, B, C), means (K, B, C, D) and lower-triangular precision roots
        (K, B, C, D, D).
        """
        raw = (self.network(x) + self.start).unflatten(-1, (self.num_components, -1))
        logits, means, diagonal, below = raw.split(self.sizes, -1)
        roots = torch.diag_embed(softplus(diagonal + UNIT) + 1e-3)
        roots[..., self.below[0], self.below[1]] = below
        return logits[..., 0].log_softmax(-1), means, roots

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_weights, means, roots = self._components(x)
        epsilon = (roots @ (u[..., None, :] - means)[..., None])[
            ..., 0
        ]  # (K, B, C, D), standard in each component
        log_peaks = roots.diagonal(dim1=-2, dim2=-1).log()
        log_density = log_peaks - 0.5 * epsilon.square() - HALF_LOG_2PI
        before = torch.cumsum(log_density, -1) - log_density
        log_share = (log_weights[..., None] + before).log_softmax(
            -2
        )  # weight of a component given the targets before
        z = _latent(epsilon, log_share)
        log_det = torch.logsumexp(log_share + log_density, -2) + 0.5 * z.square() + HALF_LOG_2PI
        return z, log_det.sum(-1)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_weights, means, roots = self._components(x)
        u = torch.zeros_like(z)
        for d in range(self.num_targets):
            row = roots[..., d, :d]
            scale = roots[..., d, d]
            offset = (row * (u[..., None, :d] - means[..., :d])).sum(
                -1
            )  # epsilon_d = offset + scale (u_d - mean_d)
            centre = means[..., d] - offset / scale
            u[..., d] = _root(z[..., d], centre, scale, log_weights.softmax(-1))
            log_weights = (
                log_weights + scale.log() - 0.5 * (scale * (u[..., d, None] - centre)).square()
            )
        return u, -self._forward(u, x)[1]


def _latent(epsilon: Tensor, log_share: Tensor) -> Tensor:
    """Phi^-1 of the mixture's distribution function; each half from its own tail, so that
    neither is rounded to 1.
    """
    lower = torch.logsumexp(log_share + torch.special.log_ndtr(epsilon), -2).double()
    upper = torch.logsumexp(log_share + torch.special.log_ndtr(-epsilon), -2).double()
    z = torch.special.ndtri(torch.minimum(lower, upper).clamp(min=LOWEST).exp())
    return torch.where(lower < upper, z, -z).to(epsilon)


def _root(z: Tensor, centre: Tensor, scale: Tensor, share: Tensor) -> Tensor:
    """Solve sum_c share_c Phi(scale_c (u - centre_c)) = Phi(z) for u, (K, B), by bisection.

    The root lies between those of the components. Above the median the upper tails are compared.
    """
    side = torch.where(z > 0, -1.0, 1.0)
    target = torch.special.ndtr(side * z)
    ends = centre + z[..., None] / scale
    low, high = ends.amin(-1), ends.amax(-1)
    for _ in range(NUM_BISECTIONS):
        middle = 0.5 * (low + high)
        epsilon = side[..., None] * scale * (middle[..., None] - centre)
        is_above = side * ((share * torch.special.ndtr(epsilon)).sum(-1) - target) > 0
        low, high = torch.where(is_above, low, middle), torch.where(is_above, middle, high)
    return 0.5 * (low + high)
