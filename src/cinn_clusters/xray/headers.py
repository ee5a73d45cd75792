"""Headers of FITS files: what is broken in them is said in words; coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError

CARD = 80
"""Bytes of a line of a header."""
NUMBERS = ("BITPIX", "NAXIS")
"""Beginnings of keywords that hold whole numbers."""
LARGEST_PIXEL = 600.0


def demand_header(content: bytes, path: Path) -> tuple[str, ...]:
    """Check the first header of a FITS file.

    Args:
        content: Of the file.
        path: For errors and notes.

    Returns:
        Notes: what is malformed and does no harm.

    Raises:
        DataError: If a line is no text, or a size no number.
    """
    notes: list[str] = []
    for keyword, text in _cards(content, path):
        value = text.split("/")[0].strip()
        if keyword == "SIMPLE" and value != "T":
            kind = "text" if value.startswith("'") else f"{value or 'empty'}, not T"
            notes.append(f"{path}: header's SIMPLE is {kind}; read all the same")
        if keyword.startswith(NUMBERS) and not value.lstrip("-").isdigit():
            raise DataError(
                str(path), f"a header with a whole number as {keyword}", value or "nothing"
            )
    return tuple(notes)


def celestial(header: Any, path: Path) -> tuple[float | None, Any]:
    """Side of a pixel [arcsec] and coordinates (WCS); nothing where the header names none.

    Raises:
        DataError: If it names coordinates that make no sense.
    """
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    if "CTYPE1" not in header or not {"CDELT1", "CD1_1", "PC1_1"} & set(header):
        return None, None  # simulated maps name axes without a scale
    _demand_sense(header, path)
    try:
        wcs = WCS(header, naxis=2)
        scales = np.abs(proj_plane_pixel_scales(wcs)) * 3600.0
    except Exception as error:
        raise DataError(
            str(path), "a coordinate system (WCS) that can be read", told(error)
        ) from error
    if not wcs.has_celestial:
        return None, None
    is_finite = np.isfinite(scales).all()
    if (
        not is_finite
        or scales.min() <= 0.0
        or scales.max() > min(1.5 * scales.min(), LARGEST_PIXEL)
    ):
        got = f"pixels of {scales[0]:.3g} x {scales[1]:.3g} arcsec"
        raise DataError(
            str(path), "square pixels of less than 10 arcmin", got, "header (CDELT, in degrees)"
        )
    return float(np.sqrt(scales[0] * scales[1])), wcs


def told(error: Exception) -> str:
    """The line of another library's error that says most: the last that tells no place in its
    own code.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith("ERROR ")] or lines
    return useful[-1] if useful else type(error).__name__


def _demand_sense(header: Any, path: Path) -> None:
    """Check what the library of coordinates would refuse in words of its own."""
    for axis in (1, 2):
        step, centre = header.get(f"CDELT{axis}", 1.0), header.get(f"CRVAL{axis}", 0.0)
        for name, value in ((f"CDELT{axis}", step), (f"CRVAL{axis}", centre)):
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not np.isfinite(value)
            ):
                raise DataError(
                    str(path), f"a number as {name} of its coordinates (WCS)", repr(value), "header"
                )
        if step == 0.0 and "CD1_1" not in header:
            raise DataError(
                str(path), f"pixels of some size (CDELT{axis}, WCS)", "0 degrees", "header"
            )
        kind = str(header.get(f"CTYPE{axis}", ""))
        if kind[:4] in ("DEC-", "GLAT", "ELAT") and abs(centre) > 90.0:
            raise DataError(
                str(path),
                f"a latitude (CRVAL{axis}, {kind}) in -90..90 degrees",
                f"{centre:g}",
                "header",
            )


def _cards(content: bytes, path: Path) -> Iterator[tuple[str, str]]:
    """Keyword and value of each line of the first header."""
    for start in range(0, len(content), CARD):
        card = content[start : start + CARD]
        if card[:8].rstrip() == b"END":
            return
        if not (card.isascii() and card.decode("latin-1").isprintable()):
            got = f"other bytes in line {start // CARD + 1} ({card[:8].decode('ascii', 'replace').strip()})"
            raise DataError(str(path), "a readable fits header, of ASCII text", got)
        if card[8:10] == b"= ":
            yield card[:8].decode().strip(), card[10:].decode()
