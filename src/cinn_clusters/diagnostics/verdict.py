"""Verdicts in words: too narrow, too wide, biased, misshapen, uninformative, or calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from cinn_clusters.diagnostics.bands import (
    ALPHA,
    Estimate,
    Uniformity,
    estimate,
    mean_estimate,
)

JOINT = "joint"
CALIBRATED, NARROW, WIDE = "calibrated", "too narrow", "too wide"
LOW, HIGH = "biased low", "biased high"
MISSHAPEN, UNINFORMATIVE = "misshapen", "uninformative"
INACCURATE = "not calibrated"


@dataclass(frozen=True)
class Finding:
    """A verdict on a target, or on all of them jointly, with its evidence."""

    subject: str
    name: str
    evidence: str


@dataclass(frozen=True)
class Placement:
    """Bias and width of the posteriors of one target."""

    bias: Estimate  # posterior minus truth in posterior standard deviations; 0 if calibrated
    width: Estimate  # width of the intervals over the calibrated width; 1 if calibrated


def placement(
    pit: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA
) -> Placement:
    """Separate a bias from a wrong width by the Gaussian scores Phi^-1(PIT).

    Their mean measures the bias, their mean absolute deviation the width: a bias does not move the
    deviation, a wrong width does not move the mean, whereas a coverage mixes the two. ``pit`` (N,)
    is the randomised one of a target, ``weights`` (R, N) resample clusters.

    Raises:
        ValueError: If a PIT is not inside (0, 1).

    Examples:
        >>> pit = norm.cdf(0.5 * norm.ppf((np.arange(1000) + 0.5) / 1000))  # twice too wide
        >>> round(placement(pit, np.full((2, 1000), 1e-3)).width.value, 2)
        2.0
    """
    if not ((pit > 0) & (pit < 1)).all():
        hint = "pass the randomised one"
        raise ValueError(f"placement: expected PIT inside (0, 1); got others; {hint}")
    scores = norm.ppf(pit)
    bias = mean_estimate(-scores, weights, alpha)

    # mean absolute deviation, sqrt(2 / pi) for a standard Gaussian
    ideal = np.sqrt(2 / np.pi)
    deviation = np.abs(scores - scores.mean())
    resampled = weights @ deviation  # (R,)
    width = estimate(ideal / deviation.mean(), ideal / resampled, alpha)
    return Placement(bias, width)


def target_findings(
    target: str,
    placed: Placement,
    core: Estimate,
    shape: Uniformity,
    skill: Estimate | None = None,
    *,
    alpha: float = ALPHA,
) -> list[Finding]:
    """Reach the verdicts on one target.

    Args:
        target: Name of the target.
        placed: Bias and width.
        core: Signed calibration error; used only where neither bias nor width is wrong, since both
            move it.
        shape: Uniformity of the PIT; used only where nothing else explains its shape.
        skill: CRPS skill against the prior, where it is known.
        alpha: Level of the test of shape.

    Returns:
        At least one finding; ``calibrated`` where nothing speaks against it.
    """
    findings = list(_placement_findings(target, placed))
    if not findings and core.excludes(0.0):
        name = _width_name(core.value < 0)
        evidence = f"central intervals hold {core} more of the truths than they claim"
        findings.append(Finding(target, name, evidence))
    if not findings and shape.p_value < alpha and not shape.is_inside:
        distance = f"the ECDF of the PIT is {shape.ks:.3f} off and leaves its band"
        findings.append(
            Finding(target, MISSHAPEN, f"{distance}, p = {shape.p_value:.4f}")
        )
    if not findings:
        evidence = (
            f"width {placed.width}, bias {placed.bias}, PIT p = {shape.p_value:.3f}"
        )
        findings.append(Finding(target, CALIBRATED, evidence))
    return findings + _uninformative(target, skill)


def _placement_findings(target: str, placed: Placement) -> Iterator[Finding]:
    if placed.width.excludes(1.0):
        name = _width_name(placed.width.value < 1)
        evidence = f"intervals are {placed.width} times as wide as they should be"
        yield Finding(target, name, evidence)
    if placed.bias.excludes(0.0):
        name = {True: HIGH, False: LOW}[placed.bias.value > 0]
        yield Finding(target, name, f"by {placed.bias} posterior standard deviations")


@dataclass(frozen=True)
class JointTest:
    """Test of all targets together that says whether, but not how, a posterior is wrong."""

    name: str
    p_value: float
    statistic: str


def joint_findings(
    tests: Sequence[JointTest], hpd: Estimate | None, skill: Estimate | None
) -> list[Finding]:
    """Reach the verdicts on all targets together, at least one.

    The tests share one level; ``hpd`` is the signed calibration error of joint HPD regions where
    densities are known, ``skill`` the energy skill against the prior where it is known.
    """
    findings = []
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
