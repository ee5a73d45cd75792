"""What the numbers say, in words: too narrow, too wide, biased, misshapen, uninformative, or
calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from cinn_clusters.diagnostics.bands import ALPHA, Estimate, Uniformity, estimate, mean_estimate

JOINT = "joint"
CALIBRATED, NARROW, WIDE = "calibrated", "too narrow", "too wide"
LOW, HIGH, MISSHAPEN, UNINFORMATIVE = "biased low", "biased high", "misshapen", "uninformative"
INACCURATE = "not calibrated"


@dataclass(frozen=True)
class Finding:
    """One statement.

    Args:
        subject: A target, or ``joint``.
        name: What is the matter, e.g. ``too narrow``.
        evidence: The number and the band that say so.
    """

    subject: str
    name: str
    evidence: str


@dataclass(frozen=True)
class Placement:
    """How far off and how wide the posteriors of one target are.

    Args:
        bias: Posterior minus truth in posterior standard deviations; 0 if calibrated.
        width: Width of the intervals over the width they ought to have; 1 if calibrated.
    """

    bias: Estimate
    width: Estimate


def placement(pit: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA) -> Placement:
    """Tell a bias from a wrong width by the mean and the mean absolute deviation of Gaussian PIT scores.

    A bias does not move the deviation, a wrong width does not move the mean; a coverage would mix
    the two.

    Args:
        pit: Randomised PIT of one target, (N,).
        weights: Bootstrap weights that resample clusters, (R, N).
        alpha: See ``estimate``.

    Returns:
        Both, with bands.

    Raises:
        ValueError: If a PIT is not inside (0, 1).

    Examples:
        >>> pit = norm.cdf(0.5 * norm.ppf((np.arange(1000) + 0.5) / 1000))  # intervals twice too wide
        >>> round(placement(pit, np.full((2, 1000), 1e-3)).width.value, 2)
        2.0
    """
    if not ((pit > 0) & (pit < 1)).all():
        raise ValueError(
            "placement: expected PIT inside (0, 1); got others; pass the randomised one"
        )
    scores = norm.ppf(pit)
    away = np.abs(scores - scores.mean())
    ideal = np.sqrt(2 / np.pi)  # of a standard Gaussian
    width = estimate(float(ideal / away.mean()), ideal / (weights @ away), alpha)
    return Placement(mean_estimate(-scores, weights, alpha), width)


def target_findings(
    target: str,
    placed: Placement,
    core: Estimate,
    shape: Uniformity,
    skill: Estimate | None = None,
    *,
    alpha: float = ALPHA,
) -> list[Finding]:
    """Judge one target.

    Args:
        target: Its name.
        placed: Bias and width.
        core: Signed calibration error; told only where neither bias nor width is wrong as a whole,
            since both move it.
        shape: Of its PIT; told only where nothing else explains it.
        skill: CRPS skill against the prior, where it is known.
        alpha: Level of the test of shape.

    Returns:
        At least one finding; ``calibrated`` where nothing speaks against it.
    """
    found = []
    if placed.width.excludes(1.0):
        name = NARROW if placed.width.value < 1 else WIDE
        found.append(
            Finding(target, name, f"intervals are {placed.width} times as wide as they should be")
        )
    if placed.bias.excludes(0.0):
        name = HIGH if placed.bias.value > 0 else LOW
        found.append(Finding(target, name, f"by {placed.bias} posterior standard deviations"))
    if not found and core.excludes(0.0):
        told = f"central intervals hold {core} more of the truths than they claim"
        found.append(Finding(target, NARROW if core.value < 0 else WIDE, told))
    if not found and shape.p_value < alpha and not shape.is_inside:
        told = f"the ECDF of the PIT is {shape.ks:.3f} off and leaves its band, p = {shape.p_value:.4f}"
        found.append(Finding(target, MISSHAPEN, told))
    if not found:
        told = f"width {placed.width}, bias {placed.bias}, PIT p = {shape.p_value:.3f}"
        found.append(Finding(target, CALIBRATED, told))
    return found + _uninformative(target, skill)


@dataclass(frozen=True)
class JointTest:
    """One joint test.

    Args:
        name: Of the test, e.g. ``TARP``.
        p_value: Chance of a larger statistic if the posterior were calibrated.
        statistic: In words, e.g. ``KS 0.12``.
    """

    name: str
    p_value: float
    statistic: str


def joint_findings(
    tests: Sequence[JointTest],
    hpd: Estimate | None,
    skill: Estimate | None,
    *,
    alpha: float = ALPHA,
) -> list[Finding]:
    """Judge all targets together.

    Args:
        tests: TARP, L-C2ST and others that say whether, but not how, a posterior is wrong.
        hpd: Signed calibration error of joint HPD regions, where densities are known.
        skill: Energy skill against the prior, where it is known.
        alpha: Level that all tests share.

    Returns:
        At least one finding.
    """
    found = []
    if hpd is not None and hpd.excludes(0.0):
        name = NARROW if hpd.value < 0 else WIDE
        found.append(
            Finding(
                JOINT,
                name,
                f"joint HPD regions hold {hpd.value:+.3f} of the truths beyond their level",
            )
        )
    failed = [test for test in tests if test.p_value < alpha / max(1, len(tests))]
    found += [
        Finding(JOINT, INACCURATE, f"{test.name}: {test.statistic}, p = {test.p_value:.4f}")
        for test in failed
    ]
    if not found:
        told = ", ".join(f"{test.name} p = {test.p_value:.3f}" for test in tests)
        found.append(Finding(JOINT, CALIBRATED, told))
    return found + _uninformative(JOINT, skill)


def _uninformative(subject: str, skill: Estimate | None) -> list[Finding]:
    if skill is None or skill.lower > 0:
        return []
    return [Finding(subject, UNINFORMATIVE, f"no better than the prior: skill {skill}")]
