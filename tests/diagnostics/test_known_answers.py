"""Scores on posteriors whose answers are known: exact, narrow, wide, biased, and the prior.

theta ~ N(0, 1)^6, x = theta + N(0, 0.5^2): the exact posterior is N(0.8 x, 0.2).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from cinn_clusters.diagnostics.regions import shortest_interval
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    central_coverage,
    contraction,
    crps,
    energy_score,
)

NUM_OBJECTS, NUM_DRAWS, NUM_TARGETS = 1500, 400, 6
DEVIATION = np.sqrt(0.2)
BIAS = 0.5 * DEVIATION


def _gaussian_crps(width: float, bias: float) -> float:
    """Mean CRPS of N(m + bias, (width s)^2) for truths N(m, s^2): E|X - Y| - E|X - X'| / 2, in
    closed form."""
    spread = np.sqrt(1 + width**2) * DEVIATION
    to_truth = spread * np.sqrt(2 / np.pi) * np.exp(
        -0.5 * (bias / spread) ** 2
    ) + bias * (1 - 2 * norm.cdf(-bias / spread))
    return float(to_truth - width * DEVIATION / np.sqrt(np.pi))


@pytest.fixture(scope="module")
def posteriors() -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(NUM_OBJECTS, NUM_TARGETS))
    mean = 0.8 * (truth + 0.5 * rng.normal(size=truth.shape))
    noise = rng.normal(size=(NUM_DRAWS, *truth.shape))
    return {
        "exact": mean + DEVIATION * noise,
        "narrow": mean + 0.5 * DEVIATION * noise,
        "wide": mean + 2.0 * DEVIATION * noise,
        "biased": mean + BIAS + DEVIATION * noise,
        "prior": noise,
    }, truth


CRPS = {
    "exact": 0.2523,
    "narrow": _gaussian_crps(0.5, 0.0),
    "wide": _gaussian_crps(2.0, 0.0),
    "biased": _gaussian_crps(1.0, BIAS),
    "prior": 1 / np.sqrt(np.pi),
}
COVERAGE = {
    "exact": norm.cdf(1) - norm.cdf(-1),
    "narrow": 2 * norm.cdf(0.5) - 1,
    "wide": 2 * norm.cdf(2.0) - 1,
    "biased": norm.cdf(0.5) - norm.cdf(-1.5),
    "prior": norm.cdf(1) - norm.cdf(-1),
}
CONTRACTION = {"exact": 0.8, "narrow": 0.95, "wide": 0.2, "biased": 0.8, "prior": 0.0}


def test_closed_forms_are_those_of_the_literature() -> None:
    assert (
        _gaussian_crps(1.0, 0.0)
        == pytest.approx(DEVIATION / np.sqrt(np.pi))
        == pytest.approx(0.2523, abs=1e-4)
    )
    assert [COVERAGE[name] for name in ("exact", "narrow", "wide")] == pytest.approx(
        [0.683, 0.383, 0.954], abs=6e-4
    )


@pytest.mark.parametrize("name", CRPS)
def test_crps(posteriors, name) -> None:
    samples, truth = posteriors
    assert crps(samples[name], truth).mean() == pytest.approx(CRPS[name], abs=0.006)


@pytest.mark.parametrize("name", COVERAGE)
def test_coverage_of_the_central_interval(posteriors, name) -> None:
    samples, truth = posteriors
    level = np.array([norm.cdf(1) - norm.cdf(-1)])
    inside = central_coverage(samples[name], truth, level)
    assert inside.shape == (1, NUM_OBJECTS, NUM_TARGETS)
    assert inside.mean() == pytest.approx(COVERAGE[name], abs=0.012)


@pytest.mark.parametrize("name", CONTRACTION)
def test_contraction(posteriors, name) -> None:
    samples, truth = posteriors
    of_targets = contraction(samples[name], truth)
    assert of_targets.shape == (NUM_TARGETS,)
    assert of_targets.mean() == pytest.approx(CONTRACTION[name], abs=0.03)


def test_energy_score_is_lowest_for_the_exact_posterior(posteriors) -> None:
    samples, truth = posteriors
    scores = {
        name: energy_score(draws, truth).mean() for name, draws in samples.items()
    }
    assert min(scores, key=scores.__getitem__) == "exact"
    assert max(scores, key=scores.__getitem__) == "prior"
    # E|N(0, 2 s^2 1_6)| / 2 with E|N(0, 1_6)| = sqrt(2) Gamma(3.5) / Gamma(3)
    assert scores["exact"] == pytest.approx(
        np.sqrt(2) * DEVIATION * 2.35002 / 2, rel=0.01
    )
    assert scores["prior"] == pytest.approx(np.sqrt(2) * 2.35002 / 2, rel=0.01)


def test_shortest_interval_covers_as_the_central_one_for_symmetric_posteriors(
    posteriors,
) -> None:
    samples, truth = posteriors
    for name in ("exact", "narrow", "wide"):
        lower, upper = shortest_interval(samples[name], norm.cdf(1) - norm.cdf(-1))
        covered = ((lower <= truth) & (truth <= upper)).mean()
        assert covered == pytest.approx(COVERAGE[name], abs=0.025), name


@pytest.mark.parametrize(
    ("name", "width", "bias"),
    [
        ("exact", 1.0, 0.0),
        ("narrow", 0.5, 0.0),
        ("wide", 2.0, 0.0),
        ("biased", 1.0, 0.5),
        ("prior", 1.0, 0.0),
    ],
)
def test_calibration_error_tells_which_is_wrong_but_not_that_the_prior_is_empty(
    posteriors, name, width, bias
) -> None:
    samples, truth = posteriors
    coverage = central_coverage(samples[name], truth).mean((1, 2))
    half = width * norm.ppf(0.5 + COVERAGE_LEVELS / 2)
    expected = norm.cdf(half - bias) - norm.cdf(-half - bias)
    np.testing.assert_allclose(coverage, expected, atol=0.02)
    error = np.abs(expected - COVERAGE_LEVELS).mean()
    assert np.abs(coverage - COVERAGE_LEVELS).mean() == pytest.approx(error, abs=0.012)
    assert bool(error > 0.03) is (name in ("narrow", "wide", "biased"))


def test_sign_of_the_calibration_error_tells_wide_from_narrow(posteriors) -> None:
    samples, truth = posteriors
    assert (
        central_coverage(samples["wide"], truth).mean((1, 2)) > COVERAGE_LEVELS + 0.02
    ).all()
    assert (
        central_coverage(samples["narrow"], truth).mean((1, 2)) < COVERAGE_LEVELS - 0.02
    ).all()


def test_skill_against_the_prior_tells_that_the_prior_is_empty(posteriors) -> None:
    samples, truth = posteriors
    reference = crps(samples["prior"], truth).mean()
    skill = {
        name: 1 - crps(draws, truth).mean() / reference
        for name, draws in samples.items()
    }
    assert skill["exact"] == pytest.approx(1 - DEVIATION, abs=0.01)
    assert skill["prior"] == 0.0
    assert skill["biased"] < skill["exact"] - 0.02
