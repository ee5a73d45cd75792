"""A cluster in a frame of its own size: centred, cut at a multiple of R500, brought to so many
pixels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from cinn_clusters.cosmology import arcsec_per_kpc
from cinn_clusters.errors import DataError

Centring = Literal["peak", "centroid", "middle"]


def find_centre(values: np.ndarray, how: Centring = "peak") -> tuple[float, float]:
    """Row and column of the centre of a map (H, W).

    Args:
        values: Brightness; NaN counts as dark.
        how: ``peak`` of the smoothed map; ``centroid`` of the light in a circle that follows it;
            ``middle``.
    """
    size = min(values.shape)
    if how == "middle":
        return (values.shape[0] - 1) / 2, (values.shape[1] - 1) / 2
    light = np.maximum(np.nan_to_num(values), 0.0)
    peak = np.unravel_index(np.argmax(gaussian_filter(light, max(1.0, 0.02 * size))), values.shape)
    row, column = float(peak[0]), float(peak[1])
    if how == "peak":
        return row, column
    y, x = np.indices(values.shape)
    for _ in range(20):
        inside = light * (np.hypot(y - row, x - column) < 0.25 * size)
        total = max(inside.sum(), 1e-300)
        row, column = float((inside * y).sum() / total), float((inside * x).sum() / total)
    return row, column


def radius_in_pixels(radius_kpc: float, redshift: float, pixel_arcsec: float) -> float:
    """R500 in pixels.

    Args:
        radius_kpc: R500 [physical kpc].
        redshift: z.
        pixel_arcsec: Side of a pixel.

    Raises:
        DataError: If a number is not positive.
    """
    for name, value in (("R500", radius_kpc), ("redshift", redshift), ("pixel", pixel_arcsec)):
        if not value > 0.0:
            raise DataError(name, "a positive number", f"{value}")
    return radius_kpc * arcsec_per_kpc(redshift) / pixel_arcsec


def frame(
    values: np.ndarray, centre: tuple[float, float], half_side: float, size: int = 128
) -> np.ndarray:
    """Cut a square and bring it to another number of pixels; brightness is averaged, not summed.

    Args:
        values: (H, W); NaN where nothing was seen.
        centre: Row and column.
        half_side: Half the side of the square [px of ``values``].
        size: Pixels a side of the result.

    Returns:
        (size, size); NaN where half of a new pixel or more was not seen or lies outside.

    Raises:
        DataError: If less than half of the square is on the map.
    """
    parts = max(1, int(np.ceil(2.0 * half_side / size)))  # samples a new pixel and axis
    steps = ((np.arange(size * parts) + 0.5) / (size * parts) * 2.0 - 1.0) * half_side
    y, x = np.meshgrid(centre[0] + steps, centre[1] + steps, indexing="ij")
    is_seen = np.isfinite(values)
    light, weight = (
        _read_at(part, np.stack([y, x]), 0 if parts > 1 else 1)
        .reshape(size, parts, size, parts)
        .mean((1, 3))
        for part in (np.where(is_seen, values, 0.0), is_seen.astype(float))
    )
    if weight.mean() < 0.5:
        raise DataError(
            "map", "at least half of the frame on the map", f"{100.0 * weight.mean():.0f} %"
        )
    return np.where(weight >= 0.5, light / np.maximum(weight, 0.5), np.nan)


def _read_at(values: np.ndarray, at: np.ndarray, order: int) -> np.ndarray:
    """Values (H, W) at positions (2, ...), zero outside."""
    read: Any = map_coordinates
    return np.asarray(read(values, at, order=order, cval=0.0))
