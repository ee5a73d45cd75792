"""Bands that resample clusters hold what they promise; bands of rows do not where rows share a
cluster."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cinn_clusters.diagnostics.bands import (
    ECDF_GRID,
    Estimate,
    ecdf_band,
    estimate,
    mean_estimate,
    p_value,
    uniformity,
)
from cinn_clusters.diagnostics.scores import bootstrap_weights


def clustered_uniform(
    num_clusters: int, seed: int, share: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """Uniform values of 8 rows a cluster that nearly agree, as PITs of one history do."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(num_clusters), 8)
    common, own = (
        rng.normal(size=num_clusters)[clusters],
        rng.normal(size=len(clusters)),
    )
    return stats.norm.cdf(np.sqrt(share) * common + np.sqrt(1 - share) * own), clusters


def test_estimate_is_a_gaussian_band() -> None:
    resampled = np.random.default_rng(0).normal(3.0, 0.5, 4000)
    band = estimate(3.0, resampled, alpha=0.05)
    assert (band.lower, band.upper) == pytest.approx(
        (3 - 1.96 * 0.5, 3 + 1.96 * 0.5), abs=0.03
    )
    assert band.excludes(4.2)
    assert band.excludes(1.8)
    assert not band.excludes(3.9)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, np.nan])
def test_alpha_that_is_no_chance(alpha: float) -> None:
    with pytest.raises(
        ValueError, match=rf"^estimate: expected alpha in \(0, 1\); got {alpha}$"
    ):
        estimate(0.0, np.zeros(3), alpha)


def test_mean_estimate_has_the_error_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    weights = bootstrap_weights(np.arange(400), 4000)
    band = mean_estimate(values, weights, alpha=0.3173)
    assert band.value == values.mean()
    assert band.upper - band.value == pytest.approx(values.std() / 20, rel=0.05)


def test_p_value_is_never_zero() -> None:
    assert p_value(9.0, np.zeros(99)) == 0.01
    assert p_value(0.0, np.zeros(99)) == 1.0


def test_ecdf_band_holds_whole_ecdfs() -> None:
    """95 % of uniform samples stay inside everywhere; pointwise intervals would lose many more."""
    lower, upper = ecdf_band(300, alpha=0.05)
    rng = np.random.default_rng(5)
    ecdfs = np.stack(
        [(rng.random(300)[:, None] <= ECDF_GRID).mean(0) for _ in range(1500)]
    )
    inside = ((lower <= ecdfs) & (ecdfs <= upper)).all(1).mean()
    assert inside == pytest.approx(0.95, abs=0.02)
    half = 1.96 * np.sqrt(ECDF_GRID * (1 - ECDF_GRID) / 300)
    assert (np.abs(ecdfs - ECDF_GRID) <= half).all(1).mean() < 0.7
    assert (lower < ECDF_GRID).all()
    assert (upper > ECDF_GRID).all()


def test_uniformity_by_hand() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.9])
    curve = uniformity(values, bootstrap_weights(np.arange(4), 50))
    np.testing.assert_allclose(
        curve.ecdf[[24, 49, 74]], [0.5, 0.75, 0.75]
    )  # at 0.25, 0.5, 0.75
    assert curve.ks == pytest.approx(0.45)  # at 0.3
    assert 0 < curve.p_value <= 1


def test_ks_is_that_of_scipy_up_to_the_grid() -> None:
    values = np.random.default_rng(0).beta(1.3, 1.0, 500)
    curve = uniformity(values, bootstrap_weights(np.arange(500), 500))
    theirs = stats.kstest(values, "uniform")
    assert curve.ks == pytest.approx(theirs.statistic, abs=0.01)
    assert curve.p_value < 0.01
    assert theirs.pvalue < 0.01
    assert not curve.is_inside


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_values_that_are_no_shares(value: float) -> None:
    with pytest.raises(
        ValueError, match=r"^uniformity: expected values in \[0, 1\]; got others$"
    ):
        uniformity(np.array([0.5, value]), bootstrap_weights(np.arange(2)))


def test_bands_of_clusters_stay_valid_where_bands_of_rows_do_not() -> None:
    alarms: dict[str, list[bool]] = {
        "rows": [],
        "clusters": [],
        "p of rows": [],
        "p of clusters": [],
    }
    for seed in range(60):
        values, clusters = clustered_uniform(100, seed)
        for name, of in (("rows", np.arange(len(values))), ("clusters", clusters)):
            curve = uniformity(values, bootstrap_weights(of, 200, seed))
            alarms[name].append(not curve.is_inside)
            alarms[f"p of {name}"].append(curve.p_value < 0.01)
    shares = {name: np.mean(raised) for name, raised in alarms.items()}
    assert shares["clusters"] <= 0.05, shares
    assert shares["p of clusters"] <= 0.05, shares
    assert shares["rows"] >= 0.4, shares
    assert shares["p of rows"] >= 0.3, shares


def test_band_of_independent_rows_is_not_widened_much() -> None:
    values = np.random.default_rng(0).random(2000)
    curve = uniformity(values, bootstrap_weights(np.arange(2000), 1000))
    lower, upper = ecdf_band(2000)
    assert (curve.lower <= lower).all()
    assert (curve.upper - curve.lower).mean() < 1.25 * (upper - lower).mean()


def test_estimate_reads_as_a_number_with_its_band() -> None:
    assert str(Estimate(1.0, 0.5, 1.5)) == "1.000 [0.500, 1.500]"
