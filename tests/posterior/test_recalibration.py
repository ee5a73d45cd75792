"""Posteriors that are known to be too narrow, too wide or biased are repaired; calibrated ones
are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from cinn_clusters.diagnostics.ranks import pit
from cinn_clusters.diagnostics.scores import COVERAGE_LEVELS, central_coverage, crps
from cinn_clusters.posterior.recalibration import Recalibration, fit_recalibration

SD = np.sqrt(0.2)
"""Exact posterior of theta ~ N(0, 1), x = theta + N(0, 0.5^2): N(0.8 x, 0.2)."""


def _problem(
    num_rows: int, seed: int, width: float, bias: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draws (S, N, 2) of a posterior that is wrong in the first target only, and truths."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(num_rows, 2))
    x = theta + 0.5 * rng.normal(size=theta.shape)
    noise = rng.normal(size=(1000, num_rows, 2)) * SD
    noise[..., 0] = noise[..., 0] * width + bias * SD
    return 0.8 * x + noise, theta


def _fitted(width: float, bias: float) -> Recalibration:
    samples, theta = _problem(3000, 0, width, bias)
    return fit_recalibration(
        pit(samples, theta), np.linspace(0, 1, len(theta)), np.arange(len(theta))
    )


def _error(samples: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return np.asarray(
        np.abs(
            central_coverage(samples, theta).mean(1) - COVERAGE_LEVELS[:, None]
        ).mean(0)
    )


@pytest.mark.parametrize(
    ("width", "bias"),
    [(0.7, 0.0), (2.0, 0.0), (1.0, 0.7)],
    ids=["narrow", "wide", "biased"],
)
def test_a_wrong_posterior_is_repaired_on_new_rows(width: float, bias: float) -> None:
    samples, theta = _problem(2000, 1, width, bias)
    repaired = _fitted(width, bias).repair(samples)
    assert _error(samples, theta)[0] > 0.06
    assert _error(repaired, theta)[0] < 0.03
    assert (
        crps(repaired, theta)[:, 0].mean() < crps(samples, theta)[:, 0].mean() - 0.005
    )
    assert crps(repaired, theta)[:, 1].mean() == pytest.approx(
        crps(samples, theta)[:, 1].mean(), abs=1e-3
    )


def test_a_calibrated_posterior_stays_as_it_is() -> None:
    samples, _ = _problem(500, 1, 1.0, 0.0)
    np.testing.assert_allclose(_fitted(1.0, 0.0).repair(samples), samples, atol=0.25)
    identity = Recalibration(
        np.linspace(0, 1, 5),
        np.tile(np.linspace(0, 1, 5), (2, 1)),
        np.linspace(0, 1, 5),
    )
    np.testing.assert_allclose(identity.repair(samples), samples, atol=1e-12)


def test_copula_and_support_stay() -> None:
    samples, _ = _problem(50, 1, 0.7, 0.0)
    repaired = _fitted(0.7, 0.0).repair(samples)
    assert (
        np.diff(np.take_along_axis(repaired, samples.argsort(0), 0), axis=0) >= 0
    ).all()
    assert (repaired.min(0) >= samples.min(0)).all()
    assert (repaired.max(0) <= samples.max(0)).all()


def test_few_clusters_are_believed_less() -> None:
    ranks = np.full((8, 1), 0.2)
    few, many = (
        fit_recalibration(ranks, ranks[:, 0], np.arange(8) % n).coverage[0, 20]
        for n in (1, 8)
    )
    assert few == pytest.approx((1 * 1.0 + 10 * 0.5) / 11)
    assert many == pytest.approx((8 * 1.0 + 10 * 0.5) / 18)


def test_joint_regions_are_conformal() -> None:
    """Truths in the outer half of regions only: the 50 % region has to be widened to 75 %."""
    ranks = np.random.default_rng(0).uniform(0.5, 1.0, 4000)
    fitted = fit_recalibration(ranks[:, None], ranks, np.arange(4000))
    assert fitted.region_mass(0.5) == pytest.approx(0.75, abs=0.02)


def test_density_of_repaired_draws() -> None:
    """The repaired density is the original one times the Jacobian: for a wide normal made
    narrow, the narrow one."""
    fitted, (samples, _) = _fitted(2.0, 0.0), _problem(3, 1, 2.0, 0.0)
    centre = samples.mean(0)
    line = np.linspace(-1.2, 1.2, 201)[:, None, None] * SD
    theta = np.concatenate(
        [centre[None, :, :1] + line, np.tile(centre[None, :, 1:], (201, 1, 1))], -1
    )
    original, log_slope = fitted.undo(theta, samples)
    log_prob = norm.logpdf(original[..., 0], centre[:, 0], 2.0 * SD) + log_slope
    total = np.trapezoid(np.exp(log_prob), theta[:, :, 0], axis=0)
    np.testing.assert_allclose(total, norm.cdf(1.2) - norm.cdf(-1.2), atol=0.05)


@given(
    pit_values=st.lists(st.floats(0.001, 0.999), min_size=2, max_size=30),
    shift=st.floats(-5, 5),
    scale=st.floats(1e-3, 1e3),
)
def test_undo_brings_draws_back(
    pit_values: list[float], shift: float, scale: float
) -> None:
    ranks = np.array(pit_values)[:, None]
    fitted = fit_recalibration(ranks, ranks[:, 0], np.arange(len(ranks)))
    samples = np.random.default_rng(0).normal(size=(400, 2, 1)) * scale + shift
    back, log_slope = fitted.undo(fitted.repair(samples), samples)
    assert np.isfinite(log_slope).all()
    error = np.abs(back - samples) / samples.std(0)
    assert np.median(error) < 0.1


def test_round_trip_through_json_values() -> None:
    fitted = _fitted(0.5, 0.0)
    again = Recalibration.from_dict(fitted.to_dict())
    for name in ("levels", "coverage", "regions"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))
