"""Simulation-based calibration: where truths rank among their draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from cinn_clusters.diagnostics.bands import p_value

NUM_BINS = 20


def ranks(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Number of draws below the truth.

    Args:
        samples: Posterior draws, (S, N, D).
        truth: (N, D).

    Returns:
        (N, D) integers from 0 to S; uniform if the posterior is calibrated.

    References:
        Talts+18 (arXiv:1804.06788), theorem 1.

    Examples:
        >>> ranks(np.array([[[0.0]], [[1.0]], [[2.0]]]), np.array([[1.5]]))
        array([[2]])
    """
    return np.asarray((samples < truth).sum(0))


def pit(samples: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Probability integral transform (rank + u) / (S + 1) with u ~ U(0, 1).

    Args:
        samples: Posterior draws, (S, N, D).
        truth: (N, D).
        seed: Seed of u, which makes the PIT of a calibrated posterior exactly uniform for any
            number of draws.

    Returns:
        (N, D), inside (0, 1).
    """
    return spread_shares(ranks(samples, truth) / len(samples), len(samples), seed=seed)


def spread_shares(shares: np.ndarray, num_draws: int | np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Shares of draws made continuous: exactly uniform where the number of draws behind them is, however few.

    Args:
        shares: Of S draws, e.g. of ``tarp_fractions`` or ``hpd_ranks``, any shape.
        num_draws: S, or one an object.
        seed: Seed.

    Returns:
        (S share + u) / (S + 1) with u ~ U(0, 1), inside (0, 1).
    """
    u = np.clip(np.random.default_rng(seed).random(shares.shape), 1e-9, 1 - 1e-9)
    return np.asarray((np.round(shares * num_draws) + u) / (num_draws + 1))


@dataclass(frozen=True)
class ChiSquare:
    """Histogram of ranks against a flat one.

    Args:
        counts: Ranks a bin, (B,).
        statistic: Sum of (counts - expected)^2 / expected.
        p_value: Chance of a larger statistic with whole clusters resampled.
        p_value_of_rows: The same if rows were independent: too small where rows share a cluster.
    """

    counts: np.ndarray
    statistic: float
    p_value: float
    p_value_of_rows: float


def sbc_chi_square(
    ranked: np.ndarray, num_draws: int, weights: np.ndarray, *, num_bins: int = NUM_BINS
) -> ChiSquare:
    """Test whether ranks are uniform.

    Args:
        ranked: Ranks of one target, (N,).
        num_draws: S; S + 1 ranks are possible.
        weights: Bootstrap weights that resample clusters, (R, N).
        num_bins: Bins of equal numbers of ranks.

    Returns:
        Counts, statistic and p-values.

    Raises:
        ValueError: If S + 1 is not a multiple of the bins: they would not be equally likely.

    References:
        Talts+18 (arXiv:1804.06788), section 4.
    """
    if (num_draws + 1) % num_bins:
        raise ValueError(
            f"sbc_chi_square: expected draws + 1 to be a multiple of {num_bins}; got {num_draws} draws; leave some out"
        )
    bins = ranked * num_bins // (num_draws + 1)
    is_in = (bins[:, None] == np.arange(num_bins)).astype(float)  # (N, B)
    share = is_in.mean(0)
    null = _chi_square(weights @ is_in - share, len(ranked))
    statistic = float(_chi_square(share - 1 / num_bins, len(ranked)))
    independent = float(chi2.sf(statistic, num_bins - 1))
    return ChiSquare(is_in.sum(0).astype(int), statistic, p_value(statistic, null), independent)


def whole_bins(num_draws: int, num_bins: int = NUM_BINS) -> int:
    """Return the most draws of S that fill bins of equally many ranks; 0 if there are too few.

    Examples:
        >>> whole_bins(1000), whole_bins(999), whole_bins(18)
        (999, 999, 0)
    """
    return max(0, (num_draws + 1) // num_bins * num_bins - 1)


def _chi_square(difference: np.ndarray, num_rows: int) -> np.ndarray:
    """Chi-square of shares that differ from equal ones, over the last axis."""
    return np.asarray(num_rows * difference.shape[-1] * (difference**2).sum(-1))
