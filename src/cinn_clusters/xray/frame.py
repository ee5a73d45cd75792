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
    size = min(height, width)
    light = np.maximum(np.nan_to_num(values), 0.0)
    smooth = gaussian_filter(light, max(1.0, 0.02 * size))
    row, column = map(float, np.unravel_index(np.argmax(smooth), values.shape))
    if how == "peak":
        return row, column
    y, x = np.indices(values.shape)
    for _ in range(20):
        is_near = np.hypot(y - row, x - column) < 0.25 * size
        inside = light * is_near
        total = max(inside.sum(), 1e-300)
        row = float((inside * y).sum() / total)
        column = float((inside * x).sum() / total)
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
    parts = max(1, int(np.ceil(2.0 * half_side / size)))  # samples a new pixel and axis
    num_samples = size * parts
    fractions = (np.arange(num_samples) + 0.5) / num_samples
    offsets = (2.0 * fractions - 1.0) * half_side
    row, column = centre
    positions = np.stack(np.meshgrid(row + offsets, column + offsets, indexing="ij"))

    def resample(image: np.ndarray) -> np.ndarray:
        interpolate: Any = map_coordinates
        order = int(parts == 1)
        samples = interpolate(image, positions, order=order, cval=0.0)
        return np.asarray(samples.reshape(size, parts, size, parts).mean((1, 3)))

    light = resample(np.nan_to_num(values))
    weight = resample(np.isfinite(values).astype(float))
    if weight.mean() < 0.5:
        got = f"{100.0 * weight.mean():.0f} %"
        raise DataError("map", "at least half of the frame on the map", got)
    return np.where(weight >= 0.5, light / np.maximum(weight, 0.5), np.nan)
