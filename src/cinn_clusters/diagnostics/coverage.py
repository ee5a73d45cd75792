"""Coverage: how often regions of a posterior hold the truth, beside how often they claim to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinn_clusters.diagnostics.bands import ALPHA, Estimate, estimate, mean_estimate
from cinn_clusters.diagnostics.scores import LEVELS

TAILS = (0.9544997361036416, 0.9973002039367398)
"""Mass within two and three standard deviations of a Gaussian."""


def coverage_band(
    inside: np.ndarray, weights: np.ndarray, alpha: float = ALPHA
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise percentile band of the coverage, whole clusters resampled.

    Args:
        inside: Whether the interval of each level holds the truth, (C, N, D), as of
            ``central_coverage``.
        weights: Bootstrap weights, (R, N).
        alpha: Share of resamples outside the band.

    Returns:
        Lower and upper ends, each (C, D).
    """
    resampled = np.einsum("bn,cnd->bcd", weights, inside.astype(float), optimize=True)
    lower, upper = np.quantile(resampled, [alpha / 2, 1 - alpha / 2], axis=0)
    return lower, upper


@dataclass(frozen=True)
class CalibrationError:
    """Empirical minus nominal coverage of one target, mean over levels.

    Args:
        absolute: Mean of the absolute differences.
        signed: Mean of the differences, with its band: above zero intervals hold too much (too
            wide), below too little.
    """

    absolute: float
    signed: Estimate


def calibration_error(
    inside: np.ndarray, weights: np.ndarray, levels: np.ndarray = LEVELS, *, alpha: float = ALPHA
) -> list[CalibrationError]:
    """Compare the coverage of central intervals with their levels.

    Args:
        inside: (C, N, D), as of ``central_coverage``.
        weights: Bootstrap weights that resample clusters, (R, N).
        levels: Nominal masses, (C,).
        alpha: See ``estimate``.

    Returns:
        One a target.
    """
    gap = np.abs(inside.mean(1) - levels[:, None]).mean(0)
    by_row = inside.mean(0) - levels.mean()  # (N, D)
    return [
        CalibrationError(float(gap[d]), mean_estimate(by_row[:, d], weights, alpha))
        for d in range(inside.shape[2])
    ]


def tail_coverage(
    pit: np.ndarray, weights: np.ndarray, levels: tuple[float, ...] = TAILS
) -> list[list[Estimate]]:
    """Coverage of wide central intervals: expected is the level itself.

    Args:
        pit: Randomised PIT, (N, D): its intervals are exact however few the draws.
        weights: Bootstrap weights that resample clusters, (R, N).
        levels: Masses, C of them.

    Returns:
        Coverage with its band, for each target at each level.
    """
    inside = np.abs(2 * pit - 1) < np.array(levels)[:, None, None]
    return [
        [mean_estimate(of_level[:, d], weights) for of_level in inside] for d in range(pit.shape[1])
    ]


@dataclass(frozen=True)
class Part:
    """Rows whose property lies between two values, and how intervals do there.

    Args:
        lower: Smallest value of the property.
        upper: Largest.
        rows: Number of rows.
        coverage: Coverage with its band, one a target.
    """

    lower: float
    upper: float
    rows: int
    coverage: list[Estimate]


def by_tertile(
    values: np.ndarray, inside: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA
) -> list[Part]:
    """Coverage where a property (mass, redshift) is low, middle and high.

    Args:
        values: The property, (N,).
        inside: Whether an interval holds the truth, (N, D).
        weights: Bootstrap weights that resample clusters, (R, N).
        alpha: See ``estimate``.

    Returns:
        Up to three parts; rows of equal value stand in one part, and a part without rows is left
        out.

    Raises:
        ValueError: If a value of the property is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("by_tertile: expected finite values; got NaN or infinity")
    place = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    parts = []
    for here in (place == k for k in range(3) if (place == k).any()):
        mass = weights[:, here].sum(1)
        drawn = mass > 0  # a resample may miss a small part
        resampled = weights[drawn][:, here] @ inside[here] / mass[drawn, None]  # (R, D)
        found = [
            estimate(share, resampled[:, d], alpha) for d, share in enumerate(inside[here].mean(0))
        ]
        parts.append(
            Part(float(values[here].min()), float(values[here].max()), int(here.sum()), found)
        )
    return parts


def hpd_ranks(log_prob: np.ndarray, log_prob_truth: np.ndarray) -> np.ndarray:
    """Smallest mass of a joint highest-density region that holds the truth: uniform if calibrated.

    mean_l 1[q(theta_l | x) >= q(theta* | x)].

    Args:
        log_prob: Log-density of each draw, (S, N); NaN where it was not evaluated.
        log_prob_truth: Log-density of the truth, (N,).

    Returns:
        (N,), in [0, 1].

    Raises:
        ValueError: If an object has no density of a truth or of a single draw.

    References:
        Hermans+21 (arXiv:2110.06581), eq. (4): coverage(c) is the share of ranks up to c.

    Examples:
        >>> hpd_ranks(np.array([[-1.0], [-2.0], [-3.0], [np.nan]]), np.array([-2.5]))
        array([0.66666667])
    """
    known = ~np.isnan(log_prob)
    if np.isnan(log_prob_truth).any() or not known.any(0).all():
        raise ValueError(
            "hpd_ranks: expected a density of every truth and of some draws of every object; got NaN"
        )
    return np.asarray(((log_prob >= log_prob_truth) & known).sum(0) / known.sum(0))
