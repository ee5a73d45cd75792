"""Conditional calibration: does bias or width of a posterior depend on what was observed?

The Gaussian scores g = Phi^-1(PIT) of an exact posterior are standard normal at every x. So their
product with any function f(x) of mean zero has mean zero, as has that of |g| / mean|g| - 1. Here f
are the Legendre polynomials P1 and P2 of the rank of an observable, which no outlier decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm, rankdata

from cinn_clusters.diagnostics.bands import ALPHA, SimultaneousTest, simultaneous_test

Kind = Literal["bias", "width"]
THIRDS = ("low", "middle", "high")
LEVEL = 0.68
"""Mass of the central intervals whose coverage is compared by thirds."""


@dataclass(frozen=True)
class Statistic:
    """What one of the means is of: a target, an observable, and what may depend on it."""

    d: int
    name: str
    kind: Kind
    form: str


@dataclass(frozen=True, eq=False)
class ConditionalTest:
    """Outcome for K statistics, which share one level."""

    statistics: tuple[Statistic, ...]
    test: SimultaneousTest

    def strongest(self, d: int, kind: Kind) -> tuple[Statistic, float] | None:
        """Return the significant statistic of a target with the largest |t|, and its t."""
        numbers = [
            k
            for k in np.flatnonzero(self.test.is_significant)
            if self.statistics[k].d == d and self.statistics[k].kind == kind
        ]
        if not numbers:
            return None
        best = max(numbers, key=lambda k: abs(self.test.t[k]))
        return self.statistics[best], float(self.test.t[best])

    def of_target(self, d: int) -> dict[str, dict[str, float]]:
        """Return t of each statistic of a target, by observable and form."""
        result: dict[str, dict[str, float]] = {}
        for statistic, t in zip(self.statistics, self.test.t, strict=True):
            if statistic.d == d:
                form = f"{statistic.kind}, {statistic.form}"
                result.setdefault(statistic.name, {})[form] = float(t)
        return result


def conditional_test(
    scores: np.ndarray,
    observables: Mapping[str, np.ndarray],
    judged_by_third: Sequence[str],
    weights: np.ndarray,
    alpha: float = ALPHA,
) -> ConditionalTest:
    """Test bias and width of D posteriors against observables, and coverage by thirds of some.

    Args:
        scores: Gaussian scores of the truths, (N, D).
        observables: Values (N,) by name; NaN where one is missing.
        judged_by_third: Names of those by whose thirds the coverage of 68 % intervals is tested.
        weights: Bootstrap weights, which resample clusters, (R, N).
        alpha: Level that all statistics share.
    """
    statistics, columns = [], [np.zeros((len(scores), 0))]
    for name, values in observables.items():
        shapes = legendre(values)
        thirds = {}
        if name in judged_by_third:
            thirds = third_members(values)
        for d, target_scores in enumerate(scores.T):
            contributions = _contributions(target_scores, shapes, thirds)
            statistics += [Statistic(d, name, *key) for key in contributions]
            columns += [column[:, None] for column in contributions.values()]
    matrix = np.concatenate(columns, axis=1)  # (N, K)
    test = simultaneous_test(matrix, weights, alpha)
    return ConditionalTest(tuple(statistics), test)


def _contributions(
    scores: np.ndarray,
    shapes: Mapping[str, np.ndarray],
    thirds: Mapping[str, np.ndarray],
) -> dict[tuple[Kind, str], np.ndarray]:
    """Contributions (N,) to the statistics of one target and observable, by kind and form.

    Positive means are posteriors above the truth, and too wide, where the form is large.
    """
    centred = scores - scores.mean()
    residual = _residual(scores, list(shapes.values()))
    size = np.abs(residual)
    excess = 1 - size / size.mean()
    held = is_held(scores)
    centred_coverage = held - held.mean()

    contributions: dict[tuple[Kind, str], np.ndarray] = {}
    for form, shape in shapes.items():
        contributions["bias", form] = -shape * centred
        contributions["width", form] = shape * excess
    for third, is_member in thirds.items():
        difference = is_member - is_member.mean()
        form = f"coverage, {third}"
        contributions["width", form] = difference * centred_coverage
    return contributions


def _residual(values: np.ndarray, shapes: Sequence[np.ndarray]) -> np.ndarray:
    """Values (N,) about their regression on some shapes: a bias by place is none of a width."""
    design = np.stack([np.ones(len(values)), *shapes], axis=1)
    slope = np.linalg.lstsq(design, values)[0]
    residual: np.ndarray = values - design @ slope
    return residual


def is_held(scores: np.ndarray) -> np.ndarray:
    """Whether central 68 % intervals hold the truths of some Gaussian scores, of any shape."""
    is_inside: np.ndarray = np.abs(scores) < norm.ppf(0.5 + LEVEL / 2)
    return is_inside


def legendre(values: np.ndarray) -> dict[str, np.ndarray]:
    """P1 and P2 (N,) of the ranks of values, of mean zero; zero where a value is missing.

    Examples:
        >>> legendre(np.array([1.0, 2.0, 1e9]))["linear"].round(2)
        array([-0.67,  0.  ,  0.67])
    """
    is_there = np.isfinite(values)
    rank = rankdata(values[is_there])
    num_ranks = max(len(rank), 1)
    u = (2 * rank - 1) / num_ranks - 1  # in (-1, 1)
    quadratic = (3 * u**2 - 1) / 2

    shapes = {}
    for name, form in {"linear": u, "quadratic": quadratic}.items():
        mean = form.sum() / num_ranks
        shape = np.zeros(values.shape)
        shape[is_there] = form - mean
        shapes[name] = shape
    return shapes


def third_members(values: np.ndarray) -> dict[str, np.ndarray]:
    """Which rows (N,) are low, middle and high in a value; those of equal value stay together, and
    one without a value is none.

    Examples:
        >>> {name: int(rows.sum()) for name, rows in third_members(np.arange(9.0)).items()}
        {'low': 3, 'middle': 3, 'high': 3}
    """
    finite = values[np.isfinite(values)]
    edges = np.quantile(finite, [1 / 3, 2 / 3])
    numbers = np.searchsorted(edges, values)
    has_value = ~np.isnan(values)

    members = {}
    for number, name in enumerate(THIRDS):
        is_member = (numbers == number) & has_value
        if is_member.any():
            members[name] = is_member
    return members


def resampled_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means (R', ...) of some rows (n, ...) over the resamples (R, n) that hold any of them."""
    mass = weights.sum(axis=1)
    is_usable = mass > 0
    total = weights[is_usable] @ values
    means: np.ndarray = (total.T / mass[is_usable]).T
    return means
