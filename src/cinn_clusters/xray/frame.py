"""A cluster in a frame of its own size: centred, cut at a multiple of R500, resampled."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from cinn_clusters.cosmology import arcsec_per_kpc
from cinn_clusters.errors import DataError
from cinn_clusters.xray.sky import between_nodes

Centring = Literal["peak", "centroid", "middle"]
_FINEST = 1024
"""Pixels a side in which a centre is searched; larger maps are averaged to that first."""
_FEW = 8
"""Old pixels a new one up to which turned and stretched pixels are interpolated."""


def find_centre(values: np.ndarray, how: Centring = "peak") -> tuple[float, float]:
    """Return row and column of the centre of a brightness (H, W), where NaN counts as dark.

    It is the ``peak`` of the smoothed map, the ``centroid`` of the light in a circle that follows
    it, or the ``middle``.
    """
    height, width = values.shape
    if how == "middle":
        last_row, last_column = height - 1, width - 1
        return last_row / 2, last_column / 2

    longest = max(height, width)
    factor = min(-(-longest // _FINEST), height, width)
    light = averaged(values, factor)
    row, column = _brightest_region(light, how)
    first = (factor - 1) / 2
    return first + factor * row, first + factor * column


def averaged(values: np.ndarray, factor: int) -> np.ndarray:
    """Return the light in blocks of ``factor`` x ``factor`` pixels, NaN and negative ones dark.

    What does not fill a block at the upper edges is left out.
    """
    num_rows, num_columns = (side // factor for side in values.shape)
    width = num_columns * factor
    light = np.empty((num_rows, num_columns))
    for number in range(num_rows):
        first = number * factor
        rows = values[first : first + factor, :width]
        bright = np.maximum(np.nan_to_num(rows), 0.0)
        blocks = bright.reshape(factor, num_columns, factor)
        light[number] = blocks.mean((0, 2))
    return light


def _brightest_region(light: np.ndarray, how: Centring) -> tuple[float, float]:
    """Return row and column of the smoothed peak of a light (H, W), or of the centroid about it."""
    # The smoothed peak is the centre of the brightest extended emission, not of a source.
    size = min(light.shape)
    width_of_blur = max(1.0, 0.02 * size)
    smooth = gaussian_filter(light, width_of_blur)
    peak = np.unravel_index(np.argmax(smooth), light.shape)
    row, column = map(float, peak)
    if how == "peak":
        return row, column

    # The circle follows the centroid, which settles within 20 steps.
    y, x = np.indices(light.shape)
    for _ in range(20):
        distance = np.hypot(y - row, x - column)
        is_near = distance < 0.25 * size
        inside = light * is_near
        total = max(inside.sum(), 1e-300)
        moment_y = (inside * y).sum()
        moment_x = (inside * x).sum()
        row = float(moment_y / total)
        column = float(moment_x / total)
    return row, column


def radius_in_pixels(radius_kpc: float, redshift: float, pixel_arcsec: float) -> float:
    """Return R500 [px] from R500 [physical kpc], redshift and the side of a pixel [arcsec].

    Raises:
        DataError: If a number is not positive.
    """
    numbers = {"R500": radius_kpc, "redshift": redshift, "pixel": pixel_arcsec}
    for name, value in numbers.items():
        if not 0.0 < value < np.inf:
            raise DataError(name, "a positive number", value)
    radius_arcsec = radius_kpc * arcsec_per_kpc(redshift)
    return radius_arcsec / pixel_arcsec


def frame(
    values: np.ndarray,
    centre: tuple[float, float],
    half_side: float,
    size: int = 128,
    lattice: np.ndarray | None = None,
) -> np.ndarray:
    """Cut a square and resample it; brightness is averaged, not summed.

    Args:
        values: Brightness, (H, W); NaN where nothing was observed.
        centre: Row and column.
        half_side: Half the side of the square [px of ``values``].
        size: Pixels a side of the result.
        lattice: Rows and columns of points of the square (2, K, K), from edge to edge, where its
            pixels are not those of ``values`` in a row; see ``sky.square``.

    Returns:
        (size, size); NaN where half of a new pixel or more was not observed or lies outside.

    Raises:
        DataError: If less than half of the square is on the map.
    """
    height, width = values.shape
    side = 2.0 * half_side  # whose square may be no number
    _demand_coverage((height / side) * (width / side))

    # Several samples a new pixel and axis, where new pixels are larger than old ones
    old_per_new = 2.0 * half_side / size
    num_steps, most_parts = 0, 1
    if lattice is not None:
        num_steps, most_parts = len(lattice[0]) - 1, _FEW
        old_per_new = _longest_step(lattice) * num_steps / size
    parts = max(1, int(np.ceil(old_per_new)))
    is_interpolated = parts <= most_parts

    # Places of the samples in the square, from 0 to 1
    num_samples = size * parts
    middles = np.arange(num_samples) + 0.5
    fractions = middles / num_samples

    def positions(rows: np.ndarray) -> np.ndarray:
        if lattice is not None:
            row = num_steps * rows[:, None]
            column = num_steps * fractions
            return between_nodes(lattice, row, column)
        middle_row, middle_column = centre
        row = middle_row + (2.0 * rows - 1.0) * half_side
        column = middle_column + (2.0 * fractions - 1.0) * half_side
        grid = np.meshgrid(row, column, indexing="ij")
        return np.stack(grid)

    # One row of new pixels at a time, which bounds the memory
    light = np.empty((size, size))
    weight = np.empty((size, size))
    for number in range(size):
        first = number * parts
        rows = fractions[first : first + parts]
        samples, is_observed = _sampled(values, positions(rows), is_interpolated)
        light[number] = _means_of_parts(samples)
        weight[number] = _means_of_parts(is_observed)

    # The mean over what was observed of each new pixel
    _demand_coverage(weight.mean())
    divisor = np.maximum(weight, 0.5)
    mean = light / divisor
    return np.where(weight >= 0.5, mean, np.nan)


def _means_of_parts(samples: np.ndarray) -> np.ndarray:
    """Return the mean of each new pixel of a row from its samples (parts, size * parts)."""
    parts = len(samples)
    pixels = samples.reshape(parts, -1, parts)
    means: np.ndarray = pixels.mean((0, 2))
    return means


def _demand_coverage(coverage: float) -> None:
    if not coverage >= 0.5:
        per_cent = 100.0 * coverage
        got = f"{per_cent:.0f} %"
        hint = "pass a smaller --half-width, or check centre, R500 and redshift"
        expected = "at least half of the frame on the map"
        raise DataError("map", expected, got, "", hint)


def _longest_step(lattice: np.ndarray) -> float:
    """Return the longest distance [px] between neighbours in a lattice (2, K, K)."""
    down, right = (np.diff(lattice, axis=axis) for axis in (1, 2))
    longest_down = np.nanmax(np.hypot(*down))
    longest_right = np.nanmax(np.hypot(*right))
    return float(max(longest_down, longest_right))


def _sampled(
    values: np.ndarray, positions: np.ndarray, is_interpolated: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return values (H, W) at positions (2, ...), 0 where not observed, and what was observed.

    Both are interpolated, or of the nearest pixel.
    """
    if not is_interpolated:
        nearest, is_inside = _nearest(positions, values.shape)
        samples = values[tuple(nearest)].astype(float)
        is_observed = is_inside & np.isfinite(samples)
        dark_outside = np.where(is_observed, samples, 0.0)
        return dark_outside, is_observed.astype(float)

    interpolate: Any = map_coordinates
    cut, local = _cut_out(values, positions)
    dark_gaps = np.nan_to_num(cut)
    is_finite = np.isfinite(cut).astype(float)
    light = interpolate(dark_gaps, local, order=1, cval=0.0)
    weight = interpolate(is_finite, local, order=1, cval=0.0)
    return light, weight


