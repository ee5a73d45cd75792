"""Verdicts in words on conditional calibration and correlations: what is wrong, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cinn_clusters.diagnostics.bands import ALPHA, Estimate, estimate
from cinn_clusters.diagnostics.conditional import (
    ConditionalTest,
    Kind,
    resampled_mean,
    third_members,
)
from cinn_clusters.diagnostics.pairs import PairTest
from cinn_clusters.diagnostics.verdict import (
    HIGH,
    IDEAL,
    LOW,
    NARROW,
    WIDE,
    WRONG_CORRELATION,
    Finding,
)

_NOMINAL: dict[Kind, float] = {"width": 1.0, "bias": 0.0}
_NAMES: dict[Kind, tuple[str, str]] = {"width": (NARROW, WIDE), "bias": (LOW, HIGH)}


def conditional_findings(
    targets: Sequence[str],
    result: ConditionalTest,
    scores: np.ndarray,
    observables: Mapping[str, np.ndarray],
    weights: np.ndarray,
) -> dict[str, tuple[Finding, ...]]:
    """Say for each target at which values of which observable its width or bias is wrong.

    Of several observables, which are correlated, the one with the largest |t| is named.

    Args:
        targets: Names of D targets.
        result: Outcome of the test.
        scores: Gaussian scores of the truths, (N, D).
        observables: Values (N,) by name, as they were tested.
        weights: Bootstrap weights, (R, N).
    """
    findings: dict[str, tuple[Finding, ...]] = {}
    for d, target in enumerate(targets):
        found_kinds = []
        for kind in _NAMES:
            strongest = result.strongest(d, kind)
            if strongest is None:
                continue
            statistic, t = strongest
            name = statistic.name
            thirds = by_third(kind, scores[:, d], observables[name], weights)
            verdict = _whereabouts(kind, name, thirds)
            evidence = (
                f"{_local_values(kind, name, thirds)}; |t| = {abs(t):.1f}, at most "
            )
            evidence += f"{result.test.critical:.1f} by chance"
            found_kinds.append(Finding(target, verdict, evidence))
        findings[target] = tuple(found_kinds)
    return findings


def by_third(
    kind: Kind, scores: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> dict[str, Estimate]:
    """Width or bias of posteriors, given scores (N,), where a value (N,) is low, middle and high."""
    measure = {"width": width_of, "bias": bias_of}[kind]
    return {
        third: measure(scores[rows], weights[:, rows])
        for third, rows in third_members(values).items()
    }


def width_of(scores: np.ndarray, weights: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Width of the intervals of some rows (n,) over the calibrated width."""
    size = np.abs(scores - scores.mean())
    width = IDEAL / size.mean()
    resampled = resampled_mean(size, weights)  # (R,)
    return estimate(width, IDEAL / resampled, alpha)


def bias_of(scores: np.ndarray, weights: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Posterior minus truth of some rows (n,), in posterior standard deviations."""
    return estimate(-scores.mean(), -resampled_mean(scores, weights), alpha)


def _whereabouts(kind: Kind, name: str, thirds: Mapping[str, Estimate]) -> str:
    """Verdict such as *too narrow at high z*; thirds that are right by themselves are not named."""
    below, above = _NAMES[kind]
    parts = [
        f"{above if value.value > _NOMINAL[kind] else below} at {third} {name}"
        for third, value in thirds.items()
        if value.excludes(_NOMINAL[kind])
    ]
    return ", ".join(parts) or f"{kind} depends on {name}"


def _local_values(kind: Kind, name: str, thirds: Mapping[str, Estimate]) -> str:
    numbers = ", ".join(f"{value.value:.2f}" for value in thirds.values())
    return f"{kind} {numbers} at {', '.join(thirds)} {name}"


def correlation_findings(targets: Sequence[str], result: PairTest) -> Iterator[Finding]:
    """Name the pairs of targets whose correlation is wrong."""
    for number in np.flatnonzero(result.test.is_significant):
        pair, t = result.pairs[number], abs(result.test.t[number])
        subject = f"{targets[pair.first]}, {targets[pair.second]}"
        truths = f"truths correlate by {pair.of_truths:+.2f}"
        samples = f"samples by {pair.of_samples:+.2f}"
        chance = f"|t| = {t:.1f}, at most {result.test.critical:.1f} by chance"
        evidence = f"{truths}, {samples}; {chance}"
        yield Finding(subject, WRONG_CORRELATION, evidence)
