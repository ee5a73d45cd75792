"""Mixtures over members and contexts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cinn_clusters.posterior.contexts import sample_sources

ALL = ("last_T_coll", "last_V_coll", "last_Mass_ratio", "my_own")


@pytest.fixture(scope="module")
def posterior(make_posterior):
    return make_posterior(*ALL, num_members=3, distance=0.2)


def test_samples_use_every_member_in_every_context_alike() -> None:
    context, member = sample_sources(24, 4, 3)
    pairs, counts = np.unique(np.stack([context, member]), axis=1, return_counts=True)
    assert pairs.shape == (2, 12)
    assert (counts == 2).all()


@pytest.mark.parametrize("num_samples", [1, 2, 7, 12])
def test_own_density_is_that_of_the_member_that_draws_a_sample(
    posterior, inputs, num_samples
) -> None:
    density = posterior.density(posterior.as_query(inputs))
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(num_samples, len(inputs), len(ALL), generator=generator).double()
    log_prob = density.own_log_prob(u)
    for number, layer in enumerate(u):
        with torch.no_grad():
            of_members = density.of_members(layer, density.contexts)
        torch.testing.assert_close(log_prob[number], of_members[number % 3])


def test_gradient_is_that_of_finite_differences(posterior, inputs) -> None:
    density = posterior.density(posterior.as_query(inputs))
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(len(inputs), len(ALL), generator=generator).double()
    log_prob, gradient = density.gradient(u)
    step = 1e-2
    for axis in range(len(ALL)):
        offset = torch.zeros_like(u)
        offset[:, axis] = step
        with torch.no_grad():
            rise = density.log_prob(u + offset) - density.log_prob(u - offset)
        slope = gradient[:, axis]
        np.testing.assert_allclose(rise / (2.0 * step), slope, atol=0.02, rtol=0.02)
    torch.testing.assert_close(density.log_prob(u).detach(), log_prob)


def test_rows_are_those_of_their_objects(posterior, inputs) -> None:
    density = posterior.density(posterior.as_query(inputs))
    objects = np.array([3, 0, 3])
    u = torch.zeros(3, len(ALL), dtype=torch.float64)
    with torch.no_grad():
        whole = density.log_prob(torch.zeros(len(inputs), len(ALL)).double())
        chosen = density.rows(objects).log_prob(u)
    torch.testing.assert_close(chosen, whole[objects])