def _nearest(
    positions: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels next to positions (2, ...), and which are inside."""
    last_pixel = np.array(shape) - 1
    last = _along_positions(last_pixel, positions)
    is_above = positions >= 0
    is_below = positions <= last
    is_inside: np.ndarray = np.all(is_above & is_below, axis=0)
    rounded = np.floor(positions + 0.5)
    nearest = np.where(is_inside, rounded, 0.0)
    return nearest.astype(np.intp), is_inside


def _along_positions(pixel: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return row and column (2,) in a shape that goes with positions (2, ...)."""
    num_further = positions.ndim - 1
    return pixel.reshape(-1, *[1] * num_further)


def _cut_out(
    values: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the part (H, W) of a map about positions (2, ...), and their places in it."""
    is_finite = np.isfinite(positions)
    positions = np.where(is_finite, positions, -10.0)
    corners = []
    for axis_positions, side in zip(positions, values.shape, strict=True):
        lowest = np.floor(axis_positions.min())
        first = np.clip(lowest - 1, 0, side - 1)
        last = np.clip(axis_positions.max(), 0, side)
        corners.append((int(first), int(last) + 3))
    (top, bottom), (left, right) = corners
    corner = _along_positions(np.array([top, left]), positions)
    cut = values[top:bottom, left:right]
    return cut.astype(float), positions - corner
