"""Mixtures over members and contexts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

ALL = ("last_T_coll", "last_V_coll", "last_Mass_ratio", "my_own")


@pytest.fixture(scope="module")
def posterior(make_posterior):
    return make_posterior(*ALL, num_members=3, distance=0.2)


@pytest.mark.parametrize("num_samples", [1, 2, 7, 12])
def test_own_density_is_that_of_the_member_that_draws_a_sample(
    posterior, inputs, num_samples
) -> None:
    density = posterior.density(posterior.as_query(inputs))
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(num_samples, len(inputs), len(ALL), generator=generator).double()
    log_prob = density.own_log_prob(u)
    num_judged = num_samples // 3 * 3
    assert (log_prob[num_judged:] == -np.inf).all()
    x = density.contexts.x.expand(3, -1, -1)
    for number in range(num_judged):
        with torch.no_grad():
            points = u[number].float().expand(3, -1, -1)
            of_members = posterior.flow.log_prob(points, x).double()
        torch.testing.assert_close(log_prob[number], of_members[number % 3])


def test_layers_of_points_are_as_one_after_the_other(posterior, inputs) -> None:
    density = posterior.density(posterior.as_query(inputs))
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(5, len(inputs), len(ALL), generator=generator).double()
    with torch.no_grad():
        one_by_one = torch.stack([density.log_prob(layer) for layer in u])
        torch.testing.assert_close(density.log_prob(u), one_by_one)


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
