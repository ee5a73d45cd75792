"""Repair of calibration by what held-out clusters have shown: maps of each marginal, and levels of joint regions.

A posterior whose PIT values u = F(theta* | x) have the distribution function R instead of a uniform
one is repaired by F'(theta | x) = R(F(theta | x)): every draw moves to theta' =
F^-1(R^-1(F(theta))), order and copula stay. The repaired posterior is a density again, with the
Jacobian of that monotone map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

NUM_KNOTS = 41
PRIOR_CLUSTERS = 10.0
"""Calibrated clusters that are believed to have been seen before: they keep a map of few
clusters near the identity."""
QUANTILES = np.concatenate([[0.0], ndtr(np.linspace(-2.5, 2.5, 19)), [1.0]])
"""Levels at which a marginal is kept where a density is asked for: about evenly spaced in value."""


@dataclass(frozen=True)
class Recalibration:
    """What held-out clusters have shown.

    Args:
        levels: Levels p from 0 to 1, (Q,).
        found: Share of truths below the quantile of that level, R_d(p), increasing, (D, Q).
        regions: Share of truths inside the joint highest-density region of that mass, increasing,
            (Q,).

    References:
        Kuleshov+18 (arXiv:1807.00263), section 3; Bordoloi+10, section 3.2 (PIT maps); Vovk+05
        (conformal regions).
    """

    levels: np.ndarray
    found: np.ndarray
    regions: np.ndarray

    def region_mass(self, level: float) -> float:
        """Mass of the joint highest-density region that holds the truth with probability ``level``.

        Examples:
            >>> grid = np.array([0.0, 0.5, 1.0])
            >>> Recalibration(grid, grid[None], np.array([0.0, 0.25, 1.0])).region_mass(0.25)
            0.5
        """
        return float(np.interp(level, self.regions, self.levels))

    def repair(self, samples: np.ndarray) -> np.ndarray:
        """Repair draws.

        Args:
            samples: (S, N, D).

        Returns:
            (S, N, D): ranks and support of each marginal as before, quantiles repaired.
        """
        num_draws = len(samples)
        order = samples.argsort(0, kind="stable")
        ordered = np.take_along_axis(samples, order, 0)
        result = np.empty_like(samples)
        middle = (np.arange(num_draws) + 0.5) / num_draws
        for d, found in enumerate(self.found):
            place = np.clip(
                np.interp(middle, found, self.levels) * num_draws - 0.5, 0.0, num_draws - 1.0
            )
            below = np.floor(place).astype(int)
            share = (place - below).astype(samples.dtype)[:, None]
            above = np.minimum(below + 1, num_draws - 1)
            moved = ordered[below, :, d] * (1 - share) + ordered[above, :, d] * share
            np.put_along_axis(result[:, :, d], order[:, :, d], moved, 0)
        return result

    def undo(self, theta: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move repaired values back to where the original density is known.

        Args:
            theta: Repaired values, (M, N, D).
            samples: Original draws of the same N objects, (S, N, D): they tell their marginals.

        Returns:
            Original values (M, N, D), and log|d original / d repaired| summed over targets, (M, N).
        """
        quantiles = np.quantile(samples.astype(float), QUANTILES, axis=0)  # (P, N, D)
        original, log_slope = np.array(theta, dtype=float), np.zeros(theta.shape[:2])
        for d, found in enumerate(self.found):
            for n in range(theta.shape[1]):
                knots = quantiles[:, n, d]
                repaired = np.interp(QUANTILES, self.levels, found)
                moved = np.interp(repaired, QUANTILES, knots)  # Q(R(p)) at the knots Q(p)
                value, slope = _interpolate(original[:, n, d], knots, moved)
                original[:, n, d] = value
                log_slope[:, n] += np.log(slope)
        return original, log_slope

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "levels": self.levels.tolist(),
            "found": self.found.tolist(),
            "regions": self.regions.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recalibration:
        """Inverse of ``to_dict``."""
        return cls(
            *(np.array(values[name], dtype=float) for name in ("levels", "found", "regions"))
        )


def fit_recalibration(
    pit: np.ndarray, hpd_ranks: np.ndarray, clusters: np.ndarray
) -> Recalibration:
    """Learn maps from held-out clusters.

    Args:
        pit: PIT of held-out truths, (N, D).
        hpd_ranks: Smallest mass of the joint highest-density region that holds each truth, (N,).
        clusters: Cluster of each row, (N,): few clusters are believed less.

    Returns:
        The maps.
    """
    levels = np.linspace(0.0, 1.0, NUM_KNOTS)
    num_clusters = len(np.unique(clusters))
    trust = num_clusters / (num_clusters + PRIOR_CLUSTERS)

    def shares(values: np.ndarray) -> np.ndarray:
        below = (values[:, None] <= levels).mean(0)
        below[0], below[-1] = 0.0, 1.0
        return np.asarray(trust * below + (1.0 - trust) * levels)

    return Recalibration(levels, np.stack([shares(column) for column in pit.T]), shares(hpd_ranks))


def _interpolate(
    value: np.ndarray, knots: np.ndarray, moved: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Piecewise-linear image and slope; beyond the knots values stay."""
    last = len(knots) - 2
    at = np.clip(np.searchsorted(knots, value, "right") - 1, 0, last)
    width = np.maximum(np.diff(knots), np.finfo(float).tiny)
    slope = np.maximum(np.diff(moved) / width, np.finfo(float).tiny)
    inside = (value >= knots[0]) & (value <= knots[-1])
    image = moved[at] + slope[at] * (value - knots[at])
    return np.where(inside, image, value), np.where(inside, slope[at], 1.0)
