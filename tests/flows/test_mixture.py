"""The mixture is what torch.distributions says it is, and its draws follow it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from cinn_clusters.flows.mixture import GaussianMixture
from cinn_clusters.nn.stacked import NetworkShape


def _mixture(
    num_targets: int, num_components: int = 4, distance: float = 0.3
) -> GaussianMixture:
    generator = torch.Generator().manual_seed(0)
    shape = NetworkShape(2, (8,))
    mixture = GaussianMixture(num_targets, 2, generator, num_components, shape).double()
    with torch.no_grad():
        mixture.start *= 4.0  # means far apart
        for parameter in mixture.parameters():
            parameter += distance * torch.randn(parameter.shape, generator=generator)
    return mixture


def _oracle(mixture: GaussianMixture, x: Tensor) -> MixtureSameFamily:
    log_weights, means, roots = mixture._components(x)
    covariance = torch.linalg.inv(roots.mT @ roots)
    return MixtureSameFamily(
        Categorical(logits=log_weights), MultivariateNormal(means, covariance)
    )


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.mark.parametrize("num_targets", [1, 2, 6])
def test_density_is_the_mixture(num_targets: int) -> None:
    mixture, u, x = (
        _mixture(num_targets),
        _normal(1, 2, 30, num_targets),
        _normal(2, 2, 30, 2),
    )
    z, log_det = mixture(u, x)
    log_prob = (
        log_det - 0.5 * z.square().sum(-1) - 0.5 * num_targets * math.log(2 * math.pi)
    )
    torch.testing.assert_close(
        log_prob, _oracle(mixture, x).log_prob(u), rtol=0, atol=1e-9
    )


def test_draws_have_the_moments_of_the_mixture() -> None:
    mixture, x = _mixture(2), _normal(2, 2, 1, 2).expand(-1, 20_000, -1)
    with torch.no_grad():
        u = mixture.inverse(_normal(3, 2, 20_000, 2), x)[0]
        oracle = _oracle(mixture, x[:, :1])
        error = (oracle.variance[:, 0] / 20_000).sqrt()
    assert ((u.mean(1) - oracle.mean[:, 0]).abs() < 4 * error).all()
    torch.testing.assert_close(u.var(1), oracle.variance[:, 0], rtol=0.06, atol=0)


def test_tails_are_told_apart_from_bounds() -> None:
    """In single precision, too, a point ten standard deviations out has a finite image and
    density."""
    mixture, x = _mixture(2).float(), torch.zeros(2, 1, 2)
    z, log_det = mixture(torch.full((2, 1, 2), 12.0), x)
    assert torch.isfinite(z).all()
    assert torch.isfinite(log_det).all()


def test_components_start_apart() -> None:
    """Components that start alike would stay alike."""
    mixture = GaussianMixture(
        3, 2, torch.Generator().manual_seed(0), 5, NetworkShape(1, (8,))
    )
    means = mixture._components(torch.zeros(1, 1, 2))[1][0, 0]
    assert torch.pdist(means).min() > 0.1
