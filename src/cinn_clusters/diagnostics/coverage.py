"""Coverage: how often regions of a posterior hold the ground truth, against their nominal mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinn_clusters.diagnostics.bands import ALPHA, Estimate, estimate, mean_estimate
from cinn_clusters.diagnostics.conditional import resampled_mean, third_members
from cinn_clusters.diagnostics.scores import COVERAGE_LEVELS

TAILS = (0.9544997361036416, 0.9973002039367398)
"""Mass within two and three standard deviations of a Gaussian."""


def coverage_band(
    inside: np.ndarray, weights: np.ndarray, alpha: float = ALPHA
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise bootstrap band (C, D) of the coverage of intervals that hold the truth or not.

    ``inside`` (C, N, D) is that of ``central_coverage``, ``weights`` (R, N) resample clusters.
    """
    share = inside.astype(float)
    resampled = np.einsum("rn,cnd->rcd", weights, share, optimize=True)  # (R, C, D)
    tails = [alpha / 2, 1 - alpha / 2]
    lower, upper = np.quantile(resampled, tails, axis=0)
    return lower, upper


@dataclass(frozen=True)
class CalibrationError:
    """Empirical minus nominal coverage of one target, averaged over levels."""

    absolute: float
    signed: Estimate  # above zero the intervals are too wide, below zero too narrow


def calibration_error(
    inside: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA
) -> list[CalibrationError]:
    """Compare the coverage of central intervals with their levels, one result a target.

    ``inside`` (C, N, D) is that of ``central_coverage``, ``weights`` (R, N) resample clusters.
    """
    coverage = inside.mean(axis=1)  # (C, D)
    error = np.abs(coverage - COVERAGE_LEVELS[:, None])
    absolute = error.mean(axis=0)  # (D,)

    # the mean over levels comes first, so that whole rows can be resampled
    signed = inside.mean(axis=0) - COVERAGE_LEVELS.mean()  # (N, D)

    errors = []
    for of_target, of_rows in zip(absolute, signed.T, strict=True):
        band = mean_estimate(of_rows, weights, alpha)
        errors.append(CalibrationError(float(of_target), band))
    return errors


def tail_coverage(
    pit: np.ndarray, weights: np.ndarray, levels: tuple[float, ...] = TAILS
) -> list[list[Estimate]]:
    """Coverage of wide central intervals, for each target at each level.

    The randomised PIT (N, D) makes it exact for any number of samples; ``weights`` are (R, N).
    """
    # a central interval of mass c holds the truth where |2 PIT - 1| < c
    centred = np.abs(2 * pit - 1)
    return [
        [mean_estimate(distance < level, weights) for level in levels]
        for distance in centred.T
    ]


@dataclass(frozen=True)
class Tertile:
    """Coverage of each target over a third of the rows, sorted by a property such as mass."""

    lower: float  # smallest value of the property
    upper: float
    rows: int
    coverage: list[Estimate]


def by_tertile(
    values: np.ndarray, inside: np.ndarray, weights: np.ndarray
) -> list[Tertile]:
    """Coverage where a property (N,), such as mass or redshift, is low, middle and high.

    Rows of equal value share a tertile, so that there may be fewer than three. ``inside`` (N, D)
    says whether an interval holds the truth, ``weights`` (R, N) resample clusters.

    Raises:
        ValueError: If a value of the property is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("by_tertile: expected finite values; got NaN or infinity")
    return [
        _tertile(values[is_member], inside[is_member], weights[:, is_member])
        for is_member in third_members(values).values()
    ]


def _tertile(values: np.ndarray, inside: np.ndarray, weights: np.ndarray) -> Tertile:
    """Coverage over some rows (n,), whose weights (R, n) need not sum to 1."""
    held = inside.astype(float)
    share = held.mean(axis=0)  # (D,)
    resampled = resampled_mean(held, weights)  # (R, D)
    coverage = [estimate(*pair) for pair in zip(share, resampled.T, strict=True)]

    lower = float(values.min())
    upper = float(values.max())
    return Tertile(lower, upper, len(values), coverage)


def hpd_ranks(log_prob: np.ndarray, log_prob_truth: np.ndarray) -> np.ndarray:
    """Smallest mass of a joint highest-density region that holds the truth: uniform if calibrated.

    rho_i = mean_l 1[q(theta_il | x_i) >= q(theta*_i | x_i)], and coverage(c) is the share of ranks
    up to c.

    Args:
        log_prob: Log-density of each posterior sample, (S, N); NaN where it was not evaluated.
        log_prob_truth: Log-density of the ground truth, (N,).

    Raises:
        ValueError: If an object has no density of its truth or of a single sample.

    References:
        Hermans+21 (arXiv:2110.06581), eq. (4).

    Examples:
        >>> hpd_ranks(np.array([[-1.0], [-2.0], [-3.0], [np.nan]]), np.array([-2.5]))
        array([0.66666667])
    """
    is_evaluated = ~np.isnan(log_prob)  # (S, N)
    num_evaluated = is_evaluated.sum(axis=0)
    if np.isnan(log_prob_truth).any() or not num_evaluated.all():
        expected = "a density of every truth and of some samples of every object"
        raise ValueError(f"hpd_ranks: expected {expected}; got NaN")

    is_denser = log_prob >= log_prob_truth  # never where it is NaN
    num_denser = is_denser.sum(axis=0)
    shares: np.ndarray = num_denser / num_evaluated
    return shares
