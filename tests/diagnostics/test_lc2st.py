"""L-C2ST catches what is wrong, says for which objects, and stays calm on clusters of a
calibrated posterior."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cinn_clusters.diagnostics.lc2st import (
    NUM_NEWTON_STEPS,
    PENALTY,
    LocalTestOptions,
    lc2st,
    logistic,
)
from known import NAMES, known


def test_logistic_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    known_rows, asked = rng.normal(size=(400, 5)), rng.normal(size=(60, 5))
    labels = (
        known_rows @ rng.normal(size=(5, 3)) + rng.normal(size=(400, 3)) > 0.5
    ).astype(float)
    chance = logistic(known_rows, labels, asked)
    assert chance.shape == (60, 3)
    assert NUM_NEWTON_STEPS >= 10
    for h in range(3):
        theirs = (
            LogisticRegression(C=1 / PENALTY, tol=1e-8)
            .fit(known_rows, labels[:, h])
            .predict_proba(asked)[:, 1]
        )
        np.testing.assert_allclose(chance[:, h], theirs, atol=0.01)


def test_sets_of_labels_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(0)
    rows, asked, labels = (
        rng.normal(size=(50, 3)),
        rng.normal(size=(7, 3)),
        rng.integers(2, size=(50, 4)).astype(float),
    )
    together = logistic(rows, labels, asked)
    for h in range(4):
        np.testing.assert_allclose(
            together[:, [h]], logistic(rows, labels[:, [h]], asked), atol=1e-12
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_wrong_posterior_is_caught(name: str) -> None:
    world = known(1000)
    found = lc2st(world.samples(name), world.truth, world.x, world.clusters)
    assert found.null.shape == (250,)
    assert found.local.shape == found.local_p_values.shape == (1000,)
    assert found.statistic == pytest.approx(found.local.mean())
    assert (found.p_value < 0.005) is (name != "exact")
    if name == "exact":
        assert found.p_value > 0.05
        assert (found.local_p_values < 0.05).mean() < 0.15
    else:
        assert (found.local_p_values < 0.05).mean() > 0.6


def test_map_shows_where_a_posterior_fails() -> None:
    """Biased only where the first observable is high."""
    world = known(1500)
    samples = world.samples("exact")
    fails = world.x[:, 0] > 1.0
    samples[:, fails] += 0.6
    found = lc2st(samples, world.truth, world.x, world.clusters)
    assert found.p_value < 0.005
    assert found.local[fails].mean() > 2 * found.local[~fails].mean()


@pytest.mark.parametrize("name", ["exact", "biased", "wide", "prior"])
def test_clusters_that_share_their_truth(name: str) -> None:
    world = known(190, 8)
    found = lc2st(world.samples(name), world.truth, world.x, world.clusters)
    assert (found.p_value < 0.01) is (name != "exact")


def test_exchanging_whole_clusters_keeps_false_alarms_rare_where_exchanging_rows_does_not() -> (
    None
):
    alarms = []
    for seed in range(20):
        world = known(50, 8, num_draws=30, shared=0.95, seed=seed)
        samples = world.samples("exact")[:, :, :2]
        found = [
            lc2st(
                samples,
                world.truth[:, :2],
                world.x[:, :2],
                of,
                options=LocalTestOptions(num_null=99),
                seed=seed,
            ).p_value
            for of in (world.clusters, np.arange(len(world.clusters)))
        ]
        alarms.append(np.array(found) < 0.05)
    of_clusters, of_rows = np.mean(alarms, 0)
    assert of_clusters <= 0.2
    assert of_rows >= 0.5


def test_another_classifier_can_be_passed() -> None:
    world = known(60)
    asked_for = []

    def coin(
        known_rows: np.ndarray, labels: np.ndarray, asked: np.ndarray
    ) -> np.ndarray:
        asked_for.append((known_rows.shape[1], labels.shape[1]))
        return np.full((len(asked), labels.shape[1]), 0.5)

    found = lc2st(
        world.samples("prior"),
        world.truth,
        world.x,
        world.clusters,
        options=LocalTestOptions(coin, 9),
    )
    assert found.statistic == 0.0
    assert found.p_value == 1.0
    assert asked_for == [(12 + 12 * 13 // 2, 10)] * 5


def test_one_draw_is_not_enough() -> None:
    with pytest.raises(
        ValueError, match=r"^lc2st: expected two samples or more; got 1$"
    ):
        lc2st(np.zeros((1, 3, 1)), np.zeros((3, 1)), np.zeros((3, 1)), np.arange(3))
