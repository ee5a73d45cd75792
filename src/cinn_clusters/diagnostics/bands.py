"""Bands and error bars by the bootstrap of whole clusters: rows of one cluster share a history.

A bootstrap resample is a row of weights (R, N) that sum to 1, as ``scores.bootstrap_weights``
makes them, so that the resampled mean of values (N,) is ``weights @ values``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm

ALPHA = 0.01
"""Share of calibrated posteriors that a band calls wrong."""
ECDF_GRID = np.linspace(0.01, 0.99, 99)
"""Levels at which an ECDF is compared with that of a uniform variable."""


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence band."""

    value: float
    lower: float
    upper: float

    def excludes(self, nominal: float) -> bool:
        """Whether a nominal value lies outside the band."""
        return not self.lower <= nominal <= self.upper

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.lower:.3f}, {self.upper:.3f}]"


def estimate(value: float, resampled: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Put the normal band of level 1 - alpha around a number, from its bootstrap resamples (R,).

    Raises:
        ValueError: If ``alpha`` is outside (0, 1).

    Examples:
        >>> print(estimate(1.0, np.array([0.9, 1.1]), alpha=0.3173))
        1.000 [0.900, 1.100]
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"estimate: expected alpha in (0, 1); got {alpha}")
    half_width = float(norm.ppf(1 - alpha / 2) * np.std(resampled))
    return Estimate(float(value), float(value) - half_width, float(value) + half_width)


def mean_estimate(values: np.ndarray, weights: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Mean of one value a row, (N,), with its band from bootstrap weights (R, N)."""
    return estimate(float(values.mean()), weights @ values, alpha)


@dataclass(frozen=True, eq=False)
class Uniformity:
    """Test whether values in [0, 1] are uniform, on a grid of G levels."""

    grid: np.ndarray
    ecdf: np.ndarray  # share of values at or below each level
    lower: np.ndarray  # simultaneous band around the uniform ECDF
    upper: np.ndarray
    ks: float  # one-sample Kolmogorov-Smirnov distance on the grid
    p_value: float  # chance of a larger distance if the values were uniform

    @property
    def is_inside(self) -> bool:
        """Whether the whole ECDF lies in its band."""
        return bool(((self.lower <= self.ecdf) & (self.ecdf <= self.upper)).all())


def uniformity(
    values: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA, grid: np.ndarray = ECDF_GRID
) -> Uniformity:
    """Test values that are uniform if a posterior is calibrated (PIT, HPD ranks, TARP fractions).

    The band is that of as many independent rows as the clusters are worth. The p-value compares
    the distance with those of bootstrap resamples from the sample.

    Args:
        values: One value a row in [0, 1], shape (N,).
        weights: Bootstrap weights that resample clusters, shape (R, N).
        alpha: Chance that uniform values leave the band anywhere.
        grid: Levels of the ECDF inside (0, 1), shape (G,).

    Raises:
        ValueError: If a value lies outside [0, 1].

    References:
        Saeilynoja, Buerkner & Vehtari (2022), Graphical test for discrete uniformity.
    """
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("uniformity: expected values in [0, 1]; got others")
    is_below = (values[:, None] <= grid).astype(float)  # (N, G)
    ecdf = is_below.mean(axis=0)
    distance = float(np.abs(ecdf - grid).max())
    resampled = weights @ is_below  # (R, G)
    null_distances = np.abs(resampled - ecdf).max(axis=1)
    num_independent = effective_number(values, weights, grid=grid)
    lower, upper = ecdf_band(num_independent, grid, alpha=alpha)
    return Uniformity(grid, ecdf, lower, upper, distance, p_value(distance, null_distances))


def p_value(statistic: float, null: np.ndarray) -> float:
    """Share of null statistics (R,) at or above one, itself counted in so that it is never zero.

    Examples:
        >>> p_value(2.0, np.array([0.0, 1.0, 3.0]))
        0.5
    """
    return float((1 + (null >= statistic).sum()) / (1 + len(null)))


def ecdf_band(
    num_values: int,
    grid: np.ndarray = ECDF_GRID,
    *,
    alpha: float = ALPHA,
    num_simulations: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band for the ECDF of independent uniform values.

    The band consists of binomial intervals of a pointwise level gamma that is found by simulation,
    so that a whole ECDF leaves it with chance alpha.

    Args:
        num_values: Number of values N.
        grid: Increasing levels inside (0, 1), shape (G,).
        alpha: Chance that the ECDF leaves the band anywhere on the grid.
        num_simulations: Simulated ECDFs that set gamma.
        seed: Seed of the simulation.

    Returns:
        Lower and upper ends, each (G,).

    References:
        Saeilynoja, Buerkner & Vehtari (2022), section 2.

    Examples:
        >>> lower, upper = ecdf_band(100, np.array([0.25, 0.5]), alpha=0.05)
        >>> bool((lower < [0.25, 0.5]).all() and (upper > [0.25, 0.5]).all())
        True
    """
    steps = np.diff(grid, prepend=0.0, append=1.0)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(num_values, steps, num_simulations).cumsum(axis=1)[:, :-1]
    lower_tail = binom.cdf(counts, num_values, grid)
    upper_tail = binom.sf(counts - 1, num_values, grid)
    extreme = 2 * np.minimum(lower_tail, upper_tail).min(axis=1)
    gamma = np.quantile(extreme, alpha)
    lower = np.asarray(binom.ppf(gamma / 2, num_values, grid))
    upper = np.asarray(binom.ppf(1 - gamma / 2, num_values, grid))
    return lower / num_values, upper / num_values


def effective_number(
    values: np.ndarray, weights: np.ndarray, *, grid: np.ndarray = ECDF_GRID
) -> int:
    """Number of independent values whose ECDF scatters as much as that of rows in clusters.

    It is N over the design effect, from 1 to N, for values (N,) and bootstrap weights (R, N). The
    scatter is pooled over the grid, because few clusters lie near 0 and 1.

    Examples:
        >>> values = np.repeat(np.random.default_rng(0).random(50), 8)  # eight copies of each
        >>> counts = np.random.default_rng(1).multinomial(50, np.full(50, 1 / 50), 500)
        >>> 40 <= effective_number(values, np.repeat(counts / 400, 8, axis=1)) <= 60
        True
    """
    is_below = (values[:, None] <= grid).astype(float)
    variance = float((weights @ is_below).var(axis=0).sum())
    independent_variance = float((grid * (1 - grid)).sum()) / len(values)
    design_effect = max(1.0, variance / independent_variance)
    return max(1, round(len(values) / design_effect))
