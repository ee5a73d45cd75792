"""Smooth densities of draws that keep inside their support."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from cinn_clusters import schema
from cinn_clusters.figures.style import Limits

GRID = 512
REACH = 4.0
"""Bandwidths beyond the outermost draw at which a density without a bound there is cut."""


def bandwidth(draws: np.ndarray) -> float:
    """Width of the kernel from the spread of the draws themselves (S,); zero where all are the same.

    References:
        Silverman (1986), Density estimation, eq. (3.31): 0.9 min(sd, IQR/1.34) S^(-1/5).
    """
    quarter, three = np.quantile(draws, [0.25, 0.75])
    if np.ptp(draws) <= 1e-9 * np.abs(draws).max():
        return 0.0
    spread = min(draws.std(), (three - quarter) / 1.34) or draws.std()
    return float(0.9 * spread * len(draws) ** -0.2)


def kernel_density(
    draws: np.ndarray, support: Limits = (-np.inf, np.inf)
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian kernel density, reflected at the bounds, so that all of its mass lies between them.

    Args:
        draws: (S,), inside the support.
        support: Bounds, infinite where there is none.

    Returns:
        Where (512,) and how dense (512,); their integral is 1. A single value gives one narrow
        peak.

    Raises:
        ValueError: If a draw is not finite or lies outside the support.

    References:
        Silverman (1986), Density estimation, section 2.10, reflection.

    Examples:
        >>> where, density = kernel_density(np.random.default_rng(0).random(500), (0.0, 1.0))
        >>> bool(where[0] > 0 and where[-1] < 1), round(float(density.mean() * 1.0), 2)
        (True, 1.0)
    """
    if not (np.isfinite(draws).all() and draws.min() >= support[0] and draws.max() <= support[1]):
        raise ValueError("kernel_density: expected finite draws inside their support; got others")
    width = bandwidth(draws)
    reach = REACH * width or 0.01 * (abs(draws[0]) or 1.0)
    lower, upper = max(support[0], draws.min() - reach), min(support[1], draws.max() + reach)
    counts, edges = np.histogram(draws, GRID, (lower, upper))
    step = edges[1] - edges[0]
    smooth = gaussian_filter1d(counts.astype(float), max(width / step, 1.0), mode="reflect")
    return 0.5 * (edges[1:] + edges[:-1]), smooth / (len(draws) * step)


def support_of(name: str, age: float | None = None) -> Limits:
    """Bounds of a column; those of a cosmic age end at the observation.

    Examples:
        >>> support_of("last_Mass_ratio"), support_of("mine")
        ((0.0, 1.0), (-inf, inf))
    """
    known = schema.column(name)
    if known.bijection == "age" and age is not None and np.isfinite(age):
        return 0.0, age + 1e-5  # draws are kept in single precision
    return known.bounds


def physical_density(draws: np.ndarray, support: Limits) -> tuple[np.ndarray, np.ndarray]:
    """Density of those draws (S,) that lie in the support: its integral is their share, which is 1 for this package.

    Examples:
        >>> where, density = physical_density(np.linspace(-1.0, 1.0, 1001), (0.0, 1.0))
        >>> round(float(np.trapezoid(density, where)), 2)
        0.5
    """
    inside = draws[(draws >= support[0]) & (draws <= support[1])]
    if not len(inside):
        return np.empty(0), np.empty(0)
    where, density = kernel_density(inside, support)
    return where, density * (len(inside) / len(draws))


def credible_levels(density: np.ndarray, masses: tuple[float, ...]) -> np.ndarray:
    """Heights above which a density on an even grid (any shape) holds given masses, increasing.

    Examples:
        >>> credible_levels(np.array([4.0, 3.0, 2.0, 1.0]), (0.4, 0.7))
        array([3., 4.])
    """
    heights = np.sort(density, axis=None)[::-1]
    mass = heights.cumsum() / heights.sum()
    return np.sort([heights[np.searchsorted(mass, share - 1e-12)] for share in masses])


def plane_density(
    draws: np.ndarray, limits: np.ndarray, num_bins: int = 60
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed histogram of two quantities.

    Args:
        draws: (S, 2).
        limits: Of both, (2, 2); what lies beyond is left out.
        num_bins: Bins a side.

    Returns:
        Bin centres along x and y, and the smoothed counts, y along the first axis.

    References:
        Silverman (1986), Density estimation, eq. (4.14) for the width in two dimensions: sd
        S^(-1/6).
    """
    counts, x_edges, y_edges = np.histogram2d(draws[:, 0], draws[:, 1], num_bins, limits.tolist())
    wider = len(draws) ** (1 / 5 - 1 / 6) / 0.9
    widths = [
        max(wider * bandwidth(values) / (edges[1] - edges[0]), 1.0)
        for values, edges in zip(draws.T, (x_edges, y_edges), strict=True)
    ]
    smooth = gaussian_filter(counts, widths, mode="reflect").T
    return 0.5 * (x_edges[1:] + x_edges[:-1]), 0.5 * (y_edges[1:] + y_edges[:-1]), smooth
