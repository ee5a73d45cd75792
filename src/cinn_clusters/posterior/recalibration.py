r"""Recalibration by held-out clusters: maps of each marginal, and levels of joint regions.

A posterior whose PIT values u = F(theta* | x) have the distribution function R instead of a uniform
one is repaired by F'(theta | x) = R(F(theta | x)): every sample moves to theta' =
F^-1(R^-1(F(theta))), order and copula stay. The repaired posterior is a density again, with the
Jacobian of that monotone map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from cinn_clusters.bundle import read_arrays
from cinn_clusters.files import JsonObject

_NUM_KNOTS = 41
_PRIOR_CLUSTERS = 10.0
"""Calibrated clusters that are added to those observed: they keep a map of few clusters near the
identity."""
_QUANTILES = np.concatenate([[0.0], ndtr(np.linspace(-2.5, 2.5, 19)), [1.0]])
"""Levels at which a marginal is kept for its density: about evenly spaced in value."""
_AXES = {"levels": "Q", "coverage": "DQ", "regions": "Q"}
_TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class Recalibration:
    """Coverage that held-out clusters have shown.

    Args:
        levels: Levels p from 0 to 1, (Q,).
        coverage: Share of the ground truth below the quantile of that level, R_d(p), increasing,
            (D, Q).
        regions: Share of the ground truth inside the joint highest-density region of that mass,
            increasing, (Q,).

    References:
        Kuleshov+18 (arXiv:1807.00263), section 3; Bordoloi+10, section 3.2 (PIT maps); Vovk+05
        (conformal regions).
    """

    levels: np.ndarray
    coverage: np.ndarray
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
        """Move samples (S, N, D) to repaired quantiles; ranks and support stay as they are."""
        num_samples = len(samples)
        last = num_samples - 1
        order = samples.argsort(0, kind="stable")
        ordered = np.take_along_axis(samples, order, 0)
        result = np.empty_like(samples)
        middle = (np.arange(num_samples) + 0.5) / num_samples
        for d, coverage in enumerate(self.coverage):
            level = np.interp(middle, coverage, self.levels)
            position = level * num_samples - 0.5
            position = np.clip(position, 0.0, float(last))
            below = np.floor(position).astype(int)
            above = np.minimum(below + 1, last)

            # Between the two samples beside the position
            fraction = (position - below).astype(samples.dtype)
            weight = fraction[:, None]
            lower = ordered[below, :, d]
            upper = ordered[above, :, d]
            repaired = lower * (1 - weight) + upper * weight
            np.put_along_axis(result[:, :, d], order[:, :, d], repaired, 0)
        return result

    def undo(
        self, theta: np.ndarray, samples: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move repaired values (M, N, D) back to where the original density is defined.

        Original samples (S, N, D) of the same objects define the marginals. Returns the original
        values and log|d original / d repaired| summed over targets, (M, N).
        """
        levels = [
            np.interp(_QUANTILES, self.levels, coverage) for coverage in self.coverage
        ]  # R(p)
        return _carried(theta, samples, levels)

    def move(self, theta: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Move points (N, D), such as modes, as their samples (S, N, D) are: inverse of ``undo``."""
        levels = [
            np.interp(_QUANTILES, coverage, self.levels) for coverage in self.coverage
        ]  # R^-1(p)
        (moved,), _ = _carried(theta[None], samples, levels)
        return np.asarray(moved)

    def to_dict(self) -> JsonObject:
        """Plain values for JSON."""
        return {
            "levels": self.levels.tolist(),
            "coverage": self.coverage.tolist(),
            "regions": self.regions.tolist(),
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> Recalibration:
        """Inverse of ``to_dict``."""
        return cls(**read_arrays(values, _AXES))


def fit_recalibration(
    pit: np.ndarray, hpd_ranks: np.ndarray, clusters: np.ndarray
) -> Recalibration:
    """Fit the maps to the ground truth of held-out rows; few clusters (N,) move them less.

    ``pit`` holds its PIT values (N, D), ``hpd_ranks`` the smallest masses of a joint
    highest-density region that holds it (N,).
    """
    levels = np.linspace(0.0, 1.0, _NUM_KNOTS)
    num_clusters = len(np.unique(clusters))
    weight = num_clusters / (num_clusters + _PRIOR_CLUSTERS)
    prior = (1.0 - weight) * levels

    def shrunk_distribution(values: np.ndarray) -> np.ndarray:
        is_below = values[:, None] <= levels
        below = is_below.mean(0)
        below[0] = 0.0
        below[-1] = 1.0
        return np.asarray(weight * below + prior)

    coverage = np.stack(list(map(shrunk_distribution, pit.T)))
    regions = shrunk_distribution(hpd_ranks)
    return Recalibration(levels, coverage, regions)


def _carried(
    theta: np.ndarray, samples: np.ndarray, levels: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Values (M, N, D) that stand at quantiles p, carried to those of levels(p), and log-slopes."""
    quantiles = np.quantile(samples.astype(float), _QUANTILES, axis=0)  # (P, N, D)
    carried = np.array(theta, dtype=float)
    log_slope = np.zeros(theta.shape[:2])
    for d, n in np.ndindex(len(levels), theta.shape[1]):
        knots = quantiles[:, n, d]  # Q(p)
        images = np.interp(levels[d], _QUANTILES, knots)
        carried[:, n, d], slope = _interpolate(carried[:, n, d], knots, images)
        log_slope[:, n] += np.log(slope)
    return carried, log_slope


def _interpolate(
    value: np.ndarray, knots: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Piecewise-linear image and slope of values; beyond the knots values stay."""
    last_segment = len(knots) - 2
    segment = np.searchsorted(knots, value, "right") - 1
    segment = np.clip(segment, 0, last_segment)
    widths = np.maximum(np.diff(knots), _TINY)
    heights = np.diff(images)
    slopes = np.maximum(heights / widths, _TINY)
    slope = slopes[segment]

    # beyond the knots nothing was observed
    first, last = knots[0], knots[-1]
    is_inside = (value >= first) & (value <= last)
    offset = value - knots[segment]
    image = images[segment] + slope * offset
    moved = np.where(is_inside, image, value)
    return moved, np.where(is_inside, slope, 1.0)
