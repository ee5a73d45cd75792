"""Kernel densities of samples that keep inside their support."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from cinn_clusters.figures.style import Limits
from cinn_clusters.schema import Column

REACH = 4.0
"""Bandwidths beyond the outermost sample at which a density without a bound there is cut."""
_GRID_SIZE = 512
_ROUNDING = 1e-5  # samples are kept in single precision


def bandwidth(samples: np.ndarray) -> float:
    """Kernel width from the spread of samples (S,); zero where all are the same.

    References:
        Silverman (1986), Density estimation, eq. (3.31): 0.9 min(sd, IQR/1.34) S^(-1/5).
    """
    lower, upper = np.quantile(samples, [0.25, 0.75])
    if np.ptp(samples) <= 1e-9 * np.abs(samples).max():
        return 0.0
    deviation = samples.std()
    spread = min(deviation, (upper - lower) / 1.34) or deviation
    return float(0.9 * spread * len(samples) ** -0.2)


def kernel_density(
    samples: np.ndarray, support: Limits = (-np.inf, np.inf)
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian kernel density of samples (S,), reflected at the bounds of their support.

    Returns grid (512,) and density (512,) of integral 1; a single value gives one narrow peak.

    Raises:
        ValueError: If a sample is not finite or lies outside the support.

    References:
        Silverman (1986), Density estimation, section 2.10, reflection.

    Examples:
        >>> grid, density = kernel_density(np.random.default_rng(0).random(500), (0.0, 1.0))
        >>> bool(grid[0] > 0 and grid[-1] < 1), round(float(density.mean() * 1.0), 2)
        (True, 1.0)
    """
    least, most = samples.min(), samples.max()
    if not (np.isfinite(samples).all() and support[0] <= least and most <= support[1]):
        raise ValueError(
            "kernel_density: expected finite samples inside their support; got others"
        )
    width = bandwidth(samples)
    reach = REACH * width or 0.01 * (abs(samples[0]) or 1.0)
    limits = max(support[0], least - reach), min(support[1], most + reach)
    counts, edges = np.histogram(samples, _GRID_SIZE, limits)
    step = edges[1] - edges[0]
    smooth = gaussian_filter1d(
        counts.astype(float), max(width / step, 1.0), mode="reflect"
    )
    return _centres(edges), smooth / (len(samples) * step)


def support_of(column: Column, age: float | None = None) -> Limits:
    """Bounds of a column; a cosmic age is bounded by that at the observation [Gyr].

    Examples:
        >>> support_of(Column("ratio", bounds=(0.0, 1.0)))
        (0.0, 1.0)
    """
    if column.bijection == "age" and age is not None and np.isfinite(age):
        return 0.0, age + _ROUNDING
    return column.bounds


def physical_density(
    samples: np.ndarray, support: Limits
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel density of the samples (S,) in the support; its integral is their share of all.

    Examples:
        >>> grid, density = physical_density(np.linspace(-1.0, 1.0, 1001), (0.0, 1.0))
        >>> round(float(np.trapezoid(density, grid)), 2)
        0.5
    """
    inside = samples[(samples >= support[0]) & (samples <= support[1])]
    if not len(inside):
        return np.empty(0), np.empty(0)
    grid, density = kernel_density(inside, support)
    return grid, density * (len(inside) / len(samples))


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
    samples: np.ndarray, limits: np.ndarray, num_bins: int = 60
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed histogram of samples (S, 2) within limits (2, 2).

    Returns bin centres along x and y, and the smoothed counts with y along the first axis.

    References:
        Silverman (1986), Density estimation, eq. (4.14) for the width in two dimensions: sd
        S^(-1/6).
    """
    counts, *edges = np.histogram2d(
        samples[:, 0], samples[:, 1], num_bins, limits.tolist()
    )
    wider = len(samples) ** (1 / 5 - 1 / 6) / 0.9
    steps = [edge[1] - edge[0] for edge in edges]
    bandwidths = [wider * bandwidth(values) for values in samples.T]
    widths = np.maximum(np.divide(bandwidths, steps), 1.0)
    smooth = gaussian_filter(counts, widths, mode="reflect")
    return _centres(edges[0]), _centres(edges[1]), smooth.T


def _centres(edges: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (edges[1:] + edges[:-1]))
