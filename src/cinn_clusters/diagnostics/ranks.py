"""Simulation-based calibration (SBC): ranks of the ground truth among posterior samples.

r_i = #{l: theta_il < theta*_i} and PIT = (r + u) / (S + 1) with u ~ U(0, 1), both uniform if the
posterior is calibrated (Talts+18).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm

from cinn_clusters.diagnostics.bands import p_value

NUM_RANK_BINS = 20


def ranks(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Number of posterior samples (S, N, D) below the ground truth (N, D), from 0 to S.

    References:
        Talts+18 (arXiv:1804.06788), theorem 1.

    Examples:
        >>> ranks(np.array([[[0.0]], [[1.0]], [[2.0]]]), np.array([[1.5]]))
        array([[2]])
    """
    is_below = samples < truth  # (S, N, D)
    numbers: np.ndarray = is_below.sum(axis=0)
    return numbers


def pit(samples: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Randomised PIT (N, D) of the truth under samples (S, N, D): uniform for any S."""
    num_samples = len(samples)
    shares = ranks(samples, truth) / num_samples
    return randomised_shares(shares, num_samples, seed=seed)


def sample_pit(samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Randomised PIT (S, N, D) of every sample among all S: of no other shape than that of a truth.

    Examples:
        >>> values = sample_pit(np.array([[[3.0]], [[1.0]], [[2.0]]]))
        >>> (3 * values[:, 0, 0]).astype(int)
        array([2, 0, 1])
    """
    num_samples = len(samples)
    order = np.argsort(samples, axis=0, kind="stable")
    numbers = np.empty(samples.shape)
    positions = np.arange(num_samples, dtype=float)[:, None, None]
    np.put_along_axis(numbers, order, np.broadcast_to(positions, samples.shape), axis=0)
    u = np.random.default_rng([seed, 2]).random(samples.shape)
    inside: np.ndarray = (numbers + u.clip(1e-9, 1 - 1e-9)) / num_samples
    return inside


def gaussian_scores(pit_values: np.ndarray) -> np.ndarray:
    """Gaussian scores Phi^-1(PIT), any shape: a parameter whitened by its own posterior."""
    scores: np.ndarray = norm.ppf(pit_values)
    return scores


def randomised_shares(
    shares: np.ndarray, num_samples: int | np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Spread shares of S samples, (S share + u) / (S + 1) with u ~ U(0, 1), inside (0, 1).

    Shares of any shape, such as ``tarp_fractions`` and ``hpd_ranks``, become exactly uniform where
    the numbers of samples behind them are; ``num_samples`` is S, or one an object.
    """
    rng = np.random.default_rng(seed)
    # a share of 0 or 1 has no Gaussian score
    u = rng.random(shares.shape).clip(1e-9, 1 - 1e-9)
    numbers = np.round(shares * num_samples)
    spread: np.ndarray = (numbers + u) / (num_samples + 1)
    return spread


@dataclass(frozen=True, eq=False)
class ChiSquare:
    """Histogram of ranks in B bins against a flat one."""

    counts: np.ndarray  # (B,)
    statistic: float  # sum of (counts - expected)^2 / expected
    p_value: float  # with whole clusters resampled
    p_value_of_rows: float  # too small where rows share a cluster


def sbc_chi_square(
    target_ranks: np.ndarray, num_samples: int, weights: np.ndarray
) -> ChiSquare:
    """Test whether the ranks (N,) of one target among S samples are uniform.

    Raises:
        ValueError: If S + 1 is not a multiple of the bins: they would not be equally likely.

    References:
        Talts+18 (arXiv:1804.06788), section 4.
    """
    if (num_samples + 1) % NUM_RANK_BINS:
        expected = f"samples + 1 to be a multiple of {NUM_RANK_BINS}"
        hint = "leave some out"
        raise ValueError(
            f"sbc_chi_square: expected {expected}; got {num_samples} samples; {hint}"
        )

    # histogram of the ranks 0 to S in bins of equally many
    num_rows = len(target_ranks)
    bins = target_ranks * NUM_RANK_BINS // (num_samples + 1)
    is_in_bin = bins[:, None] == np.arange(NUM_RANK_BINS)  # (N, B)
    counts = is_in_bin.sum(axis=0)
    share = is_in_bin.mean(axis=0)
    excess = share - 1 / NUM_RANK_BINS
    statistic = float(_chi_square(excess, num_rows))

    # what resampling alone does to the histogram, whether it is flat or not
    resampled = weights @ is_in_bin.astype(float)  # (R, B)
    null = _chi_square(resampled - share, num_rows)
    chance = p_value(statistic, null)
    independent = float(chi2.sf(statistic, NUM_RANK_BINS - 1))
    return ChiSquare(counts, statistic, chance, independent)


def whole_bins(num_samples: int) -> int:
    """Return the largest number of samples up to S that fills bins of equally many ranks.

    Examples:
        >>> whole_bins(1000), whole_bins(999), whole_bins(18)
        (999, 999, 0)
    """
    num_ranks = num_samples + 1  # 0 to S
    num_left_over = num_ranks % NUM_RANK_BINS
    return max(0, num_samples - num_left_over)


def _chi_square(difference: np.ndarray, num_rows: int) -> np.ndarray:
    """Chi-square of shares that differ from equal ones, over the last axis."""
    # sum of (N difference)^2 / (N / B)
    num_bins = difference.shape[-1]
    squared = difference**2
    statistic: np.ndarray = num_rows * num_bins * squared.sum(axis=-1)
    return statistic
