"""Bands and error bars that resample whole clusters: rows of one cluster are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm

ALPHA = 0.01
"""Share of calibrated posteriors that a band calls wrong."""
GRID = np.linspace(0.01, 0.99, 99)
"""Where an ECDF is compared with that of a uniform variable."""


@dataclass(frozen=True)
class Estimate:
    """A number and the band it may lie in.

    Args:
        value: The number.
        lower: Lower end of its band.
        upper: Upper end.
    """

    value: float
    lower: float
    upper: float

    def excludes(self, nominal: float) -> bool:
        """Whether the band leaves a value out."""
        return not self.lower <= nominal <= self.upper

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.lower:.3f}, {self.upper:.3f}]"


def estimate(value: float, resampled: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Put a band around a number: a normal one with the spread of its resamples.

    Args:
        value: The number over all rows.
        resampled: The same over bootstrap samples, (R,).
        alpha: Chance that the band misses what it estimates.

    Returns:
        The number and its band.

    Raises:
        ValueError: If ``alpha`` is outside (0, 1).

    Examples:
        >>> print(estimate(1.0, np.array([0.9, 1.1]), alpha=0.3173))
        1.000 [0.900, 1.100]
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"estimate: expected alpha in (0, 1); got {alpha}")
    half = float(norm.ppf(1 - alpha / 2) * np.std(resampled))
    return Estimate(float(value), float(value) - half, float(value) + half)


def mean_estimate(values: np.ndarray, weights: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Mean of one value a row, (N,), with its band; ``weights`` (R, N) as of
    ``bootstrap_weights``.
    """
    return estimate(float(values.mean()), weights @ values, alpha)


@dataclass(frozen=True)
class Uniformity:
    """How uniform values in [0, 1] are.

    Args:
        grid: Where it was looked at, (G,).
        ecdf: Share of values at or below, (G,).
        lower: Lower end of the simultaneous band around the uniform ECDF, (G,).
        upper: Upper end, (G,).
        ks: One-sample Kolmogorov-Smirnov distance on the grid.
        p_value: Chance of a larger distance if the values were uniform.
    """

    grid: np.ndarray
    ecdf: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    ks: float
    p_value: float

    @property
    def is_inside(self) -> bool:
        """Whether the whole ECDF lies in its band."""
        return bool(((self.lower <= self.ecdf) & (self.ecdf <= self.upper)).all())


def uniformity(
    values: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA, grid: np.ndarray = GRID
) -> Uniformity:
    """Compare values that ought to be uniform (PIT, HPD ranks, TARP fractions) with a uniform variable.

    Args:
        values: One a row, in [0, 1], (N,).
        weights: Bootstrap weights that resample clusters, (R, N).
        alpha: Chance that uniform values leave the band anywhere.
        grid: Where to look, (G,), inside (0, 1).

    Returns:
        ECDF, band and test. The band is that of as many independent rows as the clusters are worth;
        the p-value compares the distance with those of bootstrap samples from the sample they are
        drawn from.

    Raises:
        ValueError: If a value lies outside [0, 1].

    References:
        Saeilynoja, Buerkner & Vehtari (2022), Graphical test for discrete uniformity, for
        independent rows.
    """
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("uniformity: expected values in [0, 1]; got others")
    below = (values[:, None] <= grid).astype(float)  # (N, G)
    ecdf = below.mean(0)
    moved = np.abs(weights @ below - ecdf)  # (R, G)
    ks = float(np.abs(ecdf - grid).max())
    lower, upper = ecdf_band(effective_number(values, weights, grid=grid), grid, alpha=alpha)
    return Uniformity(grid, ecdf, lower, upper, ks, p_value(ks, moved.max(1)))


def p_value(statistic: float, null: np.ndarray) -> float:
    """Share of null statistics (R,) at or above one, that one counted in: never zero.

    Examples:
        >>> p_value(2.0, np.array([0.0, 1.0, 3.0]))
        0.5
    """
    return float((1 + (null >= statistic).sum()) / (1 + len(null)))


def ecdf_band(
    num_values: int,
    grid: np.ndarray = GRID,
    *,
    alpha: float = ALPHA,
    num_simulations: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band for the ECDF of independent uniform values.

    Args:
        num_values: N.
        grid: Where, (G,), inside (0, 1), increasing.
        alpha: Chance that the ECDF leaves the band anywhere on the grid.
        num_simulations: Simulated ECDFs that set the pointwise level.
        seed: Seed of the simulation.

    Returns:
        Lower and upper ends, each (G,).

    References:
        Saeilynoja, Buerkner & Vehtari (2022), section 2: pointwise binomial intervals of a level
        gamma found by simulation.

    Examples:
        >>> lower, upper = ecdf_band(100, np.array([0.25, 0.5]), alpha=0.05)
        >>> bool((lower < [0.25, 0.5]).all() and (upper > [0.25, 0.5]).all())
        True
    """
    steps = np.diff(np.concatenate([[0.0], grid, [1.0]]))
    counts = (
        np.random.default_rng(seed)
        .multinomial(num_values, steps, num_simulations)
        .cumsum(1)[:, :-1]
    )
    tails = np.minimum(binom.cdf(counts, num_values, grid), binom.sf(counts - 1, num_values, grid))
    gamma = np.quantile(2 * tails.min(1), alpha)
    lower, upper = (
        np.asarray(binom.ppf(q, num_values, grid)) / num_values for q in (gamma / 2, 1 - gamma / 2)
    )
    return lower, upper


def effective_number(values: np.ndarray, weights: np.ndarray, *, grid: np.ndarray = GRID) -> int:
    """Number of independent values whose ECDF would scatter as much as that of these rows.

    The scatter is pooled over the grid: near 0 and 1 a few clusters alone would tell too little of
    it.

    Args:
        values: One a row, in [0, 1], (N,).
        weights: Bootstrap weights that resample clusters, (R, N).
        grid: Where to look, (G,).

    Returns:
        From 1 to N; N over the design effect of the clusters.

    Examples:
        >>> values = np.repeat(np.random.default_rng(0).random(50), 8)  # eight copies of each
        >>> drawn = np.random.default_rng(1).multinomial(50, np.full(50, 1 / 50), 500) / 400
        >>> 40 <= effective_number(values, np.repeat(drawn, 8, axis=1)) <= 60
        True
    """
    below = (values[:, None] <= grid).astype(float)
    scatter = float((weights @ below).var(0).sum())
    independent = float((grid * (1 - grid)).sum()) / len(values)
    return max(1, round(len(values) / max(1.0, scatter / independent)))
