"""The joint mode against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.posterior import mode as module
from cinn_clusters.posterior.mode import joint_mode

ALL = ("last_T_coll", "last_V_coll", "last_M_Crit500_coll", "last_Mass_ratio", "my_own")


def test_mode_of_a_gaussian_is_its_mean(make_posterior, inputs) -> None:
    posterior = make_posterior("my_own", "another")
    mode, log_prob = joint_mode(posterior, inputs, posterior.sample(inputs, 500))
    np.testing.assert_allclose((mode - [5.0, -1.0]) / [2.0, 0.3], 0.0, atol=0.02)
    np.testing.assert_allclose(log_prob, -np.log(2 * np.pi * 2.0 * 0.3), atol=1e-3)


def test_mode_is_that_of_the_physical_density(make_posterior, inputs) -> None:
    """A Gaussian in logit space: the physical mode is pulled from its median by the Jacobian."""
    posterior = make_posterior("last_Mass_ratio", "last_V_coll")

    def _minus_density(ratio: float) -> float:
        raw = np.log(ratio / (1 - ratio))
        return 0.5 * (raw + 1.0) ** 2 + np.log(ratio * (1 - ratio))

    by_hand = minimize_scalar(_minus_density, bounds=(1e-6, 1 - 1e-6), method="bounded").x
    mode, _ = joint_mode(posterior, inputs, posterior.sample(inputs, 1000))
    np.testing.assert_allclose(mode[:, 0], by_hand, atol=0.003)
    assert by_hand < 0.8 / (1 + np.e), "the median is elsewhere"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mode_is_found_by_brute_force_too(make_posterior, inputs, seed) -> None:
    posterior = make_posterior("last_T_coll", "my_own", num_members=2, distance=0.15, seed=seed)
    samples = posterior.sample(inputs[:2], 1000)
    mode, log_prob = joint_mode(posterior, inputs[:2], samples)
    for n in range(2):
        low, high = (np.quantile(samples[:, n], q, axis=0) for q in (0.001, 0.999))
        axes = [np.linspace(low[d], high[d], 300) for d in range(2)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        density = posterior.log_prob(grid, np.tile(inputs[n], (len(grid), 1)))
        assert log_prob[n] > density.max() - 0.01
    np.testing.assert_allclose(posterior.log_prob(mode, inputs[:2]), log_prob, atol=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mode_is_never_below_the_best_draw_it_tried(make_posterior, inputs, seed) -> None:
    posterior = make_posterior(*ALL, num_members=3, distance=0.2, seed=seed)
    samples = posterior.sample(inputs, 300, seed=seed)
    mode, log_prob = joint_mode(posterior, inputs, samples)
    tried = posterior.log_prob(samples[: module.NUM_TRIED], inputs)
    assert (log_prob >= tried.max(0) - 1e-4).all()
    assert (log_prob > tried.max(0) + 0.1).any(), "the climb must gain somewhere"
    np.testing.assert_allclose(posterior.log_prob(mode, inputs), log_prob, atol=1e-3)


def test_mode_stays_in_the_box_of_the_draws_and_physical(make_posterior, inputs) -> None:
    posterior = make_posterior(*ALL, num_members=2, distance=0.2)
    samples = posterior.sample(inputs, 100)
    mode, _ = joint_mode(posterior, inputs, samples)
    assert (mode >= samples.min(0) * (1 - 1e-5)).all()
    assert (mode <= samples.max(0) * (1 + 1e-5)).all()
    assert (mode[:, 0] < age_at_lookback(inputs[:, 0])).all()


def test_density_that_diverges_at_the_edge_stops_at_the_box(make_posterior, inputs) -> None:
    """A wide Gaussian in logit space is U-shaped in physical space: its supremum is no collision
    anyone had."""
    posterior = make_posterior("last_T_coll", "another")
    samples = posterior.sample(inputs, 200)
    samples[:, :, 0] = np.linspace(0.2, 0.8, 200)[:, None] * age_at_lookback(inputs[:, 0])
    mode, log_prob = joint_mode(posterior, inputs, samples)
    share = mode[:, 0] / age_at_lookback(inputs[:, 0])
    assert (share >= 0.2 - 1e-6).all()
    assert (share <= 0.8 + 1e-6).all()
    assert np.isfinite(log_prob).all()


def test_draw_on_its_bound_is_no_obstacle(make_posterior, inputs) -> None:
    """A posterior file of someone else may hold draws that were rounded onto the age."""
    posterior = make_posterior("last_T_coll", "my_own", distance=0.1)
    samples = posterior.sample(inputs, 100).astype(float)
    expected, _ = joint_mode(posterior, inputs, samples)
    samples[::10, :, 0] = age_at_lookback(inputs[:, 0])
    mode, log_prob = joint_mode(posterior, inputs, samples)
    assert np.isfinite(mode).all()
    np.testing.assert_allclose(posterior.log_prob(mode, inputs), log_prob, atol=1e-3)
    assert mode.shape == expected.shape


def test_few_draws_are_enough(make_posterior, inputs) -> None:
    posterior = make_posterior("my_own", "another")
    samples = posterior.sample(inputs, 1)
    mode, _ = joint_mode(posterior, inputs, samples)
    np.testing.assert_allclose(mode, samples[0], rtol=1e-5)


def test_batches_of_objects_do_not_matter(make_posterior, inputs, monkeypatch) -> None:
    posterior = make_posterior("last_T_coll", "my_own", num_members=2, distance=0.2)
    samples = posterior.sample(inputs, 100)
    whole, _ = joint_mode(posterior, inputs, samples)
    monkeypatch.setattr(module, "OBJECTS_A_BATCH", 3)
    pieces, log_prob = joint_mode(posterior, inputs, samples)
    assert log_prob.shape == (len(inputs),)
    np.testing.assert_allclose(pieces, whole, rtol=1e-3)
