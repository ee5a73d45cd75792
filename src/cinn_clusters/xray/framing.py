"""One map, as it comes from its file, to an image of a fixed frame: counts, masks, centre,
scale, stretch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cinn_clusters.cosmology import arcsec_per_kpc
from cinn_clusters.errors import DataError
from cinn_clusters.xray.frame import Centring, find_centre, frame, radius_in_pixels
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.rate import count_rate, fill_holes, on_grid
from cinn_clusters.xray.stretch import asinh_stretch, log_brightness

PICTURE_DEPTH = 3.3
"""Decades of brightness from black to white in a picture of a map; its true stretch is not told."""
SAME_SCALE = 0.01
"""Largest relative difference between a pixel scale that is given and that of the coordinates."""
Stretch = Literal["log", "asinh"]


@dataclass(frozen=True)
class Framing:
    """How maps are cut and shown.

    Args:
        size: Pixels a side.
        half_width: Half the side of the square [R500]; without a scale the whole map is taken.
        centre: ``peak``, ``centroid``, ``middle``, or right ascension and declination [deg].
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


@dataclass(frozen=True)
class Companions:
    """What belongs to maps and stands in files of its own.

    Args:
        exposure: Exposure; maps are counts then, and point sources are cut out.
        background: Expected counts that are not of the cluster, with ``exposure``.
        mask: Pixels to fill from their surroundings: those that are not 0.
        keep_sources: Whether point sources stay.
    """

    exposure: XrayMap | None = None
    background: XrayMap | None = None
    mask: XrayMap | None = None
    keep_sources: bool = False

    def notes(self) -> list[str]:
        """What is malformed in them and was read all the same."""
        return [
            note
            for one in (self.exposure, self.background, self.mask)
            if one is not None
            for note in one.notes
        ]


def framed(one: XrayMap, framing: Framing, companions: Companions) -> np.ndarray:
    """A map in its frame, (size, size).

    Raises:
        DataError: If the map, its scale and what comes with it do not fit.
    """
    if one.is_picture and framing.stretch != "log":
        raise DataError(
            str(one.source),
            f"a brightness, to be shown by {framing.stretch}",
            "a picture, stretched before",
        )
    shown, least = _brightness(one, companions)
    centre, half_side = _centre(shown, framing), _half_side(shown, framing)
    filled = fill_holes(frame(shown.values, centre, half_side, framing.size))
    if one.is_picture:
        return (filled - 1.0) * PICTURE_DEPTH
    if framing.stretch == "asinh":
        return asinh_stretch(filled)
    return log_brightness(filled, least=least * min((framing.size / (2.0 * half_side)) ** 2, 1.0))


def _brightness(one: XrayMap, companions: Companions) -> tuple[XrayMap, float]:
    """Brightness (of a picture, its grey levels) with NaN where masked, and the least that was
    measured.
    """
    values, least = one.values, 0.0
    if one.scale == "log10":
        with np.errstate(over="ignore"):
            values = 10.0**values
    if companions.mask is not None:
        values = np.where(on_grid(companions.mask, one, order=0) != 0.0, np.nan, values)
    if companions.exposure is not None:
        if one.scale != "brightness":
            got = "a picture" if one.is_picture else "their logarithm (BUNIT)"
            raise DataError(str(one.source), "counts, since an exposure was given", got)
        counts = replace(one, values=values)
        mask_sources = not companions.keep_sources
        values, least = count_rate(
            counts, companions.exposure, companions.background, mask_sources=mask_sources
        )
    return replace(one, values=values), least


def _centre(one: XrayMap, framing: Framing) -> tuple[float, float]:
    if isinstance(framing.centre, str):
        return find_centre(one.values, framing.centre)
    if one.wcs is None:
        raise DataError(
            str(one.source), "coordinates (WCS), since a centre on the sky was given", "none"
        )
    column, row = one.wcs.world_to_pixel_values(*framing.centre)
    if not (0 <= row < one.values.shape[0] and 0 <= column < one.values.shape[1]):
        raise DataError(
            str(one.source), "the centre on the map", f"pixel ({column:.0f}, {row:.0f})"
        )
    return float(row), float(column)


def _half_side(one: XrayMap, framing: Framing) -> float:
    """Half the side of the frame [px]: a multiple of R500 where the scale is known, else all of
    the map.
    """
    if framing.radius_kpc is None:
        return float(min(one.values.shape)) / 2
    if framing.redshift is None:
        if framing.pixel_kpc is None or one.pixel_arcsec is not None:
            has = (
                "the map has coordinates (WCS)"
                if one.pixel_arcsec is not None
                else "no size of pixels in kpc"
            )
            raise DataError(str(one.source), "a redshift, since R500 was given", f"none; {has}")
        return framing.half_width * framing.radius_kpc / framing.pixel_kpc
    return framing.half_width * radius_in_pixels(
        framing.radius_kpc, framing.redshift, _pixel(one, framing)
    )


def _pixel(one: XrayMap, framing: Framing) -> float:
    """Side of a pixel [arcsec], of the coordinates or as given, which must agree."""
    given = framing.pixel_arcsec
    if framing.pixel_kpc is not None and framing.redshift is not None:
        given = framing.pixel_kpc * arcsec_per_kpc(framing.redshift)
    if one.pixel_arcsec is None:
        if given is None:
            hint = "pass --pixel-kpc or --pixel-arcsec"
            expected = "the size of its pixels, since R500 was given"
            raise DataError(str(one.source), expected, "no coordinates (WCS)", "", hint)
        return given
    if given is not None and abs(given / one.pixel_arcsec - 1.0) > SAME_SCALE:
        expected = f"pixels of {one.pixel_arcsec:.4g} arcsec, as its coordinates (WCS) say"
        raise DataError(str(one.source), expected, f"{given:.4g} arcsec given")
    return one.pixel_arcsec
