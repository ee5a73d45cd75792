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
        return (height - 1) / 2, (width - 1) / 2

    factor = -(-max(height, width) // _FINEST)
    row, column = _brightest_region(averaged(values, factor), how)
    first = (factor - 1) / 2
    return first + factor * row, first + factor * column


def averaged(values: np.ndarray, factor: int) -> np.ndarray:
    """Return the light in blocks of ``factor`` x ``factor`` pixels, NaN and negative ones dark.

    What does not fill a block at the upper edges is left out.
    """
    num_rows, num_columns = (side // factor for side in values.shape)
    light = np.empty((num_rows, num_columns))
    for number in range(num_rows):
        rows = values[number * factor : (number + 1) * factor, : num_columns * factor]
        bright = np.maximum(np.nan_to_num(rows), 0.0)
        light[number] = bright.reshape(factor, num_columns, factor).mean((0, 2))
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
    for name, value in (
        ("R500", radius_kpc),
        ("redshift", redshift),
        ("pixel", pixel_arcsec),
    ):
        if not 0.0 < value < np.inf:
            raise DataError(name, "a positive number", value)
    return radius_kpc * arcsec_per_kpc(redshift) / pixel_arcsec


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
    _demand_coverage(values.size / (2.0 * half_side) ** 2)

    # Several samples a new pixel and axis, where new pixels are larger than old ones
    old_per_new = 2.0 * half_side / size
    if lattice is not None:
        old_per_new = _longest_step(lattice) * (len(lattice[0]) - 1) / size
    parts = max(1, int(np.ceil(old_per_new)))
    is_interpolated = parts == 1 or (lattice is not None and parts <= _FEW)

    # Places of the samples in the square, from 0 to 1
    num_samples = size * parts
    fractions = (np.arange(num_samples) + 0.5) / num_samples

    def positions(rows: np.ndarray) -> np.ndarray:
        if lattice is not None:
            nodes = len(lattice[0]) - 1
            return between_nodes(lattice, nodes * rows[:, None], nodes * fractions)
        row, column = ((2.0 * part - 1.0) * half_side for part in (rows, fractions))
        grid = np.meshgrid(centre[0] + row, centre[1] + column, indexing="ij")
        return np.stack(grid)

    # One row of new pixels at a time, which bounds the memory
    light, weight = np.empty((size, size)), np.empty((size, size))
    for number in range(size):
        rows = fractions[number * parts : (number + 1) * parts]
        samples, is_observed = _sampled(values, positions(rows), is_interpolated)
        light[number] = samples.reshape(parts, size, parts).mean((0, 2))
        weight[number] = is_observed.reshape(parts, size, parts).mean((0, 2))

    # The mean over what was observed of each new pixel
    _demand_coverage(weight.mean())
    mean = light / np.maximum(weight, 0.5)
    return np.where(weight >= 0.5, mean, np.nan)


def _demand_coverage(coverage: float) -> None:
    if not coverage >= 0.5:
        got = f"{100.0 * coverage:.0f} %"
        hint = "pass a smaller --half-width, or check centre, R500 and redshift"
        expected = "at least half of the frame on the map"
        raise DataError("map", expected, got, "", hint)


def _longest_step(lattice: np.ndarray) -> float:
    """Return the longest distance [px] between neighbours in a lattice (2, K, K)."""
    steps = [np.hypot(*np.diff(lattice, axis=axis)) for axis in (1, 2)]
    return float(max(np.nanmax(step) for step in steps))


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
        return np.where(is_observed, samples, 0.0), is_observed.astype(float)
    interpolate: Any = map_coordinates
    cut, local = _cut_out(values, positions)
    light = interpolate(np.nan_to_num(cut), local, order=1, cval=0.0)
    weight = interpolate(np.isfinite(cut).astype(float), local, order=1, cval=0.0)
    return light, weight


def _nearest(
    positions: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels next to positions (2, ...), and which are inside."""
    last = np.array(shape).reshape(-1, *[1] * (positions.ndim - 1)) - 1
    is_inside: np.ndarray = np.all((positions >= 0) & (positions <= last), axis=0)
    nearest = np.where(is_inside, np.floor(positions + 0.5), 0.0)
    return nearest.astype(np.intp), is_inside


def _cut_out(
    values: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the part (H, W) of a map about positions (2, ...), and their places in it."""
    positions = np.where(np.isfinite(positions), positions, -10.0)
    corners = []
    for axis_positions, side in zip(positions, values.shape, strict=True):
        first = np.clip(np.floor(axis_positions.min()) - 1, 0, side - 1)
        corners.append((int(first), int(np.clip(axis_positions.max(), 0, side)) + 3))
    (top, bottom), (left, right) = corners
    local = positions - np.reshape([top, left], (2, *[1] * (positions.ndim - 1)))
    return values[top:bottom, left:right].astype(float), local
