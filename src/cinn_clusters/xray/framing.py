"""From a map as its file gives it to an image in a fixed frame: counts, masks, centre, scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cinn_clusters.cosmology import arcsec_per_kpc
from cinn_clusters.errors import DataError
from cinn_clusters.xray import sky
from cinn_clusters.xray.frame import Centring, find_centre, frame, radius_in_pixels
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.masks import MaskMeaning, dead_lines, hot_pixels, masked_pixels
from cinn_clusters.xray.rate import count_rate, demand_counts, fill_holes
from cinn_clusters.xray.stretch import asinh_stretch, log_brightness

PICTURE_DEPTH = 3.3
"""Decades of brightness from black to white in a picture, whose true stretch is unknown."""
_SAME_SCALE = 0.01
"""Largest relative difference between the pixel scale of the user and that of the coordinates."""
_FEWEST_PIXELS = 4
_SAME_STEP = 0.005
"""The same between the sides of a pixel, and between its scale in the header and at the centre."""
Stretch = Literal["log", "asinh"]


@dataclass(frozen=True)
class Framing:
    """How maps are cut and stretched.

    Args:
        size: Pixels a side.
        half_width: Half the side of the square [R500]; without a scale the whole map is taken.
        centre: ``peak``, ``centroid``, ``middle``, or right ascension and declination [deg] (ICRS).
        radius_kpc: R500 [physical kpc], or None.
        redshift: z, or None.
        pixel_arcsec: Side of a pixel, of files without coordinates.
        pixel_kpc: Side of a pixel [physical kpc], instead; needs no redshift where files have no
            coordinates.
        stretch: ``log`` (log10 brightness) or ``asinh`` (in [0, 1]).
    """

    size: int = 128
    half_width: float = 1.5
    centre: Centring | tuple[float, float] = "peak"
    radius_kpc: float | None = None
    redshift: float | None = None
    pixel_arcsec: float | None = None
    pixel_kpc: float | None = None
    stretch: Stretch = "log"


@dataclass(frozen=True, eq=False)
class Companions:
    """What belongs to maps and is stored in files of its own, see ``collect.Reading``."""

    exposure: XrayMap | None = None
    background: XrayMap | None = None
    mask: XrayMap | None = None
    keep_sources: bool = False
    mask_meaning: MaskMeaning | None = None

    def notes(self) -> list[str]:
        """Return what is malformed in them and was read all the same."""
        images = (self.exposure, self.background, self.mask)
        return [note for image in images if image is not None for note in image.notes]

    def without_coordinates(self, image: XrayMap) -> Iterator[str]:
        """Yield a note on each that is matched with a map of coordinates by its pixels alone."""
        for companion in (self.exposure, self.background, self.mask):
            if companion and companion.wcs is None and image.wcs is not None:
                done = f"taken on the pixels of {image.source.name}"
                yield f"{companion.source}: no coordinates (WCS); {done}"


@dataclass(frozen=True, eq=False)
class FramedMap:
    """A map in its frame, and what was decided on the way there."""

    values: np.ndarray  # (size, size)
    notes: tuple[str, ...] = ()
    is_scaled: bool = False  # cut at a multiple of R500


def frame_map(image: XrayMap, framing: Framing, companions: Companions) -> FramedMap:
    """Return a map in its frame.

    Raises:
        DataError: If the map, its scale and what comes with it do not fit.
    """
    if image.is_picture and framing.stretch != "log":
        expected = f"a brightness, to be shown by {framing.stretch}"
        raise DataError(image.source, expected, "a picture, stretched before")
    brightness, least = _brightness(image, companions)
    square = _square(brightness, framing)
    cut = frame(
        brightness.values, square.centre, square.half_side, framing.size, square.lattice
    )
    filled = fill_holes(cut)
    new_pixels_per_old = (framing.size / (2.0 * square.half_side)) ** 2
    least *= min(new_pixels_per_old, 1.0)
    notes = (*brightness.notes, *companions.without_coordinates(image), *square.notes)
    stretched = _stretched(filled, image, framing, least)
    return FramedMap(stretched, notes, _is_scaled(image, framing))


def _is_scaled(image: XrayMap, framing: Framing) -> bool:
    """Return whether a map is cut at a multiple of R500."""
    return framing.radius_kpc is not None or _stored_radius(image, framing) is not None


def _demand_pixels(image: XrayMap, framing: Framing, half_side: float) -> None:
    """Refuse a square of a few pixels, as an R500 in Mpc makes."""
    if 2.0 * half_side < _FEWEST_PIXELS:
        expected = f"a square of {_FEWEST_PIXELS} pixels or more"
        got = f"one of {2.0 * half_side:.2g}, for R500 = {framing.radius_kpc} kpc"
        raise DataError(image.source, expected, got, "", "R500 is in kpc")


def _stretched(
    filled: np.ndarray, image: XrayMap, framing: Framing, least: float
) -> np.ndarray:
    """Return a brightness, or the grey levels of a picture, as the framing shows it."""
    if image.is_picture:
        return (filled - 1.0) * PICTURE_DEPTH
    if framing.stretch == "asinh":
        return asinh_stretch(filled)
    return log_brightness(filled, least=least)


def _brightness(image: XrayMap, companions: Companions) -> tuple[XrayMap, float]:
    """Return the brightness, NaN where masked, and the least that can be measured.

    The brightness of a picture is its grey levels.
    """
    if companions.exposure is not None:
        demand_counts(image)
    linear = _without_dead_lines(_without_hot_pixels(_linear(image)))
    if companions.mask is not None:
        is_masked = masked_pixels(linear, companions.mask, companions.mask_meaning)
        linear = replace(linear, values=np.where(is_masked, np.nan, linear.values))
    if companions.exposure is None:
        return linear, 0.0
    mask_sources = not companions.keep_sources
    rate, least = count_rate(
        linear, companions.exposure, companions.background, mask_sources=mask_sources
    )
    return replace(linear, values=rate), least


def _linear(image: XrayMap) -> XrayMap:
    """Return a map whose values are no logarithms; grey levels stay."""
    if image.scale != "log10":
        return image
    with np.errstate(over="ignore"):
        return replace(image, values=10.0 ** image.values.astype(float))


def _without_hot_pixels(image: XrayMap) -> XrayMap:
    """Return a map without hot pixels, and a note on them."""
    if image.is_picture:
        return image
    hot = hot_pixels(image.values)
    if not len(hot.rows):
        return image
    values = image.values.copy()
    values[hot.rows, hot.columns] = hot.surroundings
    first = f"x = {hot.columns[0] + 1}, y = {hot.rows[0] + 1}"
    done = f"{len(hot.rows)} hot pixels were replaced by their surroundings"
    note = f"{image.source}: {done}, the first at {first}"
    return replace(image, values=values, notes=(*image.notes, note))


def _without_dead_lines(image: XrayMap) -> XrayMap:
    """Return a map with NaN in rows and columns that hold nothing, and a note on them."""
    if image.is_picture:
        return image
    dead_rows, dead_columns = dead_lines(image.values)
    num_dead = np.count_nonzero(dead_rows) + np.count_nonzero(dead_columns)
    if not num_dead:
        return image
    is_dead = dead_rows[:, None] | dead_columns
    values = np.where(is_dead, np.nan, image.values)
    note = f"{image.source}: {num_dead} dead rows and columns were filled"
    return replace(image, values=values, notes=(*image.notes, note))


@dataclass(frozen=True, eq=False)
class _Square:
    """What is cut from a map."""

    centre: tuple[float, float]  # row and column
    half_side: float  # [px], of the mean side where pixels are no squares
    lattice: np.ndarray | None = None  # see ``sky.square``
    notes: tuple[str, ...] = ()


def _square(image: XrayMap, framing: Framing) -> _Square:
    """Return the square on the sky, north up and east left, where the map has coordinates."""
    centre = _centre(image, framing)
    if image.wcs is None:
        half_side = _half_side(image, framing)
        _demand_pixels(image, framing, half_side)
        return _Square(centre, half_side)
    width, height, mean = sky.sides(image.wcs, centre)
    if abs(mean / (image.pixel_arcsec or mean) - 1.0) > _SAME_STEP:
        image = replace(image, pixel_arcsec=mean)
    side = image.pixel_arcsec or mean
    is_square = abs(width / height - 1.0) <= _SAME_STEP
    half_side = _half_side(image, framing)
    if framing.radius_kpc is None and not is_square:
        num_rows, num_columns = image.values.shape
        half_side = min(num_rows * height, num_columns * width) / (2.0 * side)
    _demand_pixels(image, framing, half_side)
    lattice = sky.square(image.wcs, centre, half_side * side, half_side)
    if lattice is None:
        return _Square(centre, half_side)
    done = f"pixels of {width:.4g} x {height:.4g} arcsec were brought to squares"
    if is_square:
        done = "turned, so that north is up and east left"
    return _Square(centre, half_side, lattice, (f"{image.source}: {done}",))


def _centre(image: XrayMap, framing: Framing) -> tuple[float, float]:
    """Return row and column of the centre."""
    if isinstance(framing.centre, str):
        return find_centre(image.values, framing.centre)
    if image.wcs is None:
        expected = "coordinates (WCS), since a centre on the sky was given"
        raise DataError(image.source, expected, "none")
    right_ascension, declination = framing.centre
    if not (np.isfinite(right_ascension) and abs(declination) <= 90.0):
        got = f"{right_ascension:g}, {declination:g}"
        raise DataError("centre", "right ascension and declination in degrees", got)
    row, column = sky.pixel_of(image.wcs, right_ascension, declination)
    height, width = image.values.shape
    if not (0 <= row < height and 0 <= column < width):
        middle = sky.icrs(image.wcs, (height - 1) / 2, (width - 1) / 2)
        got = f"{right_ascension:g}, {declination:g} (ICRS, degrees)"
        place = f"the middle of the map is {middle.ra.deg:.4f}, {middle.dec.deg:.4f}"
        raise DataError(image.source, "the centre on the map", got, place)
    return row, column


def _half_side(image: XrayMap, framing: Framing) -> float:
    """Return half the side of the frame [px]: all of the map where no R500 is given."""
    if framing.radius_kpc is None:
        radius = _stored_radius(image, framing)
        if radius is None:
            return float(min(image.values.shape)) / 2
        return framing.half_width * radius
    _demand_one_radius(image, framing)
    if framing.redshift is not None:
        pixel_arcsec = _pixel_arcsec(image, framing)
        radius = radius_in_pixels(framing.radius_kpc, framing.redshift, pixel_arcsec)
        return framing.half_width * radius
    if image.pixel_arcsec is not None:
        got = "none; the map has coordinates (WCS)"
        raise DataError(image.source, "a redshift, since R500 was given", got)
    if framing.pixel_kpc is None:
        got = "none; no size of pixels in kpc"
        raise DataError(image.source, "a redshift, since R500 was given", got)
    return framing.half_width * framing.radius_kpc / framing.pixel_kpc


def _stored_radius(image: XrayMap, framing: Framing) -> float | None:
    """Return R500 [px] as the file says it, or None where it or the size of pixels is unknown.

    Raises:
        DataError: If the size of pixels was given and there is no R500.
    """
    radius = image.radius
    if framing.pixel_kpc is not None:
        if radius is None or radius.kpc is None:
            expected = "an R500 in kpc, since the size of pixels was given"
            raise DataError(image.source, expected, "none", "", "pass --radius")
        return radius.kpc / framing.pixel_kpc
    if radius is None or radius.share is None:
        return None
    side: float = min(image.values.shape)
    return radius.share * side


def _demand_one_radius(image: XrayMap, framing: Framing) -> None:
    """Refuse an R500 of all maps where the file has one of each."""
    if image.radius is not None:
        expected = f"the R500 of its file ('{image.radius.source}')"
        hint = "leave --radius out; --pixel-kpc says the size of pixels"
        got = f"--radius {framing.radius_kpc:g} for all"
        raise DataError(image.source, expected, got, f"'{image.name}'", hint)


def _pixel_arcsec(image: XrayMap, framing: Framing) -> float:
    """Return the side of a pixel, of the coordinates or of the user, which must agree."""
    of_user, of_map = framing.pixel_arcsec, image.pixel_arcsec
    if framing.pixel_kpc is not None and framing.redshift is not None:
        of_user = framing.pixel_kpc * arcsec_per_kpc(framing.redshift)
    if of_map is None and of_user is None:
        expected = "the size of its pixels, since R500 was given"
        hint = "pass --pixel-kpc or --pixel-arcsec"
        raise DataError(image.source, expected, "no coordinates (WCS)", "", hint)
    if of_map is None or of_user is None:
        return of_map or of_user or 0.0
    if abs(of_user / of_map - 1.0) > _SAME_SCALE:
        expected = f"pixels of {of_map:.4g} arcsec, as its coordinates (WCS) say"
        raise DataError(image.source, expected, f"{of_user:.4g} arcsec given")
    return of_map
