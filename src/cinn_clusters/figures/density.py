"""Kernel densities of samples that keep inside their support."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from cinn_clusters.figures.style import Limits
from cinn_clusters.schema import Column

REACH = 4.0
"""Bandwidths beyond the outermost sample at which a density without a bound there is cut."""
_GRID_SIZE = 512
_EQUAL = 1e-13
_ROUNDING = 1e-5  # samples are kept in single precision


def bandwidth(samples: np.ndarray) -> float:
    """Kernel width from the spread of samples (S,); zero where all are the same.

    References:
        Silverman (1986), Density estimation, eq. (3.31): 0.9 min(sd, IQR/1.34) S^(-1/5).
    """
    largest = np.abs(samples).max()
    if np.ptp(samples) <= _EQUAL * largest:
        return 0.0
    deviation = samples.std()
    lower, upper = np.quantile(samples, [0.25, 0.75])
    quartile_range = upper - lower
    # half of the samples may be equal: then the quartiles say nothing
    spread = min(deviation, quartile_range / 1.34) or deviation
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
    lower, upper = support
    least, most = samples.min(), samples.max()
    is_finite = np.isfinite(samples).all()
    if not (is_finite and lower <= least and most <= upper):
        expected = "finite samples inside their support"
        raise ValueError(f"kernel_density: expected {expected}; got others")

    # The grid ends at a bound of the support, or where the density has faded out;
    # samples of a single value get a peak of 1 % of it to each side.
    width = bandwidth(samples)
    magnitude = abs(samples[0]) or 1.0
    reach = REACH * width or 0.01 * magnitude
    limits = max(lower, least - reach), min(upper, most + reach)
    counts, edges = np.histogram(samples, _GRID_SIZE, limits)
    step = edges[1] - edges[0]

    # reflection at the ends of the grid keeps the mass inside
    num_steps = max(width / step, 1.0)
    smooth = gaussian_filter1d(counts.astype(float), num_steps, mode="reflect")
    density = smooth / (len(samples) * step)
    return _centres(edges), density


def support_of(column: Column, age: float | None = None) -> Limits:
    """Bounds of a column; a cosmic age is bounded by that at the observation [Gyr].

    Examples:
        >>> support_of(Column("ratio", bounds=(0.0, 1.0)))
        (0.0, 1.0)
    """
    if column.bijection != "age":
        return column.bounds
    if age is None or not np.isfinite(age):
        return column.bounds
    return column.record_begin, age + _ROUNDING


def physical_density(
    samples: np.ndarray, support: Limits
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel density of the samples (S,) in the support; its integral is their share of all.

    Examples:
        >>> grid, density = physical_density(np.linspace(-1.0, 1.0, 1001), (0.0, 1.0))
        >>> round(float(np.trapezoid(density, grid)), 2)
        0.5
    """
    lower, upper = support
    is_above = samples >= lower
    is_below = samples <= upper
    inside = samples[is_above & is_below]
    if not len(inside):
        empty = np.empty(0)
        return empty, empty
    grid, density = kernel_density(inside, support)
    share = len(inside) / len(samples)
    return grid, density * share


def credible_levels(density: np.ndarray, masses: tuple[float, ...]) -> np.ndarray:
    """Heights above which a density on an even grid (any shape) holds given masses, increasing.

    Examples:
        >>> credible_levels(np.array([4.0, 3.0, 2.0, 1.0]), (0.4, 0.7))
        array([3., 4.])
    """
    ascending = np.sort(density, axis=None)
    heights = ascending[::-1]
    mass = heights.cumsum() / heights.sum()

    # the first height at which the mass above it reaches each share, rounding aside
    shares = np.array(masses) - 1e-12
    first = np.searchsorted(mass, shares)
    levels = heights[first]
    return np.sort(levels)


def plane_density(
    samples: np.ndarray, limits: np.ndarray, num_bins: int = 60
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed histogram of samples (S, 2) within limits (2, 2).

    Returns bin centres along x and y, and the smoothed counts with y along the first axis.

    References:
        Silverman (1986), Density estimation, eq. (4.14) for the width in two dimensions: sd
        S^(-1/6).
    """
    x, y = samples.T
    counts, x_edges, y_edges = np.histogram2d(x, y, num_bins, limits.tolist())

    # from 0.9 spread S^(-1/5) in one dimension to sd S^(-1/6) in two
    exponent = 1 / 5 - 1 / 6
    wider = len(samples) ** exponent / 0.9
    one_dimensional = np.array([bandwidth(x), bandwidth(y)])
    bandwidths = wider * one_dimensional
    x_step = x_edges[1] - x_edges[0]
    y_step = y_edges[1] - y_edges[0]
    in_bins = bandwidths / (x_step, y_step)
    widths = np.maximum(in_bins, 1.0)
    smooth = gaussian_filter(counts, widths, mode="reflect")
    return _centres(x_edges), _centres(y_edges), smooth.T


def _centres(edges: np.ndarray) -> np.ndarray:
    """Centres (G,) of the bins between edges (G + 1,)."""
    left, right = edges[:-1], edges[1:]
    centres: np.ndarray = 0.5 * (right + left)
    return centres
