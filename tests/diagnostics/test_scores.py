"""Fast scores against slow obvious ones, and against the scorer that shares no code with us."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import multivariate_normal

from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    bootstrap_weights,
    central_coverage,
    contraction,
    crps,
    energy_score,
    gaussian_log_prob,
    skill,
    z_score,
)
from known import known

SHARED = Path(
    os.environ.get("CINN_CLUSTERS_SHARED", Path(__file__).parents[2].parent / "shared")
)
VALUES = st.floats(-100, 100)


def _slow_crps(draws: np.ndarray, truth: float) -> float:
    num = len(draws)
    distance = sum(abs(draw - truth) for draw in draws) / num
    spread = sum(abs(a - b) for a in draws for b in draws) / (num * (num - 1))
    return distance - 0.5 * spread


def _slow_energy(draws: np.ndarray, truth: np.ndarray) -> float:
    num = len(draws)
    distance = sum(np.linalg.norm(draw - truth) for draw in draws) / num
    spread = sum(np.linalg.norm(a - b) for a in draws for b in draws) / (
        num * (num - 1)
    )
    return float(distance - 0.5 * spread)


def _some(
    num_draws: int = 30, num_objects: int = 5, num_targets: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    samples = rng.gamma(2.0, size=(num_draws, num_objects, num_targets))
    return samples, rng.gamma(2.0, size=(num_objects, num_targets))


@given(
    samples=arrays(
        float, st.tuples(st.integers(2, 7), st.just(2), st.just(2)), elements=VALUES
    ),
    truth=arrays(float, (2, 2), elements=VALUES),
)
def test_crps_is_the_double_sum(samples: np.ndarray, truth: np.ndarray) -> None:
    expected = [
        [_slow_crps(samples[:, n, d], truth[n, d]) for d in range(2)] for n in range(2)
    ]
    np.testing.assert_allclose(crps(samples, truth), expected, atol=1e-9)


def test_crps_of_single_precision_draws_is_that_of_the_same_numbers() -> None:
    samples, truth = _some(1000)
    single = samples.astype(np.float32)
    np.testing.assert_allclose(
        crps(single, truth), crps(single.astype(float), truth), rtol=1e-5
    )


def test_crps_is_fair_in_the_number_of_draws() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(40_000, 1))
    means = [crps(rng.normal(size=(num, 40_000, 1)), truth).mean() for num in (2, 20)]
    assert means == pytest.approx([1 / np.sqrt(np.pi)] * 2, abs=0.01)


def test_energy_score_is_the_double_sum_on_average() -> None:
    samples, truth = _some()
    by_seed = np.stack([energy_score(samples, truth, seed=seed) for seed in range(400)])
    expected = [_slow_energy(samples[:, n], truth[n]) for n in range(5)]
    error = by_seed.std(0, ddof=1) / np.sqrt(len(by_seed))
    assert (np.abs(by_seed.mean(0) - expected) < 4 * error).all()
    assert (error < 0.003 * np.array(expected)).all()


def test_energy_score_of_two_draws_by_hand() -> None:
    """Two draws 5 apart: eight pairings are swaps or not, so the spread is a multiple of 5/8."""
    samples = np.array([[[0.0, 0.0]], [[3.0, 4.0]]])
    score = energy_score(samples, np.zeros((1, 2)))
    spread = (2.5 - score[0]) / (0.5 * 2.0) / (5.0 / 8.0)
    assert spread == pytest.approx(round(spread), abs=1e-9)
    assert 0 < round(spread) < 8


def test_energy_score_of_one_target_is_its_crps_on_average() -> None:
    samples, truth = _some(200, 50, 1)
    many = np.mean([energy_score(samples, truth, seed=seed) for seed in range(20)], 0)
    np.testing.assert_allclose(many, crps(samples, truth)[:, 0], atol=0.03)
    np.testing.assert_allclose(many.mean(), crps(samples, truth).mean(), atol=0.003)


def test_energy_score_repeats() -> None:
    samples, truth = _some()
    np.testing.assert_array_equal(
        energy_score(samples, truth, seed=3), energy_score(samples, truth, seed=3)
    )
    assert (
        energy_score(samples, truth, seed=3) != energy_score(samples, truth, seed=4)
    ).all()


def test_shifting_and_scaling_everything_scales_the_scores() -> None:
    samples, truth = _some()
    np.testing.assert_allclose(
        crps(3 * samples + 7, 3 * truth + 7), 3 * crps(samples, truth), atol=1e-12
    )
    moved = energy_score(3 * samples + 7, 3 * truth + 7)
    np.testing.assert_allclose(moved, 3 * energy_score(samples, truth), atol=1e-12)


def test_coverage_is_between_the_quantiles() -> None:
    samples, truth = _some(999, 200, 3)
    levels = np.array([0.2, 0.5, 0.9])
    slow = [
        [
            [
                np.quantile(samples[:, n, d], 0.5 - c / 2)
                < truth[n, d]
                < np.quantile(samples[:, n, d], 0.5 + c / 2)
                for d in range(3)
            ]
            for n in range(200)
        ]
        for c in levels
    ]
    inside = central_coverage(samples, truth, levels)
    assert inside.dtype == bool
    assert (inside != np.array(slow)).mean() < 0.003, (
        "they may differ where a truth falls on the edge"
    )


def test_levels_and_nesting() -> None:
    np.testing.assert_allclose(COVERAGE_LEVELS, np.arange(1, 20) / 20)
    samples, truth = _some(100, 300)
    inside = central_coverage(samples, truth)
    assert inside.shape == (19, 300, 3)
    assert (inside[1:] | ~inside[:-1]).all(), (
        "a wider interval holds what a narrower one holds"
    )


def test_contraction_is_unclipped_and_by_hand() -> None:
    truth = np.array([[0.0], [2.0]])
    samples = np.array([[[0.0], [0.0]], [[1.0], [4.0]]])
    np.testing.assert_allclose(
        contraction(samples, truth), [1 - np.mean([0.5, 8.0]) / 2.0]
    )
    assert contraction(samples, truth)[0] < 0


def test_contraction_of_single_precision_draws_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    truth = 1e4 + rng.normal(size=(200, 1))
    samples = (1e4 + 0.5 * rng.normal(size=(4000, 200, 1))).astype(np.float32)
    assert contraction(samples, truth)[0] == pytest.approx(
        1 - 0.25 / truth.var(ddof=1), abs=0.01
    )


class TestBootstrap:
    clusters = np.repeat(["c", "a", "b", "d"], [3, 1, 4, 2])

    def test_rows_of_a_cluster_share_their_weight(self) -> None:
        weights = bootstrap_weights(self.clusters, 50)
        assert weights.shape == (50, 10)
        for name in "abcd":
            own = weights[:, self.clusters == name]
            assert (own == own[:, :1]).all()

    def test_each_line_draws_as_many_clusters_as_there_are(self) -> None:
        weights = bootstrap_weights(self.clusters, 200)
        np.testing.assert_allclose(weights.sum(1), 1)
        of_cluster = np.stack(
            [weights[:, self.clusters == name][:, 0] for name in "abcd"], 1
        )
        counts = 4 * of_cluster / of_cluster.sum(1, keepdims=True)
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
        assert (counts == 0).any(), "some cluster is not drawn"

    def test_clusters_are_drawn_four_times_a_line(self) -> None:
        singles = np.array([3, 1, 2, 7])
        counts = bootstrap_weights(singles, 4000) * 4
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-12)
        np.testing.assert_allclose(counts.mean(0), 1.0, atol=0.06)
        np.testing.assert_allclose(counts.var(0), 0.75, atol=0.08)

    def test_error_of_a_mean_counts_clusters_not_rows(self) -> None:
        """Ten copies of each value tell no more than one."""
        values = np.random.default_rng(0).normal(size=200)
        once = (bootstrap_weights(np.arange(200), 2000) @ values).std()
        tenfold = (
            bootstrap_weights(np.repeat(np.arange(200), 10), 2000)
            @ np.repeat(values, 10)
        ).std()
        assert tenfold == pytest.approx(once)
        assert once == pytest.approx(values.std() / np.sqrt(200), rel=0.05)

    def test_seed_decides(self) -> None:
        np.testing.assert_array_equal(
            bootstrap_weights(self.clusters, 5), bootstrap_weights(self.clusters, 5)
        )
        assert (
            bootstrap_weights(self.clusters, 5, seed=2)
            != bootstrap_weights(self.clusters, 5)
        ).any()


class TestAgainstTheSharedScorer:
    @pytest.fixture
    def scorer(self) -> dict[str, Any]:
        path = SHARED / "score.py"
        if not path.is_file():
            pytest.skip(
                f"no independent scorer at {path}: set CINN_CLUSTERS_SHARED to the folder that holds score.py"
            )
        return runpy.run_path(str(path))

    def test_crps(self, scorer: dict[str, Any]) -> None:
        samples, truth = _some(100)
        theirs = np.stack(
            [scorer["crps"](samples[..., d].T, truth[:, d]) for d in range(3)], 1
        )
        np.testing.assert_allclose(crps(samples, truth), theirs, atol=1e-12)

    def test_energy_score(self, scorer: dict[str, Any]) -> None:
        samples, truth = _some(100)
        theirs = scorer["energy"](samples.transpose(1, 0, 2), truth)
        np.testing.assert_allclose(energy_score(samples, truth), theirs, atol=1e-12)

    def test_levels(self, scorer: dict[str, Any]) -> None:
        np.testing.assert_array_equal(COVERAGE_LEVELS, scorer["LEVELS"])


def test_z_scores_by_hand() -> None:
    samples = np.array([[[1.0]], [[2.0]], [[3.0]]])
    np.testing.assert_allclose(z_score(samples, np.array([[0.0]])), [[2.0]])


def test_a_point_has_no_z_score() -> None:
    assert np.isnan(z_score(np.ones((3, 1, 1)), np.zeros((1, 1)))).all()


def test_z_scores_of_a_calibrated_gaussian_are_standard() -> None:
    rng = np.random.default_rng(0)
    z = z_score(rng.normal(5.0, 2.0, (500, 4000, 1)), rng.normal(5.0, 2.0, (4000, 1)))
    assert (z.mean(), z.std()) == pytest.approx((0.0, 1.0), abs=0.04)


def test_skill_is_the_share_saved_and_its_band_that_of_pairs() -> None:
    rng = np.random.default_rng(0)
    reference = rng.gamma(2.0, size=600)
    weights = bootstrap_weights(np.arange(600))
    half = skill(0.5 * reference, reference, weights)
    assert (half.value, half.lower, half.upper) == pytest.approx((0.5, 0.5, 0.5)), (
        "the same resample for both"
    )
    nothing = skill(rng.gamma(2.0, size=600), reference, weights)
    assert not nothing.excludes(0.0)
    assert nothing.upper - nothing.lower > 0.05


def test_gaussian_log_prob_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.gamma(2.0, size=(200, 4, 3)), rng.gamma(2.0, size=(4, 3))
    expected = [
        multivariate_normal(samples[:, n].mean(0), np.cov(samples[:, n].T)).logpdf(
            truth[n]
        )
        for n in range(4)
    ]
    np.testing.assert_allclose(gaussian_log_prob(samples, truth), expected)


def test_likelihood_of_the_known_posterior_and_prior() -> None:
    world = known(2000, num_draws=999)
    exact = -world.log_prob("exact", world.truth).mean()
    assert (
        exact
        == pytest.approx(3 * (1 + np.log(2 * np.pi * 0.2)), abs=0.08)
        == pytest.approx(3.685, abs=0.08)
    )
    gaussian = -gaussian_log_prob(world.samples("exact"), world.truth).mean()
    assert gaussian == pytest.approx(exact, abs=0.05)
    prior = -gaussian_log_prob(world.prior, world.truth).mean()
    assert prior - exact == pytest.approx(3 * np.log(5), abs=0.15)


def test_draws_that_are_flat_have_no_gaussian() -> None:
    samples = np.random.default_rng(0).normal(size=(20, 2, 2))
    samples[:, 1, 1] = samples[:, 1, 0]
    with pytest.raises(
        ValueError,
        match=r"^gaussian_log_prob: expected samples that span 2 directions; got fewer$",
    ):
        gaussian_log_prob(samples, np.zeros((2, 2)))
