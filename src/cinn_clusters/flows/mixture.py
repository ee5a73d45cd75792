r"""Conditional Gaussian mixture (Bishop 1994) as an exact map onto a Gaussian (Rosenblatt 1952).

.. math:: z_d = \Phi^{-1}\left(F_d(u_d \mid u_1 \dots u_{d-1}, x)\right)

Each target goes through its own conditional distribution, which in a mixture of Gaussians is a
mixture of Gaussians, too. The determinant of this triangular map makes the density of the whole
exactly the mixture.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.special import log_ndtr, ndtr, ndtri

from cinn_clusters.flows.flow import HALF_LOG_2PI
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape, stacked_mlp

_UNIT = math.log(math.expm1(1.0))
"""Softplus of it is one."""
_LOWEST = -690.0
"""Smallest log-probability that double precision tells from zero."""
_NUM_BISECTIONS = 40
_FIRST_SPREAD = 0.5
"""Standard deviation of the first means: components that start alike stay alike."""


class GaussianMixture(Transform):
    """Mixture of C Gaussians of full covariance, its weights, means and precisions given by x.

    The network starts at zero, whatever its shape says.
    """

    def __init__(
        self,
        num_targets: int,
        num_observables: int,
        generator: torch.Generator,
        num_components: int,
        shape: NetworkShape,
    ) -> None:
        super().__init__(num_targets, num_observables)
        self.num_components = num_components
        self.below = tuple(torch.tril_indices(num_targets, num_targets, -1))
        # logit, mean, diagonal and rest of the root of the precision
        self.sizes = (1, num_targets, num_targets, len(self.below[0]))
        num_outputs = num_components * sum(self.sizes)

        # zero weights: at first only the start, below, makes the components
        shape = replace(shape, zero_last=True)
        self.network = stacked_mlp(shape, num_observables, num_outputs, generator)

        # the means are spread, everything else starts at zero
        first = torch.zeros(shape.num_members, num_components, sum(self.sizes))
        means = first[..., 1 : 1 + num_targets]
        means.copy_(_FIRST_SPREAD * torch.randn(means.shape, generator=generator))
        self.start = nn.Parameter(first.flatten(1).unsqueeze(1))

    def _components(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights (K, B, C), means (K, B, C, D) and lower roots of precisions (K, B, C, D, D)."""
        raw = self.network(x) + self.start
        parameters = raw.unflatten(-1, (self.num_components, -1))
        logits, means, diagonal, below = parameters.split(self.sizes, -1)

        # a positive diagonal makes the lower root, and so the precision, regular
        positive = softplus(diagonal + _UNIT) + 1e-3
        roots = torch.diag_embed(positive)
        roots[..., self.below[0], self.below[1]] = below
        return logits.squeeze(-1).log_softmax(-1), means, roots

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_weights, means, roots = self._components(x)
        offset = u.unsqueeze(-2) - means
        whitened = roots @ offset.unsqueeze(-1)
        epsilon = whitened.squeeze(-1)  # (K, B, C, D), standard in each component

        # log-density of each target in each component given the targets before it
        log_peak = roots.diagonal(dim1=-2, dim2=-1).log()
        log_density = log_peak - 0.5 * epsilon.square() - HALF_LOG_2PI

        # weight of a component given the targets before
        before = torch.cumsum(log_density, -1) - log_density
        log_joint = log_weights.unsqueeze(-1) + before
        log_share = log_joint.log_softmax(-2)
        z = _latent(epsilon, log_share)

        # slope of the map: the conditional density over that of the Gaussian
        log_conditional = torch.logsumexp(log_share + log_density, -2)
        log_normal = -0.5 * z.square() - HALF_LOG_2PI
        return z, (log_conditional - log_normal).sum(-1)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_weights, means, roots = self._components(x)
        u = torch.zeros_like(z)
        for d in range(self.num_targets):
            # epsilon_d = offset + scale (u_d - mean_d)
            row = roots[..., d, :d]
            scale = roots[..., d, d]
            moved = u[..., None, :d] - means[..., :d]
            offset = (row * moved).sum(-1)
            centre = means[..., d] - offset / scale
            weights = log_weights.softmax(-1)
            u[..., d] = _root(z[..., d], centre, scale, weights)

            # what is known of the component once this target is known
            epsilon = scale * (u[..., d, None] - centre)
            log_peak = log_weights + scale.log()
            log_weights = log_peak - 0.5 * epsilon.square()
        _, log_determinant = self._forward(u, x)
        return u, -log_determinant


def _latent(epsilon: Tensor, log_share: Tensor) -> Tensor:
    """Phi^-1 of the distribution function; each half from its own tail, so that neither is 1."""
    log_lower = log_share + log_ndtr(epsilon)
    log_upper = log_share + log_ndtr(-epsilon)
    lower = torch.logsumexp(log_lower, -2).double()
    upper = torch.logsumexp(log_upper, -2).double()
    smaller = torch.minimum(lower, upper)
    log_tail = smaller.clamp(min=_LOWEST)
    below_median = ndtri(log_tail.exp())
    is_below = lower < upper
    z = torch.where(is_below, below_median, -below_median)
    return z.to(epsilon)


def _root(z: Tensor, centre: Tensor, scale: Tensor, share: Tensor) -> Tensor:
    """Solve sum_c share_c Phi(scale_c (u - centre_c)) = Phi(z) for u, (K, B), by bisection.

    The root lies between those of the components. Above the median the upper tails are compared.
    """
    sign = torch.where(z > 0, -1.0, 1.0)
    sign_of_all = sign.unsqueeze(-1)
    target = ndtr(sign * z)

    # roots of single components bracket that of the mixture
    ends = centre + z.unsqueeze(-1) / scale
    low = ends.amin(-1)
    high = ends.amax(-1)
    for _ in range(_NUM_BISECTIONS):
        middle = 0.5 * (low + high)
        epsilon = scale * (middle.unsqueeze(-1) - centre)
        tails = ndtr(sign_of_all * epsilon)
        reached = (share * tails).sum(-1)
        excess = sign * (reached - target)
        is_above = excess > 0
        low = torch.where(is_above, low, middle)
        high = torch.where(is_above, middle, high)
    return 0.5 * (low + high)
