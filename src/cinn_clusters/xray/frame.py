"""A cluster in a frame of its own size: centred, cut at a multiple of R500, resampled."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from cinn_clusters.cosmology import arcsec_per_kpc
from cinn_clusters.errors import DataError

Centring = Literal["peak", "centroid", "middle"]


def find_centre(values: np.ndarray, how: Centring = "peak") -> tuple[float, float]:
    """Return row and column of the centre of a brightness (H, W), where NaN counts as dark.

    It is the ``peak`` of the smoothed map, the ``centroid`` of the light in a circle that follows
    it, or the ``middle``.
    """
    height, width = values.shape
    if how == "middle":
        return (height - 1) / 2, (width - 1) / 2

    # The smoothed peak is the centre of the brightest extended emission, not of a source.
    size = min(height, width)
    light = np.maximum(np.nan_to_num(values), 0.0)
    width_of_blur = max(1.0, 0.02 * size)
    smooth = gaussian_filter(light, width_of_blur)
    peak = np.unravel_index(np.argmax(smooth), values.shape)
    row, column = map(float, peak)
    if how == "peak":
        return row, column

    # The circle follows the centroid, which settles within 20 steps.
    y, x = np.indices(values.shape)
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
        if not value > 0.0:
            raise DataError(name, "a positive number", value)
    return radius_kpc * arcsec_per_kpc(redshift) / pixel_arcsec


def frame(
    values: np.ndarray, centre: tuple[float, float], half_side: float, size: int = 128
) -> np.ndarray:
    """Cut a square and resample it; brightness is averaged, not summed.

    Args:
        values: Brightness, (H, W); NaN where nothing was observed.
        centre: Row and column.
        half_side: Half the side of the square [px of ``values``].
        size: Pixels a side of the result.

    Returns:
        (size, size); NaN where half of a new pixel or more was not observed or lies outside.

    Raises:
        DataError: If less than half of the square is on the map.
    """
    # Several samples a new pixel and axis, where new pixels are larger than old ones
    old_per_new = 2.0 * half_side / size
    parts = max(1, int(np.ceil(old_per_new)))
    num_samples = size * parts

    # Their rows and columns in the map, (2, num_samples, num_samples)
    fractions = (np.arange(num_samples) + 0.5) / num_samples
    offsets = (2.0 * fractions - 1.0) * half_side
    row, column = centre
    grid = np.meshgrid(row + offsets, column + offsets, indexing="ij")
    positions = np.stack(grid)

    def resample(image: np.ndarray) -> np.ndarray:
        interpolate: Any = map_coordinates
        order = int(parts == 1)
        samples = interpolate(image, positions, order=order, cval=0.0)
        blocks = samples.reshape(size, parts, size, parts)
        means: np.ndarray = blocks.mean((1, 3))
        return means

    # The mean over what was observed of each new pixel
    light = resample(np.nan_to_num(values))
    is_observed = np.isfinite(values)
    weight = resample(is_observed.astype(float))

    coverage = weight.mean()
    if coverage < 0.5:
        got = f"{100.0 * coverage:.0f} %"
        raise DataError("map", "at least half of the frame on the map", got)
    mean = light / np.maximum(weight, 0.5)
    return np.where(weight >= 0.5, mean, np.nan)
