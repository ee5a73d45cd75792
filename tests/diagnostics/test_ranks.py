"""Ranks, PIT and their chi-square against slow loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cinn_clusters.diagnostics.ranks import (
    pit,
    randomised_shares,
    ranks,
    sbc_chi_square,
    whole_bins,
)
from cinn_clusters.diagnostics.scores import bootstrap_weights
from known import NAMES, known


def test_ranks_are_counts() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(30, 5, 2)), rng.normal(size=(5, 2))
    slow = [
        [sum(draw < truth[n, d] for draw in samples[:, n, d]) for d in range(2)]
        for n in range(5)
    ]
    np.testing.assert_array_equal(ranks(samples, truth), slow)


def test_pit_lies_between_the_shares_below_and_stays_inside() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(9, 400, 1)), 2 * rng.normal(size=(400, 1))
    value, below = pit(samples, truth), ranks(samples, truth)
    assert ((value >= below / 10) & (value <= (below + 1) / 10)).all()
    assert ((value > 0) & (value < 1)).all()
    np.testing.assert_array_equal(value, pit(samples, truth))
    assert (value != pit(samples, truth, seed=1)).all()


@pytest.mark.parametrize("num_draws", [1, 4, 50])
def test_pit_of_a_calibrated_posterior_is_uniform_for_any_number_of_draws(
    num_draws: int,
) -> None:
    rng = np.random.default_rng(1)
    value = pit(rng.normal(size=(num_draws, 20_000, 1)), rng.normal(size=(20_000, 1)))
    assert stats.kstest(value[:, 0], "uniform").pvalue > 0.01


def test_shares_of_few_draws_are_uniform_once_spread() -> None:
    rng = np.random.default_rng(1)
    shares = rng.integers(0, 11, 20_000) / 10
    assert stats.kstest(shares, "uniform").pvalue < 1e-9
    spread = randomised_shares(shares, 10)
    assert stats.kstest(spread, "uniform").pvalue > 0.01
    assert (
        (spread > 10 * shares / 11 - 1e-9) & (spread < (10 * shares + 1) / 11 + 1e-9)
    ).all()
    each = randomised_shares(np.array([0.0, 1.0]), np.array([1, 3]))
    assert each[0] < 0.5
    assert each[1] > 0.75


def test_chi_square_of_independent_rows_is_that_of_scipy() -> None:
    ranked = np.random.default_rng(0).binomial(99, 0.5, 600)
    flat = np.random.default_rng(0).integers(100, size=600)
    weights = bootstrap_weights(np.arange(600), 999)
    for values in (ranked, flat):
        found = sbc_chi_square(values, 99, weights)
        theirs = stats.chisquare(np.histogram(values, 20, (0, 100))[0])
        assert found.statistic == pytest.approx(theirs.statistic)
        assert found.p_value_of_rows == pytest.approx(theirs.pvalue)
        assert found.counts.sum() == 600
    assert sbc_chi_square(ranked, 99, weights).p_value == 0.001
    assert sbc_chi_square(flat, 99, weights).p_value == pytest.approx(
        stats.chisquare(np.histogram(flat, 20, (0, 100))[0]).pvalue, abs=0.12
    )


@pytest.mark.parametrize("num_draws", [1000, 18, 20])
def test_bins_that_do_not_fit(num_draws: int) -> None:
    told = rf"^sbc_chi_square: expected samples \+ 1 to be a multiple of 20; got {num_draws} samples; leave some out$"
    with pytest.raises(ValueError, match=told):
        sbc_chi_square(np.zeros(5, int), num_draws, bootstrap_weights(np.arange(5)))


def test_whole_bins_leave_out_as_few_draws_as_needed() -> None:
    for num_draws in range(1, 130):
        kept = whole_bins(num_draws)
        assert kept <= num_draws
        assert (kept + 1) % 20 == 0 or kept == 0
        assert num_draws - kept < 20


@pytest.mark.parametrize("name", NAMES)
def test_chi_square_of_known_posteriors(name: str) -> None:
    world = known(1500)
    weights = bootstrap_weights(world.clusters, 499)
    ranked = ranks(world.samples(name), world.truth)
    found = [sbc_chi_square(ranked[:, d], 199, weights) for d in range(6)]
    is_wrong = name in ("narrow", "wide", "biased")
    assert (max(test.p_value for test in found) == 0.002) is is_wrong
    assert (min(test.p_value for test in found) > 0.005) is not is_wrong


def test_chi_square_of_clusters_stays_valid_where_that_of_rows_does_not() -> None:
    alarms = []
    for seed in range(12):
        world = known(150, 8, num_draws=99, shared=0.95, seed=seed)
        weights = bootstrap_weights(world.clusters, 200, seed)
        ranked = ranks(world.samples("exact"), world.truth)
        found = [sbc_chi_square(ranked[:, d], 99, weights) for d in range(6)]
        alarms += [(test.p_value < 0.05, test.p_value_of_rows < 0.05) for test in found]
    of_clusters, of_rows = np.mean(alarms, 0)
    assert of_clusters <= 0.1
    assert of_rows >= 0.6
