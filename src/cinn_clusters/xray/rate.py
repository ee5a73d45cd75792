"""From counts to a brightness: exposure, background, masks and holes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import (
    gaussian_filter,
    map_coordinates,
    maximum_filter,
    median_filter,
)

from cinn_clusters.errors import DataError
from cinn_clusters.xray.frame import averaged
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.sky import MatchedPixels, match_pixels

_COUNTS_EXPECTED = "counts, since an exposure was given"
_NO_EXPOSURE = "leave --exposure out, or pass --unit counts if they are"
_BRIGHTEST_SKY = 1.1
"""Counts of a background over those of the map; above, it is in another unit."""
_MOST_PHOTONS = 1e5
"""In a pixel."""
_LARGE = 2048
_LEAST_EXPOSED = 0.1
"""Pixels with less than this share of the largest exposure are not used."""


def count_rate(
    counts: XrayMap,
    exposure: XrayMap,
    background: XrayMap | None = None,
    *,
    mask_sources: bool = True,
) -> tuple[np.ndarray, float]:
    """Return counts above the background per exposure and pixel.

    Args:
        counts: Photons in each pixel.
        exposure: Exposure; on another grid of the same sky it is interpolated to the pixels of the
            counts.
        background: Expected background counts of each pixel, as ``exposure``; on larger pixels a
            share of them.
        mask_sources: Whether point sources away from the centre are cut out.

    Returns:
        The rate (H, W), NaN where the exposure is below a tenth of its largest or a source was cut
        out; and the rate of half a photon in a pixel, below which nothing is measured.

    Raises:
        DataError: If there are no counts, nothing was exposed, or grids cannot be matched.
    """
    photons = counts.values
    total = np.nansum(photons)
    if (
        not total > 0.0
    ):  # single pixels may be negative: out-of-time events were subtracted
        raise DataError(counts.source, "counts", f"a sum of {total:g}")
    seconds = on_grid(exposure, counts)
    longest = np.nanmax(seconds)
    if not longest > 0.0:
        raise DataError(exposure.source, "a positive exposure", f"at most {longest:g}")
    is_exposed = seconds > _LEAST_EXPOSED * longest
    if counts.quantity is None:
        _demand_no_rate(counts, seconds, is_exposed)
    sky: np.ndarray | float = 0.0
    if background is not None:
        sky = _background(background, counts, is_exposed)
    divisor = np.where(is_exposed, seconds, 1.0)
    rate = np.where(is_exposed, (photons - sky) / divisor, np.nan)
    if mask_sources:
        exposed_photons = np.where(is_exposed, np.nan_to_num(photons), 0.0)
        rate[point_sources(exposed_photons)] = np.nan

    typical_exposure = float(np.median(seconds[is_exposed]))
    return rate, 0.5 / typical_exposure


def demand_counts(image: XrayMap) -> None:
    """Check that a map whose exposure was given is one of counts, as far as it says what it is.

    Raises:
        DataError: If it is a picture, a logarithm, a rate, or of a unit that is not counts.
    """
    if image.scale == "grey":
        raise DataError(image.source, _COUNTS_EXPECTED, "a picture")
    if image.scale == "log10":
        raise DataError(image.source, _COUNTS_EXPECTED, "their logarithm (BUNIT)")
    if image.quantity not in (None, "counts"):
        got = f"a {image.quantity} (unit '{image.unit}')"
        if not image.unit:
            got = f"a {image.quantity}"
        raise DataError(image.source, _COUNTS_EXPECTED, got, "", _NO_EXPOSURE)


def _demand_no_rate(
    counts: XrayMap, seconds: np.ndarray, is_exposed: np.ndarray
) -> None:
    """Refuse values of no unit that are no counts: all below 1, or counts once multiplied.

    Raises:
        DataError: If they have been divided by the exposure before.
    """
    photons = np.where(is_exposed, np.nan_to_num(counts.values), 0.0)
    brightest = photons.max()
    is_divided = brightest < 1.0
    if not is_divided and not _are_whole(photons):
        is_divided = _are_whole(photons * np.where(is_exposed, seconds, 0.0))
    if is_divided:
        got = f"what looks like a rate, of at most {brightest:.3g}, without a unit (BUNIT)"
        raise DataError(counts.source, _COUNTS_EXPECTED, got, "", _NO_EXPOSURE)


def _are_whole(values: np.ndarray) -> bool:
    """Return whether nearly all values that are not 0 are whole numbers, of which some differ."""
    positive = values[values > 0.0]
    rounded = np.rint(positive)
    distance = np.abs(positive - rounded)
    rounding = 1e-3 + 1e-6 * positive
    is_whole = distance <= rounding
    is_possible = (rounded >= 1.0) & (rounded < _MOST_PHOTONS)
    is_number = is_whole & is_possible
    return bool(is_number.size and is_number.mean() > 0.98)


def _background(
    background: XrayMap, counts: XrayMap, is_exposed: np.ndarray
) -> np.ndarray:
    """Return the background counts of each pixel.

    Raises:
        DataError: If it is in another unit, or outshines the map.
    """
    if background.quantity not in (None, "counts"):
        got = f"a {background.quantity} (unit '{background.unit}')"
        raise DataError(background.source, "background counts of each pixel", got)
    sky = on_grid(background, counts, is_summed=True)
    in_sky, in_map = sky[is_exposed].sum(), np.nansum(counts.values[is_exposed])
    if in_sky > _BRIGHTEST_SKY * in_map:
        expected = f"fewer background counts than the {in_map:.4g} of the map"
        hint = "bring it to counts in the exposure of the map"
        raise DataError(background.source, expected, f"{in_sky:.4g}", "", hint)
    return sky


def point_sources(
    counts: np.ndarray, *, width: float = 1.5, significance: float = 6.0
) -> np.ndarray:
    """Return a mask of point sources in photons (H, W): peaks far above their surroundings.

    ``width`` is that of the point spread function [px], ``significance`` the peak over the Poisson
    error. Within a tenth of the side of the smoothed maximum is the cluster, never masked.
    """
    photons = counts
    if counts.dtype != np.float32:
        photons = counts.astype(float)
    smooth = gaussian_filter(photons, width)
    box = int(12 * width) | 1  # odd
    surroundings = _medians(smooth, max(box, 5))

    # Poisson error of the smoothed map: the Gaussian averages over 4 pi width^2 pixels.
    beam = 4.0 * np.pi * width**2
    variance = np.maximum(surroundings, 0.02) / beam
    noise = np.sqrt(variance)

    excess = smooth - surroundings
    is_significant = excess > significance * noise
    is_steep = smooth > 1.8 * surroundings + 0.05
    is_peak = is_significant & is_steep

    # The cluster itself is a peak, too.
    row, column = _extended_peak(photons, 4.0 * width)
    height, num_columns = counts.shape
    y, x = np.ogrid[:height, :num_columns]
    distance = np.hypot(y - row, x - column)
    is_core = distance < 0.1 * min(counts.shape)

    footprint = int(2 * width) | 1
    is_source: np.ndarray = maximum_filter(is_peak & ~is_core, size=footprint)
    return is_source


def _medians(smooth: np.ndarray, box: int) -> np.ndarray:
    """Return the median in a box about each pixel, of large maps about every fourth."""
    if max(smooth.shape) <= _LARGE:
        medians: np.ndarray = median_filter(smooth, box)
        return medians
    coarse = median_filter(smooth[::4, ::4], max(box // 4 | 1, 5))
    height, width = smooth.shape
    return coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]


def _extended_peak(photons: np.ndarray, width: float) -> tuple[float, float]:
    """Return row and column of the peak of a map blurred by a width, in blocks if it is large."""
    longest = max(photons.shape)
    factor = -(-longest // _LARGE)
    light = averaged(photons, factor)
    blurred = gaussian_filter(light, width / factor)
    brightest = np.argmax(blurred)
    row, column = np.unravel_index(brightest, blurred.shape)
    return factor * float(row), factor * float(column)


def fill_holes(values: np.ndarray) -> np.ndarray:
    """Fill NaN (H, W) with the median at the same distance from the middle.

    Rings without any value are interpolated between their neighbours.

    Raises:
        DataError: If every pixel is NaN.
    """
    is_hole = np.isnan(values)
    if is_hole.all():
        raise DataError("map", "finite pixels", "only NaN")

    # Rings of one pixel about the middle
    height, width = values.shape
    y, x = np.indices(values.shape)
    middle_y = (height - 1) / 2
    middle_x = (width - 1) / 2
    ring = np.hypot(y - middle_y, x - middle_x).astype(int)

    measured, measured_ring = values[~is_hole], ring[~is_hole]
    radii = np.unique(measured_ring)
    medians = [np.median(measured[measured_ring == radius]) for radius in radii]
    profile = np.interp(ring, radii, medians)
    return np.where(is_hole, profile, values)


def on_grid(
    image: XrayMap,
    target: XrayMap,
    *,
    is_summed: bool = False,
    order: int = 1,
    outside: float = 0.0,
) -> np.ndarray:
    """Interpolate a map to the pixels of another, over the sky and whatever their coordinates are.

    Args:
        image: Map to interpolate.
        target: Map whose pixels are wanted.
        is_summed: Whether values belong to whole pixels, as counts do, and scale with the area of a
            pixel.
        order: Order of the interpolation.
        outside: Value of pixels outside of the map, and of those where it is NaN.

    Returns:
        Values of the shape of ``target``.

    Raises:
        DataError: If grids differ and one has no coordinates, or fields do not overlap.
    """
    if image.wcs is not None and target.wcs is not None:
        matched = match_pixels(target.wcs, target.values.shape, image.wcs)
        if image.values.shape != target.values.shape or not matched.is_same:
            return _interpolated(image, matched, is_summed, order, outside)
    elif image.values.shape != target.values.shape:
        expected = "the grid of the counts or map, or a WCS in both files"
        got = f"{image.values.shape} against {target.values.shape}, without coordinates"
        raise DataError(image.source, expected, got)
    values: np.ndarray = np.nan_to_num(image.values, nan=outside)
    return values


def _interpolated(
    image: XrayMap, matched: MatchedPixels, is_summed: bool, order: int, outside: float
) -> np.ndarray:
    """Return the values of a map at the pixels that were matched with its own, as ``on_grid``."""
    interpolate: Any = map_coordinates
    height, width = image.values.shape
    values = np.empty(matched.shape, image.values.dtype)
    is_overlapping = False
    for rows in matched.bands():
        row, column, area = matched.of_rows(rows)
        positions = [_clamped(row, height), _clamped(column, width)]
        band = interpolate(image.values, positions, order=order, cval=np.nan)
        is_overlapping |= bool(np.isfinite(band).any())
        values[rows] = np.nan_to_num(band * area if is_summed else band, nan=outside)
    if not is_overlapping:
        expected = "the sky of the counts"
        raise DataError(image.source, expected, "a field that does not overlap")
    return values


def _clamped(position: np.ndarray, num: int) -> np.ndarray:
    """Move positions within the outer half of the first and last of ``num`` pixels to its centre.

    Positions farther out, and those off the sky, become ``-num``.
    """
    is_inside = (position >= -0.5) & (position <= num - 0.5)
    nearest = np.clip(position, 0.0, num - 1.0)
    return np.where(is_inside, nearest, -num)
