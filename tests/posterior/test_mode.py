"""The joint mode against closed forms and brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.posterior import mode as module
from cinn_clusters.posterior.mode import joint_mode
from cinn_clusters.posterior.posterior import Posterior


def log_density(
    posterior: Posterior, theta: np.ndarray, inputs: np.ndarray
) -> np.ndarray:
    """Log-density per unit of u, (N,)."""
    context = posterior.context(inputs)
    u = posterior.transforms.standardise_targets(theta.astype(float), context.anchors)
    with torch.no_grad():
        return posterior.unbounded_log_prob(u, context).numpy()


ALL = ("last_T_coll", "last_V_coll", "last_M_Crit500_coll", "last_Mass_ratio", "my_own")


def test_mode_of_a_gaussian_is_its_mean(make_posterior, inputs) -> None:
    posterior = make_posterior("my_own", "another")
    mode, log_prob = joint_mode(posterior, inputs, posterior.sample(inputs, 500))
    np.testing.assert_allclose((mode - [5.0, -1.0]) / [2.0, 0.3], 0.0, atol=0.02)
    np.testing.assert_allclose(log_prob, -np.log(2 * np.pi), atol=1e-3)


def test_mode_is_that_of_the_density_in_unbounded_coordinates(
    make_posterior, inputs
) -> None:
    """A Gaussian in u: the mode is the median, wherever the physical density diverges."""
    posterior = make_posterior("last_T_coll", "last_Mass_ratio")
    mode, _ = joint_mode(posterior, inputs, posterior.sample(inputs, 1000))
    share = 1.0 - mode[:, 0] / age_at_lookback(inputs[:, 0])
    np.testing.assert_allclose(share, 1.0 / (1.0 + np.e), atol=0.005)
    np.testing.assert_allclose(mode[:, 1], 1.0 / (1.0 + np.e), atol=0.005)


def test_time_since_collision_is_not_put_at_the_observation(
    make_posterior, inputs
) -> None:
    """A wide density of the time diverges per Gyr at the observation; its mode in u does not."""
    posterior = make_posterior("last_T_coll", "my_own", num_members=2, distance=0.2)
    wide = replace(
        posterior.transforms,
        targets=tuple(
            replace(target, scale=3.0) for target in posterior.transforms.targets
        ),
    )
    posterior = replace(posterior, transforms=wide)
    samples = posterior.sample(inputs, 2000)
    mode, _ = joint_mode(posterior, inputs, samples)
    lower, upper = np.quantile(samples, [0.025, 0.975], axis=0)
    assert ((mode > lower) & (mode < upper)).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mode_is_found_by_brute_force_too(make_posterior, inputs, seed) -> None:
    posterior = make_posterior(
        "last_T_coll", "my_own", num_members=2, distance=0.15, seed=seed
    )
    samples = posterior.sample(inputs[:2], 1000)
    mode, log_prob = joint_mode(posterior, inputs[:2], samples)
    for n in range(2):
        low, high = (np.quantile(samples[:, n], q, axis=0) for q in (0.001, 0.999))
        axes = [np.linspace(low[d], high[d], 300) for d in range(2)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        density = log_density(posterior, grid, np.tile(inputs[n], (len(grid), 1)))
        assert log_prob[n] > density.max() - 0.01
    np.testing.assert_allclose(
        log_density(posterior, mode, inputs[:2]), log_prob, atol=1e-3
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mode_is_never_below_the_best_draw_it_tried(
    make_posterior, inputs, seed
) -> None:
    posterior = make_posterior(*ALL, num_members=3, distance=0.2, seed=seed)
    samples = posterior.sample(inputs, 300, seed=seed)
    mode, log_prob = joint_mode(posterior, inputs, samples)
    tried = np.stack(
        [
            log_density(posterior, layer, inputs)
            for layer in samples[: module.NUM_CANDIDATES]
        ]
    )
    assert (log_prob >= tried.max(0) - 1e-4).all()
    assert (log_prob > tried.max(0) + 0.1).any(), "the climb must gain somewhere"
    np.testing.assert_allclose(
        log_density(posterior, mode, inputs), log_prob, atol=1e-3
    )


def test_mode_stays_in_the_box_of_the_draws_and_physical(
    make_posterior, inputs
) -> None:
    posterior = make_posterior(*ALL, num_members=2, distance=0.2)
    samples = posterior.sample(inputs, 100)
    mode, _ = joint_mode(posterior, inputs, samples)
    assert (mode >= samples.min(0) * (1 - 1e-5)).all()
    assert (mode <= samples.max(0) * (1 + 1e-5)).all()
    assert (mode[:, 0] < age_at_lookback(inputs[:, 0])).all()


def test_density_that_diverges_at_the_edge_stops_at_the_box(
    make_posterior, inputs
) -> None:
    """A wide Gaussian in logit space is U-shaped in physical space: its supremum is no collision
    anyone had."""
    posterior = make_posterior("last_T_coll", "another")
    samples = posterior.sample(inputs, 200)
    samples[:, :, 0] = np.linspace(0.2, 0.8, 200)[:, None] * age_at_lookback(
        inputs[:, 0]
    )
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
    np.testing.assert_allclose(
        log_density(posterior, mode, inputs), log_prob, atol=1e-3
    )
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


def test_engines_find_the_same_mode(make_posterior, inputs) -> None:
    posterior = make_posterior("last_T_coll", "my_own", num_members=2, distance=0.2)
    samples = posterior.sample(inputs, 100)
    expected, height = joint_mode(posterior, inputs, samples, kernels="reference")
    mode, compiled = joint_mode(posterior, inputs, samples, kernels="compiled")
    np.testing.assert_allclose(compiled, height, atol=5e-3)
    np.testing.assert_allclose(mode, expected, rtol=0.05)
