"""TARP against a slow loop, and what references from x see that plain ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from cinn_clusters.diagnostics.bands import Uniformity, uniformity
from cinn_clusters.diagnostics.ranks import randomised_shares
from cinn_clusters.diagnostics.scores import bootstrap_weights
from cinn_clusters.diagnostics.tarp import (
    cluster_folds,
    plain_references,
    references_from_x,
    standardised,
    tarp_fractions,
)
from known import NAMES, Known, known


def test_fractions_count_nearer_draws() -> None:
    rng = np.random.default_rng(0)
    samples, truth, points = (
        rng.normal(size=(40, 6, 3)),
        rng.normal(size=(6, 3)),
        rng.normal(size=(6, 3)),
    )
    slow = [
        np.mean(
            [
                np.linalg.norm(draw - points[n]) < np.linalg.norm(truth[n] - points[n])
                for draw in samples[:, n]
            ]
        )
        for n in range(6)
    ]
    np.testing.assert_allclose(tarp_fractions(samples, truth, points), slow)


def from_x(world: Known, name: str) -> Uniformity:
    points = references_from_x(world.truth, world.x, world.clusters)
    fractions = tarp_fractions(world.samples(name), world.truth, points)
    return uniformity(
        randomised_shares(fractions, len(world.noise)),
        bootstrap_weights(world.clusters, 999),
    )


def plain(world: Known, name: str) -> Uniformity:
    fractions = tarp_fractions(
        world.samples(name), world.truth, plain_references(world.truth)
    )
    return uniformity(
        randomised_shares(fractions, len(world.noise)),
        bootstrap_weights(world.clusters, 999),
    )


@pytest.mark.parametrize("shape", [(300, 1), (150, 8)], ids=["rows", "clusters"])
@pytest.mark.parametrize("name", NAMES)
def test_references_from_x_catch_every_wrong_posterior(
    name: str, shape: tuple[int, int]
) -> None:
    found = from_x(known(*shape), name)
    assert (found.p_value < 0.005) is (name != "exact")
    assert found.is_inside is (name == "exact")


def test_plain_references_miss_the_prior_however_many_the_rows() -> None:
    world = known(1500)
    assert plain(world, "prior").p_value > 0.05
    assert from_x(world, "prior").p_value == 0.001
    assert from_x(world, "prior").ks > 0.8


def test_plain_references_mostly_miss_a_bias_that_references_from_x_catch() -> None:
    """Half a sigma, 300 rows: seen from a point anywhere the bias is only a little more spread."""
    worlds = [known(300, seed=seed) for seed in range(8)]
    assert all(from_x(world, "biased").p_value < 0.01 for world in worlds)
    assert sum(plain(world, "biased").p_value < 0.01 for world in worlds) <= 4


def test_false_alarms_on_clusters_are_as_rare_as_promised() -> None:
    alarms = [
        from_x(known(60, 8, num_draws=50, shared=0.95, seed=seed), "exact").p_value
        < 0.05
        for seed in range(40)
    ]
    assert np.mean(alarms) <= 0.125


def test_no_reference_has_seen_a_truth_of_its_cluster() -> None:
    """Move the truths of one cluster within the range of the others: its own references stay the
    same bits."""
    world = known(40, 8)
    moved = world.truth.copy()
    own = world.clusters == 3
    moved[own] = -moved[own]
    scale = world.truth.std(0) / moved.std(0)
    one = references_from_x(world.truth, world.x, world.clusters)
    two = references_from_x(moved, world.x, world.clusters)
    step = two - one
    rest = step[~own]
    np.testing.assert_allclose(scale, 1.0, atol=0.2)
    noise = np.random.default_rng([0, 1]).normal(size=moved.shape) * 0.1
    without = [
        points - noise * truth.std(0)
        for points, truth in ((one, world.truth), (two, moved))
    ]
    np.testing.assert_allclose(without[0][own], without[1][own], atol=1e-12)
    assert (rest != 0).any()


def test_references_are_near_what_x_says() -> None:
    world = known(1500)
    away = references_from_x(world.truth, world.x, world.clusters) - 0.8 * world.x
    assert away.std() == pytest.approx(0.1, abs=0.02)


def test_plain_references_fill_the_box_of_the_truths() -> None:
    world = known(500)
    points = plain_references(world.truth)
    assert (points >= world.truth.min(0)).all()
    assert (points <= world.truth.max(0)).all()
    assert np.abs(np.corrcoef(points[:, 0], world.x[:, 0])[0, 1]) < 0.15
    np.testing.assert_array_equal(points, plain_references(world.truth))
    assert (points != plain_references(world.truth, seed=1)).all()


@pytest.mark.parametrize("num_clusters", [2, 3, 5, 23])
def test_folds_answer_once_and_share_no_cluster(num_clusters: int) -> None:
    clusters = np.random.default_rng(0).permutation(
        np.repeat(np.arange(num_clusters), 3)
    )
    answered = np.zeros(len(clusters), int)
    for rest, here in cluster_folds(clusters):
        assert not set(clusters[rest]) & set(clusters[here])
        assert (rest ^ here).all()
        assert here.any()
        answered += here
    assert (answered == 1).all()


def test_one_cluster_is_not_enough() -> None:
    with pytest.raises(
        ValueError, match=r"^cluster_folds: expected two clusters or more; got 1$"
    ):
        references_from_x(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3))


def test_a_constant_column_becomes_zero() -> None:
    scaled = standardised(np.array([[1.0, 5.0], [3.0, 5.0]]))
    np.testing.assert_array_equal(scaled, [[-1.0, 0.0], [1.0, 0.0]])
