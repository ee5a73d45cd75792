"""What a posterior has to beat, against slow leaf weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from cinn_clusters.evaluation.reference_posteriors import (
    _MIN_LEAF,
    _NUM_TREES,
    forest_samples,
    prior_samples,
)


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training observables and targets, and new observables; the second target is noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    theta = np.stack(
        [x[:, 0] + 0.1 * rng.normal(size=120), 50 * rng.normal(size=120)], 1
    )
    return x, theta, rng.normal(size=(4, 3))


@pytest.fixture(scope="module")
def draws(table: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    return forest_samples(*table, 6000, seed=3)


def _row_numbers(draws: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Training row of each draw; fails where a draw is none."""
    same = (draws[..., None, :] == theta).all(-1)
    assert (same.sum(-1) == 1).all(), "every draw is one training row, whole"
    return same.argmax(-1)


def test_prior_is_whole_training_rows_drawn_evenly() -> None:
    theta = np.random.default_rng(1).normal(size=(20, 3))
    draws = prior_samples(theta, 5, 4000, seed=2)
    assert draws.shape == (4000, 5, 3)
    counts = np.stack(
        [np.bincount(row, minlength=20) for row in _row_numbers(draws, theta).T]
    )
    np.testing.assert_allclose(counts / 4000, 1 / 20, atol=0.015)


def test_prior_differs_between_objects_and_repeats_by_seed() -> None:
    theta = np.arange(100.0)[:, None]
    draws = prior_samples(theta, 3, 50, seed=2)
    assert (draws[:, 0] != draws[:, 1]).any()
    np.testing.assert_array_equal(draws, prior_samples(theta, 3, 50, seed=2))
    assert (draws != prior_samples(theta, 3, 50, seed=4)).any()


def test_forest_draws_follow_the_leaf_weights(
    table: tuple[np.ndarray, np.ndarray, np.ndarray], draws: np.ndarray
) -> None:
    """Meinshausen (2006), eq. 4, in three loops: mean over trees of 1 / (rows in the leaf), for
    rows in the leaf."""
    x, theta, x_new = table
    forest = RandomForestRegressor(
        _NUM_TREES, min_samples_leaf=_MIN_LEAF, max_features=0.5, random_state=3
    )
    forest.fit(x, (theta - theta.mean(0)) / theta.std(0))
    known, new = forest.apply(x), forest.apply(x_new)
    rows = _row_numbers(draws, theta)
    assert draws.shape == (6000, 4, 2)
    for n in range(4):
        weights = np.zeros(len(x))
        for tree in range(_NUM_TREES):
            in_leaf = [i for i in range(len(x)) if known[i, tree] == new[n, tree]]
            for i in in_leaf:
                weights[i] += 1 / len(in_leaf) / _NUM_TREES
        share = np.bincount(rows[:, n], minlength=len(x)) / 6000
        assert weights.sum() == pytest.approx(1)
        assert weights.max() > 3 / len(x), "flat weights could not tell"
        assert (
            np.abs(share - weights)
            < 4.5 * np.sqrt(weights * (1 - weights) / 6000) + 1e-3
        ).all()
        assert (share[weights == 0] == 0).all()


def test_forest_knows_what_can_be_known() -> None:
    rng = np.random.default_rng(1)
    x, x_new = rng.normal(size=(800, 2)), rng.uniform(-1, 1, size=(6, 2))
    known, unknown = (
        x[:, :1] + 0.1 * rng.normal(size=(800, 1)),
        rng.normal(size=(800, 1)),
    )
    draws = forest_samples(x, known, x_new, 500)[..., 0]
    np.testing.assert_allclose(np.median(draws, 0), x_new[:, 0], atol=0.3)
    assert (draws.std(0) < 0.5 * known.std()).all()
    assert (
        forest_samples(x, unknown, x_new, 500)[..., 0].std(0) > 0.6 * unknown.std()
    ).all()


def test_targets_count_alike_whatever_their_units(
    table: tuple[np.ndarray, np.ndarray, np.ndarray], draws: np.ndarray
) -> None:
    """The noisy target in a unit a million times smaller must not win the splits."""
    x, theta, x_new = table
    again = forest_samples(x, theta * [1.0, 1e6], x_new, 6000, seed=3)
    np.testing.assert_allclose(again / [1.0, 1e6], draws, rtol=1e-9)


def test_one_target_will_do(table: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, theta, x_new = table
    draws = forest_samples(x, theta[:, :1], x_new, 200)
    assert draws.shape == (200, 4, 1)
    _row_numbers(draws, theta[:, :1])


def test_forest_repeats_by_seed_whatever_its_size(
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, theta, x_new = table
    draws = forest_samples(x, theta, x_new, 20, seed=2**40 + 1)
    np.testing.assert_array_equal(
        draws, forest_samples(x, theta, x_new, 20, seed=2**40 + 1)
    )
    assert (draws != forest_samples(x, theta, x_new, 20, seed=5)).any()
