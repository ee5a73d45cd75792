"""From counts to a brightness: exposure, background, masks and holes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, median_filter

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import XrayMap

LEAST_EXPOSED = 0.1
"""Pixels with less than this share of the largest exposure are not used."""


def count_rate(
    counts: XrayMap,
    exposure: XrayMap,
    background: XrayMap | None = None,
    *,
    mask_sources: bool = True,
) -> tuple[np.ndarray, float]:
    """Counts above the background per exposure and pixel.

    Args:
        counts: Photons in each pixel.
        exposure: Exposure; on another grid of the same sky it is read where the pixels of the
            counts are.
        background: Expected background counts of each pixel, as ``exposure``; on larger pixels a
            share of them.
        mask_sources: Whether point sources away from the centre are cut out.

    Returns:
        (H, W), NaN where the exposure is below a tenth of its largest or a source was cut out; and
        the rate of half a photon in a pixel, below which nothing is measured.

    Raises:
        DataError: If there are no counts, nothing was exposed, or grids cannot be matched.
    """
    photons = counts.values
    if (
        not np.nansum(photons) > 0.0
    ):  # single pixels may be negative: out-of-time events were taken off
        raise DataError(str(counts.source), "counts", f"a sum of {np.nansum(photons):g}")
    seconds = on_grid(exposure, counts)
    if not np.nanmax(seconds) > 0.0:
        raise DataError(
            str(exposure.source), "a positive exposure", f"at most {np.nanmax(seconds):g}"
        )
    sky = 0.0 if background is None else on_grid(background, counts, is_summed=True)
    is_exposed = seconds > LEAST_EXPOSED * np.nanmax(seconds)
    rate = np.where(is_exposed, (photons - sky) / np.where(is_exposed, seconds, 1.0), np.nan)
    if mask_sources:
        rate[point_sources(np.where(is_exposed, np.nan_to_num(photons), 0.0))] = np.nan
    return rate, 0.5 / float(np.median(seconds[is_exposed]))


def point_sources(
    counts: np.ndarray, *, width: float = 1.5, significance: float = 6.0
) -> np.ndarray:
    """Pixels of point sources: peaks far above the median of their surroundings.

    The brightest extended peak, within a tenth of the side of the smoothed maximum, is the cluster
    and never masked.

    Args:
        counts: Photons, (H, W).
        width: Of the point spread function [px].
        significance: Peak over the Poisson error of the surroundings.

    Returns:
        Mask, (H, W) bool.
    """
    size = max(int(12 * width) | 1, 5)
    smooth = gaussian_filter(counts.astype(float), width)
    around = median_filter(smooth, size)
    noise = np.sqrt(np.maximum(around, 0.02) / (4.0 * np.pi * width**2))
    is_peak = (smooth - around > significance * noise) & (smooth > 1.8 * around + 0.05)
    y, x = np.indices(counts.shape)
    top = np.unravel_index(
        np.argmax(gaussian_filter(counts.astype(float), 4.0 * width)), counts.shape
    )
    is_core = np.hypot(y - top[0], x - top[1]) < 0.1 * min(counts.shape)
    return np.asarray(maximum_filter(is_peak & ~is_core, size=int(2 * width) | 1))


def fill_holes(values: np.ndarray, centre: tuple[float, float] | None = None) -> np.ndarray:
    """Fill NaN with the median at the same distance from the centre, else with the nearest ring that was seen.

    Args:
        values: (H, W).
        centre: Row and column; the middle of the image when absent.

    Raises:
        DataError: If every pixel is NaN.
    """
    holes = np.isnan(values)
    if holes.all():
        raise DataError("map", "finite pixels", "only NaN")
    middle = centre or ((values.shape[0] - 1) / 2, (values.shape[1] - 1) / 2)
    y, x = np.indices(values.shape)
    ring = np.hypot(y - middle[0], x - middle[1]).astype(int)
    seen = np.unique(ring[~holes])
    medians = np.array([np.median(values[(ring == radius) & ~holes]) for radius in seen])
    return np.where(holes, np.interp(ring, seen, medians), values)


def on_grid(
    other: XrayMap, counts: XrayMap, *, is_summed: bool = False, order: int = 1
) -> np.ndarray:
    """Values of a map at the pixels of another on the same sky.

    Args:
        other: Map to read.
        counts: Map whose pixels are asked for.
        is_summed: Whether values belong to whole pixels, as counts do, and scale with the area of a
            pixel.
        order: Of the interpolation.

    Returns:
        Shape of ``counts``; 0 outside.

    Raises:
        DataError: If grids differ and one has no coordinates, or fields do not overlap.
    """
    if other.wcs is None or counts.wcs is None:
        if other.values.shape == counts.values.shape:
            return other.values
        got = f"{other.values.shape} against {counts.values.shape}, without coordinates"
        raise DataError(
            str(other.source), "the grid of the counts or map, or a WCS in both files", got
        )
    y, x = np.indices(counts.values.shape)
    column, row = other.wcs.world_to_pixel_values(*counts.wcs.pixel_to_world_values(x, y))
    at = [_clamped(one, num) for one, num in zip((row, column), other.values.shape, strict=True)]
    interpolate: Any = map_coordinates
    read = interpolate(other.values, at, order=order, cval=np.nan)
    if not np.isfinite(read).any():
        raise DataError(str(other.source), "the sky of the counts", "a field that does not overlap")
    area = _pixel_area(counts) / _pixel_area(other) if is_summed else 1.0
    return np.asarray(np.nan_to_num(read) * area)


def _clamped(at: np.ndarray, num: int) -> np.ndarray:
    """Positions on an axis of ``num`` pixels: within the outer half of the first and last those
    of their centres.
    """
    is_inside = (at >= -0.5) & (at <= num - 0.5)
    return np.where(is_inside, np.clip(at, 0.0, num - 1.0), -num)


def _pixel_area(one: XrayMap) -> float:
    """Solid angle of a pixel [deg2]."""
    from astropy.wcs.utils import proj_plane_pixel_area

    return float(proj_plane_pixel_area(one.wcs))
