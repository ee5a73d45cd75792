"""Headers of FITS files: coordinates, and what is broken said in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError

_CARD = 80
"""Bytes of a line of a header."""
_WHOLE_NUMBERS = ("BITPIX", "NAXIS")
"""Beginnings of keywords that hold whole numbers."""
_LARGEST_PIXEL = 600.0
"""Side of a pixel [arcsec]."""


def demand_header(content: bytes, path: Path) -> tuple[str, ...]:
    """Check the first header in the content of a FITS file; return notes on harmless faults.

    Raises:
        DataError: If a line is no text, or a size no number.
    """
    notes: list[str] = []
    for keyword, text in _cards(content, path):
        before_comment, *_ = text.split("/")
        value = before_comment.strip()
        if keyword == "SIMPLE" and value != "T":
            is_text = value.startswith("'")
            kind = "text" if is_text else f"{value or 'empty'}, not T"
            notes.append(f"{path}: header's SIMPLE is {kind}; read all the same")

        if keyword.startswith(_WHOLE_NUMBERS) and not value.lstrip("-").isdigit():
            expected = f"a header with a whole number as {keyword}"
            raise DataError(path, expected, value or "nothing")
    return tuple(notes)


def celestial(header: Any, path: Path) -> tuple[float | None, Any]:
    """Return the side of a pixel [arcsec] and the coordinates (WCS), or None for both.

    Raises:
        DataError: If the header names coordinates that make no sense.
    """
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    if "CTYPE1" not in header or not {"CDELT1", "CD1_1", "PC1_1"} & set(header):
        return None, None  # simulated maps name axes without a scale
    _demand_coordinates(header, path)
    try:
        wcs = WCS(header, naxis=2)
        scales = np.abs(proj_plane_pixel_scales(wcs)) * 3600.0
    except Exception as error:
        expected = "a coordinate system (WCS) that can be read"
        raise DataError(path, expected, line_of(error)) from error
    if not wcs.has_celestial:
        return None, None

    # Huge pixels are a sign of arcsec where degrees belong.
    width, height = scales
    largest = min(1.5 * scales.min(), _LARGEST_PIXEL)
    if not np.isfinite(scales).all() or not 0.0 < scales.max() <= largest:
        got = f"pixels of {width:.3g} x {height:.3g} arcsec"
        place = "header (CDELT, in degrees)"
        raise DataError(path, "square pixels of less than 10 arcmin", got, place)
    return float(np.sqrt(width * height)), wcs


def line_of(error: Exception) -> str:
    """Return the line of another library's error that says most: the last without a code place."""
    stripped = map(str.strip, str(error).splitlines())
    lines = [line for line in stripped if line]
    useful = [line for line in lines if not line.startswith("ERROR ")]
    if useful:
        return useful[-1]
    if lines:
        return lines[-1]
    return type(error).__name__


def _demand_coordinates(header: Any, path: Path) -> None:
    """Check what the library of coordinates would refuse in words that nobody understands."""
    for axis in (1, 2):
        step = _number(header, f"CDELT{axis}", 1.0, path)
        centre = _number(header, f"CRVAL{axis}", 0.0, path)
        if step == 0.0 and "CD1_1" not in header:
            expected = f"pixels of some size (CDELT{axis}, WCS)"
            raise DataError(path, expected, "0 degrees", "header")
        kind = str(header.get(f"CTYPE{axis}", ""))
        if kind.startswith(("DEC-", "GLAT", "ELAT")) and abs(centre) > 90.0:
            expected = f"a latitude (CRVAL{axis}, {kind}) in -90..90 degrees"
            raise DataError(path, expected, f"{centre:g}", "header")


def _number(header: Any, keyword: str, default: float, path: Path) -> float:
    """Return a finite number of a header."""
    value = header.get(keyword, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not np.isfinite(value):
        expected = f"a number as {keyword} of its coordinates (WCS)"
        raise DataError(path, expected, repr(value), "header")
    return float(value)


def _cards(content: bytes, path: Path) -> Iterator[tuple[str, str]]:
    """Yield keyword and value of each line of the first header."""
    for start in range(0, len(content), _CARD):
        # Bytes 0-7 are the keyword, "= " follows where there is a value (FITS standard, 4.1).
        card = content[start : start + _CARD]
        text = card.decode("ascii", "replace")
        keyword = text[:8].strip()
        if keyword == "END":
            return

        is_text = card.isascii() and text.isprintable()
        if not is_text:
            line = start // _CARD + 1
            got = f"other bytes in line {line} ({keyword})"
            raise DataError(path, "a readable fits header, of ASCII text", got)
        if text[8:10] == "= ":
            yield keyword, text[10:]
