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
"""G levels at which an ECDF is compared with that of a uniform variable."""
_ROUNDING = 1e-12
NUM_SIMULATIONS = 1000
"""Simulated ECDFs that set the pointwise level of a simultaneous band."""


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence band."""

    value: float
    lower: float
    upper: float

    def excludes(self, nominal: float) -> bool:
        """Whether a nominal value lies outside the band."""
        return nominal < self.lower or nominal > self.upper  # never where it is NaN

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
    # value -+ Phi^-1(1 - alpha / 2) * sd of the resamples
    quantile = norm.ppf(1 - alpha / 2)
    half_width = float(quantile * np.std(resampled))

    value = float(value)  # plain, for JSON
    lower = value - half_width
    upper = value + half_width
    return Estimate(value, lower, upper)


def mean_estimate(
    values: np.ndarray, weights: np.ndarray, alpha: float = ALPHA
) -> Estimate:
    """Mean of one value a row, (N,), with its band from bootstrap weights (R, N)."""
    mean = values.mean()
    resampled = weights @ values  # (R,)
    return estimate(mean, resampled, alpha)


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
        is_above_lower = self.lower <= self.ecdf  # (G,)
        is_below_upper = self.ecdf <= self.upper
        is_between = is_above_lower & is_below_upper
        return bool(is_between.all())


def uniformity(
    values: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA
) -> Uniformity:
    """Test values (N,) that are uniform if a posterior is calibrated: PIT, HPD ranks, TARP fractions.

    The band, which uniform values leave with chance alpha, is that of as many independent rows as
    the clusters are worth. The p-value compares the distance with those of bootstrap resamples
    (R, N) from the sample.

    Raises:
        ValueError: If a value lies outside [0, 1].

    References:
        Saeilynoja, Buerkner & Vehtari (2022), Graphical test for discrete uniformity.
    """
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("uniformity: expected values in [0, 1]; got others")
    is_below = _below_grid(values)  # (N, G)
    ecdf = is_below.mean(axis=0)
    deviation = np.abs(ecdf - ECDF_GRID)
    distance = float(deviation.max())

    # what resampling alone does to the ECDF, whether the values are uniform or not
    resampled = weights @ is_below  # (R, G)
    null_deviation = np.abs(resampled - ecdf)
    null_distances = null_deviation.max(axis=1)
    chance = p_value(distance, null_distances)

    num_independent = effective_number(values, weights)
    lower, upper = ecdf_band(num_independent, alpha)
    return Uniformity(ECDF_GRID, ecdf, lower, upper, distance, chance)


def _below_grid(values: np.ndarray) -> np.ndarray:
    """1 where a value (N,) is at or below a level of the grid, else 0, (N, G)."""
    is_below = values[:, None] <= ECDF_GRID
    return is_below.astype(float)


def p_value(statistic: float, null: np.ndarray) -> float:
    """Share of null statistics (R,) at or above one, itself counted in so that it is never zero.

    Examples:
        >>> p_value(2.0, np.array([0.0, 1.0, 3.0]))
        0.5
    """
    # (1 + #{r: null_r >= statistic}) / (1 + R)
    is_as_large = null >= statistic
    num_as_large = 1 + is_as_large.sum()
    return float(num_as_large / (1 + len(null)))


def ecdf_band(num_values: int, alpha: float = ALPHA) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band (G,) for the ECDF of independent uniform values, left with chance alpha.

    The band consists of binomial intervals of a pointwise level gamma that is found by simulation.

    References:
        Saeilynoja, Buerkner & Vehtari (2022), section 2.

    Examples:
        >>> lower, upper = ecdf_band(100, alpha=0.05)
        >>> bool((lower < ECDF_GRID).all() and (upper > ECDF_GRID).all())
        True
    """
    # uniform values between two levels of the grid, summed up to counts below a level
    steps = np.diff(ECDF_GRID, prepend=0.0, append=1.0)
    rng = np.random.default_rng(0)
    in_steps = rng.multinomial(num_values, steps, NUM_SIMULATIONS)
    counts = in_steps.cumsum(axis=1)[:, :-1]  # (NUM_SIMULATIONS, G)

    # the most extreme pointwise level of each simulation; alpha of them lie below gamma
    lower_tail = binom.cdf(counts, num_values, ECDF_GRID)
    upper_tail = binom.sf(counts - 1, num_values, ECDF_GRID)
    tail = np.minimum(lower_tail, upper_tail)
    extreme = 2 * tail.min(axis=1)
    gamma = np.quantile(extreme, alpha)

    # the binomial intervals of that level
    lower = np.asarray(binom.ppf(gamma / 2, num_values, ECDF_GRID))
    upper = np.asarray(binom.ppf(1 - gamma / 2, num_values, ECDF_GRID))
    return lower / num_values, upper / num_values


