"""Coverage against closed forms; parts against plain means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cinn_clusters.diagnostics.coverage import (
    TAILS,
    by_tertile,
    calibration_error,
    coverage_band,
    hpd_ranks,
    tail_coverage,
)
from cinn_clusters.diagnostics.ranks import pit
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    bootstrap_weights,
    central_coverage,
)
from known import NAMES, NUM_TARGETS, Known, known

WIDTH = {"exact": 1.0, "narrow": 0.5, "wide": 2.0, "prior": 1.0}


@pytest.fixture(scope="module")
def world() -> Known:
    return known(1500, num_draws=399)


@pytest.mark.parametrize("name", WIDTH)
def test_signed_error_is_that_of_the_closed_form(world: Known, name: str) -> None:
    weights = bootstrap_weights(world.clusters)
    expected = (
        2 * stats.norm.cdf(WIDTH[name] * stats.norm.ppf(0.5 + COVERAGE_LEVELS / 2))
        - 1
        - COVERAGE_LEVELS
    )
    inside = central_coverage(world.samples(name), world.truth)
    errors = calibration_error(inside, weights, alpha=1e-4)
    assert np.mean([error.signed.value for error in errors]) == pytest.approx(
        expected.mean(), abs=0.015
    )
    assert np.mean([error.absolute for error in errors]) == pytest.approx(
        np.abs(expected).mean(), abs=0.015
    )
    for error in errors:
        assert error.absolute >= abs(error.signed.value) - 1e-12
        assert not error.signed.excludes(expected.mean())


def test_band_holds_the_coverage_and_nests(world: Known) -> None:
    inside = central_coverage(world.samples("exact"), world.truth)
    lower, upper = coverage_band(inside, bootstrap_weights(world.clusters))
    assert lower.shape == upper.shape == (19, NUM_TARGETS)
    assert ((lower <= inside.mean(1)) & (inside.mean(1) <= upper)).all()
    assert (
        (lower <= COVERAGE_LEVELS[:, None]) & (COVERAGE_LEVELS[:, None] <= upper)
    ).mean() > 0.9
    narrower = coverage_band(inside, bootstrap_weights(world.clusters), alpha=0.5)
    assert (narrower[0] >= lower).all()
    assert (narrower[1] <= upper).all()


def test_tails_are_two_and_three_sigma() -> None:
    assert (
        pytest.approx([2 * stats.norm.cdf(k) - 1 for k in (2, 3)], abs=1e-12) == TAILS
    )


@pytest.mark.parametrize("num_draws", [20, 399])
def test_tails_of_the_exact_posterior_are_exact_however_few_the_draws(
    num_draws: int,
) -> None:
    world = known(4000, num_draws=num_draws)
    found = tail_coverage(
        pit(world.samples("exact"), world.truth), bootstrap_weights(world.clusters, 100)
    )
    for of_target in found:
        assert [tail.value for tail in of_target] == pytest.approx(TAILS, abs=0.011)


def test_tails_of_the_narrow_posterior() -> None:
    """Three sigma need draws enough to reach there: about a thousand."""
    world = known(1500, num_draws=999)
    found = tail_coverage(
        pit(world.samples("narrow"), world.truth), bootstrap_weights(world.clusters)
    )
    for two, three in found:
        assert two.value == pytest.approx(2 * stats.norm.cdf(1.0) - 1, abs=0.04)
        assert three.value == pytest.approx(2 * stats.norm.cdf(1.5) - 1, abs=0.04)
        assert two.excludes(TAILS[0])
        assert three.excludes(TAILS[1])


def test_parts_are_plain_means_of_thirds() -> None:
    rng = np.random.default_rng(0)
    mass, inside = rng.normal(size=300), rng.random((300, 2)) < 0.7
    parts = by_tertile(mass, inside, bootstrap_weights(np.arange(300)))
    assert [part.rows for part in parts] == [100, 100, 100]
    order = np.argsort(mass)
    for part, rows in zip(parts, np.split(order, 3), strict=True):
        assert (part.lower, part.upper) == (mass[rows].min(), mass[rows].max())
        assert [of.value for of in part.coverage] == pytest.approx(
            inside[rows].mean(0).tolist()
        )
        error = np.sqrt(0.21 / 100) * 2.576
        assert part.coverage[0].upper - part.coverage[0].value == pytest.approx(
            error, rel=0.25
        )


def test_a_posterior_wrong_at_high_mass_is_seen_there_only() -> None:
    rng = np.random.default_rng(0)
    mass = rng.random(3000)
    inside = rng.random((3000, 1)) < np.where(mass > 2 / 3, 0.4, 0.68)[:, None]
    parts = by_tertile(mass, inside, bootstrap_weights(np.arange(3000)))
    assert [part.coverage[0].excludes(0.68) for part in parts] == [False, False, True]


def test_rows_of_equal_value_stand_in_one_part() -> None:
    inside = np.ones((8, 1), bool)
    weights = bootstrap_weights(np.arange(8))
    assert [part.rows for part in by_tertile(np.repeat(0.5, 8), inside, weights)] == [8]
    snapshots = np.repeat([0.0, 1.0], [6, 2])
    assert [part.rows for part in by_tertile(snapshots, inside, weights)] == [6, 2]


def test_property_that_is_not_known() -> None:
    with pytest.raises(
        ValueError, match=r"^by_tertile: expected finite values; got NaN or infinity$"
    ):
        by_tertile(
            np.array([1.0, np.nan]),
            np.ones((2, 1), bool),
            bootstrap_weights(np.arange(2)),
        )


def test_hpd_ranks_are_shares_of_denser_draws() -> None:
    rng = np.random.default_rng(0)
    draws, truth = rng.normal(size=(50, 4)), rng.normal(size=4)
    draws[40:] = np.nan
    slow = [np.mean([value >= truth[n] for value in draws[:40, n]]) for n in range(4)]
    np.testing.assert_allclose(hpd_ranks(draws, truth), slow)


@pytest.mark.parametrize("where", ["truth", "draws"])
def test_densities_that_are_missing(where: str) -> None:
    draws, truth = np.zeros((3, 2)), np.zeros(2)
    (truth if where == "truth" else draws.T)[1] = np.nan
    with pytest.raises(
        ValueError,
        match=r"^hpd_ranks: expected a density of every truth and of some samples",
    ):
        hpd_ranks(draws, truth)


@pytest.mark.parametrize("name", NAMES)
def test_joint_hpd_coverage_of_known_posteriors(world: Known, name: str) -> None:
    rho = hpd_ranks(
        world.log_prob(name, world.samples(name)), world.log_prob(name, world.truth)
    )
    level = 2 * stats.norm.cdf(1) - 1
    radius = stats.chi2.ppf(level, NUM_TARGETS)
    expected = {
        "narrow": stats.chi2.cdf(radius / 4, NUM_TARGETS),
        "wide": stats.chi2.cdf(radius * 4, NUM_TARGETS),
        "biased": stats.ncx2.cdf(radius, NUM_TARGETS, NUM_TARGETS / 4),
    }.get(name, level)
    assert (rho <= level).mean() == pytest.approx(expected, abs=0.03)
    if name == "narrow":
        assert expected == pytest.approx(0.060, abs=0.001)
    if name == "wide":
        assert expected == pytest.approx(0.99991, abs=1e-4)
