"""Verdicts in words: too narrow, too wide, biased, misshapen, uninformative, or calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cinn_clusters.diagnostics.bands import (
    ALPHA,
    Estimate,
    Uniformity,
    estimate,
    mean_estimate,
)
from cinn_clusters.diagnostics.ranks import gaussian_scores

JOINT = "joint"
CALIBRATED, NARROW, WIDE = "calibrated", "too narrow", "too wide"
LOW, HIGH = "biased low", "biased high"
LIGHT_TAILS, HEAVY_TAILS = "tails too light", "tails too heavy"
MISSHAPEN, UNINFORMATIVE = "misshapen", "uninformative"
INACCURATE, WRONG_CORRELATION = "not calibrated", "wrong correlation"
IDEAL = float(np.sqrt(2 / np.pi))
"""Mean absolute deviation of a standard Gaussian."""
NUM_MARGINAL_TESTS = 5
"""Tests of a marginal that share a level: bias, width, tails, core and shape."""


@dataclass(frozen=True)
class Finding:
    """A verdict on a target, or on all of them jointly, with its evidence."""

    subject: str
    name: str
    evidence: str


@dataclass(frozen=True)
class Placement:
    """Bias, width and tails of the posteriors of one target."""

    bias: Estimate  # posterior minus truth in posterior standard deviations; 0 if calibrated
    width: Estimate  # width of the intervals over the calibrated width; 1 if calibrated
    tails: Estimate  # Geary's ratio over that of a Gaussian; 1 if calibrated, above if too heavy


def placement(
    pit: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA
) -> Placement:
    """Separate a bias from a wrong width by the Gaussian scores Phi^-1(PIT).

    Their mean measures the bias, their mean absolute deviation the width: a bias does not move the
    deviation, a wrong width does not move the mean, whereas a coverage mixes the two. The ratio of
    mean absolute to standard deviation is that of a Gaussian only where the tails are right; a
    wrong width does not move it. ``pit`` (N,) is the randomised one of a target, ``weights`` (R, N)
    resample clusters.

    References:
        Geary (1935), The ratio of the mean deviation to the standard deviation as a test of
        normality.

    Raises:
        ValueError: If a PIT is not inside (0, 1).

    Examples:
        >>> from scipy.stats import norm
        >>> pit = norm.cdf(0.5 * norm.ppf((np.arange(1000) + 0.5) / 1000))  # twice too wide
        >>> round(placement(pit, np.full((2, 1000), 1e-3)).width.value, 2)
        2.0
    """
    is_inside = (pit > 0) & (pit < 1)
    if not is_inside.all():
        hint = "pass the randomised one"
        raise ValueError(f"placement: expected PIT inside (0, 1); got others; {hint}")
    scores = gaussian_scores(pit)
    bias = mean_estimate(-scores, weights, alpha)

    # mean absolute deviation, sqrt(2 / pi) for a standard Gaussian
    deviation = np.abs(scores - scores.mean())
    mean_deviation = deviation.mean()
    resampled = weights @ deviation  # (R,)
    width = estimate(IDEAL / mean_deviation, IDEAL / resampled, alpha)

    # Geary's ratio, the same constant whatever the width
    square = deviation**2
    root_mean_square = np.sqrt(square.mean())
    ratio = mean_deviation / root_mean_square
    resampled_root = np.sqrt(weights @ square)
    resampled_ratio = resampled / resampled_root
    tails = estimate(ratio / IDEAL, resampled_ratio / IDEAL, alpha)
    return Placement(bias, width, tails)


@dataclass(frozen=True)
class Marginal:
    """What is known of the posteriors of one target.

    Args:
        placed: Bias, width and tails.
        core: Signed calibration error; it judges only where nothing else is wrong, since bias and
            width move it.
        shape: Uniformity of the PIT; it judges only where nothing else explains it.
        conditional: What depends on the observables.
        skill: CRPS skill against the prior, where it is known.
    """

    placed: Placement
    core: Estimate
    shape: Uniformity
    conditional: tuple[Finding, ...] = ()
    skill: Estimate | None = None


def target_findings(
    target: str, marginal: Marginal, *, alpha: float = ALPHA
) -> list[Finding]:
    """Reach the verdicts on one target: ``calibrated`` where nothing speaks against it.

    ``alpha`` is the level of the test of the shape.
    """
    findings = [*_placement_findings(target, marginal.placed), *marginal.conditional]
    if not findings:
        findings += _shape_findings(target, marginal, alpha)
    if not findings:
        placed, chance = marginal.placed, marginal.shape.p_value
        evidence = f"width {placed.width}, bias {placed.bias}, PIT p = {chance:.3f}"
        findings.append(Finding(target, CALIBRATED, evidence))
    return findings + _uninformative(target, marginal.skill)


def _placement_findings(target: str, placed: Placement) -> Iterator[Finding]:
    if placed.width.excludes(1.0):
        name = _width_name(placed.width.value < 1)
        evidence = f"intervals are {placed.width} times as wide as they should be"
        yield Finding(target, name, evidence)
    if placed.bias.excludes(0.0):
        name = {True: HIGH, False: LOW}[placed.bias.value > 0]
        yield Finding(target, name, f"by {placed.bias} posterior standard deviations")


def _shape_findings(target: str, marginal: Marginal, alpha: float) -> list[Finding]:
    """The first of tails, core and shape that is wrong: each moves the next."""
    tails, core, shape = marginal.placed.tails, marginal.core, marginal.shape
    if tails.excludes(1.0):
        name = {True: HEAVY_TAILS, False: LIGHT_TAILS}[tails.value > 1]
        evidence = (
            f"mean absolute over standard deviation of the Gaussian scores is {tails}"
        )
        return [Finding(target, name, f"{evidence} times that of a Gaussian")]
    if core.excludes(0.0):
        evidence = f"central intervals hold {core} more of the truths than they claim"
        return [Finding(target, _width_name(core.value < 0), evidence)]
    if shape.p_value < alpha and not shape.is_inside:
        distance = f"the ECDF of the PIT is {shape.ks:.3f} off and leaves its band"
        evidence = f"{distance}, p = {shape.p_value:.4f}"
        return [Finding(target, MISSHAPEN, evidence)]
    return []


@dataclass(frozen=True)
class JointTest:
    """Test of all targets together that says whether, but not how, a posterior is wrong."""

    name: str
    p_value: float
    statistic: str


def joint_findings(
    tests: Sequence[JointTest],
    hpd: Estimate | None,
    skill: Estimate | None,
    correlations: Sequence[Finding] = (),
) -> list[Finding]:
    """Reach the verdicts on all targets together, at least one.

    The tests share one level; ``hpd`` is the signed calibration error of joint HPD regions where
    densities are known, ``skill`` the energy skill against the prior where it is known;
    ``correlations`` are those found wrong.
    """
    findings = list(correlations)
    if hpd is not None and hpd.excludes(0.0):
        name = _width_name(hpd.value < 0)
        evidence = (
            f"joint HPD regions hold {hpd.value:+.3f} of the truths beyond their level"
        )
        findings.append(Finding(JOINT, name, evidence))
    for test in tests:
        if test.p_value < ALPHA / len(tests):
            evidence = f"{test.name}: {test.statistic}, p = {test.p_value:.4f}"
            findings.append(Finding(JOINT, INACCURATE, evidence))
    if not findings:
        evidence = ", ".join(f"{test.name} p = {test.p_value:.3f}" for test in tests)
        findings.append(Finding(JOINT, CALIBRATED, evidence))
    return findings + _uninformative(JOINT, skill)


def _width_name(is_narrow: bool) -> str:
    return {True: NARROW, False: WIDE}[is_narrow]


def _uninformative(subject: str, skill: Estimate | None) -> list[Finding]:
    if skill is None or not skill.lower <= 0:  # NaN, too
        return []
    evidence = f"not significantly better than the prior: skill {skill}"
    return [Finding(subject, UNINFORMATIVE, evidence)]