def effective_number(values: np.ndarray, weights: np.ndarray) -> int:
    """Number of independent values whose ECDF scatters as much as that of rows in clusters.

    It is N over the design effect, from 1 to N, for values (N,) and bootstrap weights (R, N). The
    scatter is pooled over the grid, because few clusters lie near 0 and 1.

    Examples:
        >>> values = np.repeat(np.random.default_rng(0).random(50), 8)  # eight copies of each
        >>> counts = np.random.default_rng(1).multinomial(50, np.full(50, 1 / 50), 500)
        >>> 40 <= effective_number(values, np.repeat(counts / 400, 8, axis=1)) <= 60
        True
    """
    num_values = len(values)
    resampled = weights @ _below_grid(values)  # (R, G)
    variance = resampled.var(axis=0)

    # an ECDF of independent uniform values scatters by F (1 - F) / N at a level F
    binomial_variance = ECDF_GRID * (1 - ECDF_GRID)
    independent = float(binomial_variance.sum()) / num_values
    design_effect = max(1.0, float(variance.sum()) / independent)

    num_independent = round(num_values / design_effect)
    return max(1, num_independent)


@dataclass(frozen=True, eq=False)
class SimultaneousTest:
    """Test of K means against zero that share one level, whatever their correlation."""

    t: np.ndarray  # mean over its bootstrap error, (K,); 0 where nothing varies
    critical: (
        float  # of |t|; one of the K exceeds it with chance alpha if all means are zero
    )
    p_value: float  # chance of a larger |t| than the largest

    @property
    def is_significant(self) -> np.ndarray:
        """Which means (K,) differ from zero."""
        is_larger: np.ndarray = np.abs(self.t) > self.critical
        return is_larger


def simultaneous_test(
    contributions: np.ndarray, weights: np.ndarray, alpha: float = ALPHA
) -> SimultaneousTest:
    """Test K means at once by the largest t, max_k |mean_k| / se_k (single-step max-T).

    Args:
        contributions: What a row contributes to each mean, (N, K).
        weights: Bootstrap weights, which resample clusters, (R, N).
        alpha: Chance that a critical value is exceeded anywhere.

    Returns:
        The K statistics with their common critical value, which is that of the bootstrap.

    References:
        Westfall & Young (1993), Resampling-based multiple testing, algorithm 2.5.

    Examples:
        >>> rows = np.random.default_rng(0).normal([0.0, 1.0], 1.0, size=(200, 2))
        >>> counts = np.random.default_rng(1).multinomial(200, np.full(200, 1 / 200), 500)
        >>> simultaneous_test(rows, counts / 200).is_significant
        array([False,  True])
    """
    mean = contributions.mean(axis=0)
    resampled = weights @ contributions  # (R, K)
    deviation = resampled - mean
    error = deviation.std(axis=0)
    size = np.abs(contributions).max(initial=0.0)
    is_constant = error <= _ROUNDING * size
    error[is_constant] = np.inf

    t = mean / error
    largest = np.abs(t).max(initial=0.0)
    resampled_t = deviation / error  # (R, K)
    largest_by_chance = np.abs(resampled_t).max(axis=1, initial=0.0)  # (R,)
    critical = float(np.quantile(largest_by_chance, 1 - alpha))
    chance = p_value(float(largest), largest_by_chance)
    return SimultaneousTest(t, critical, chance)
