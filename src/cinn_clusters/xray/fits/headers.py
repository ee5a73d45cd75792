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
_MOST_AXES = 999
"""Axes that an image may have (FITS standard 4.0, section 4.4.1.1)."""
"""Beginnings of keywords that hold whole numbers."""


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
        if keyword == "NAXIS":
            _demand_axes(int(value), path)
    return tuple(notes)


def _demand_axes(count: int, path: Path) -> None:
    """Refuse more axes than an image may have, each of which would be looked for."""
    if not 0 <= count <= _MOST_AXES:
        expected = f"NAXIS from 0 to {_MOST_AXES}"
        raise DataError(path, expected, str(count), "", "copy the file again")


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


def demand_coordinates(header: Any, path: Path, key: str = "") -> None:
    """Check what the library of coordinates would refuse in words that nobody understands.

    ``key`` is the letter of an alternate coordinate system.

    Raises:
        DataError: If a keyword is no number, a step 0, or a latitude beyond the poles.
    """
    for axis in (1, 2):
        step = _number(header, f"CDELT{axis}{key}", 1.0, path)
        centre = _number(header, f"CRVAL{axis}{key}", 0.0, path)
        has_matrix = any(f"CD{axis}_{j}{key}" in header for j in (1, 2))
        if step == 0.0 and not has_matrix:
            expected = f"pixels of some size (CDELT{axis}{key}, WCS)"
            raise DataError(path, expected, "0 degrees", "header")
        kind = str(header.get(f"CTYPE{axis}{key}", ""))
        is_latitude = kind.startswith(("DEC-", "GLAT", "ELAT"))
        if is_latitude and abs(centre) > 90.0 and not _has_unit(header, axis, key):
            expected = f"a latitude (CRVAL{axis}{key}, {kind}) in -90..90 degrees"
            raise DataError(path, expected, f"{centre:g}", "header")


def _has_unit(header: Any, axis: int, key: str) -> bool:
    """Return whether the coordinates of an axis are in another unit than degrees."""
    unit = str(header.get(f"CUNIT{axis}{key}", "")).strip().lower()
    return not (unit == "" or unit.startswith("deg"))


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
