"""An image as its file gives it, what its numbers mean, and where it is on the sky."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cinn_clusters.errors import DataError

ValueScale = Literal["brightness", "log10", "grey"]
"""Of the values: linear, its logarithm, or grey levels in [0, 1] of an unknown stretch."""
_SMALLEST = 16
_LOG10 = re.compile(r"\W*(log|lg|dex)(10|_10)?(\W|$)", re.IGNORECASE)
"""Units of a decimal logarithm: log10, dex, dex(ct/s), log(erg/s/cm2), ..."""
_OTHER_LOG = re.compile(r"\W*(ln|log_?e|log2|mag)(\W|$)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class XrayMap:
    """One map: rows from south to north, (H, W) float64, NaN where nothing was observed."""

    name: str  # of its object: that of the file, or of the data set in it
    values: np.ndarray
    scale: ValueScale
    source: Path
    pixel_arcsec: float | None = None  # None when the file does not say
    wcs: Any = None  # ``astropy.wcs.WCS``, or None
    notes: tuple[
        str, ...
    ] = ()  # what is malformed in the file and was read all the same
    unit: str = ""  # as the file gives it

    @property
    def is_picture(self) -> bool:
        """Whether values are grey levels, already stretched, and not a brightness."""
        return self.scale == "grey"


def value_scale(unit: str, path: Path, place: str = "") -> ValueScale:
    """Return whether values of a unit (BUNIT) are logarithms.

    Raises:
        DataError: If they are logarithms of another base.
    """
    if _OTHER_LOG.match(unit):
        expected = "the unit (BUNIT) of a brightness or of its log10"
        raise DataError(
            path, expected, f"'{unit}'", place, "write the brightness itself"
        )
    return "log10" if _LOG10.match(unit) else "brightness"


def demand_map(image: XrayMap, *, may_be_flat: bool = False) -> None:
    """Check that there is an image, and one with structure unless it ``may_be_flat``.

    Raises:
        DataError: If it is too small, or shows nothing.
    """
    path, name = image.source, f"'{image.name}'"
    shape = image.values.shape
    if len(shape) != 2 or min(shape) < _SMALLEST:
        expected = f"an image of at least {_SMALLEST} x {_SMALLEST} pixels"
        raise DataError(path, expected, f"shape {shape}", name)
    finite = image.values[np.isfinite(image.values)]
    if not finite.size:
        raise DataError(path, "finite pixels", "only NaN", name)
    if may_be_flat:
        return
    faintest, brightest = finite.min(), finite.max()
    if faintest == brightest:
        got = f"{brightest:g} in every pixel"
        raise DataError(path, "an image with structure", got, name)
    if image.scale == "brightness" and brightest <= 0.0:
        hint = "a logarithm needs the unit log10 (BUNIT)"
        got = f"at most {brightest:g}"
        raise DataError(path, "a positive brightness somewhere", got, name, hint)
