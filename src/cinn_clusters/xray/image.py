"""What a file of maps gives: an image, what its numbers mean, where it is on the sky."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cinn_clusters.errors import DataError

Scale = Literal["brightness", "log10", "grey"]
"""Of the values: linear, its logarithm, or grey levels in [0, 1] whose stretch is not told."""
SMALLEST = 16
LOG10 = re.compile(r"\W*(log|lg|dex)(10|_10)?(\W|$)", re.IGNORECASE)
"""Units of a decimal logarithm: log10, dex, dex(ct/s), log(erg/s/cm2), ..."""
OTHER_LOG = re.compile(r"\W*(ln|log_?e|log2|mag)(\W|$)", re.IGNORECASE)


@dataclass(frozen=True)
class XrayMap:
    """One map.

    Args:
        name: Of its object: the file's, or that of the data set in it.
        values: Rows from south to north, (H, W) float64; NaN where nothing was seen.
        scale: What values are.
        pixel_arcsec: Side of a pixel, or None when the file does not say.
        wcs: Celestial coordinates (``astropy.wcs.WCS``), or None.
        source: File.
        notes: What is malformed in it and was read all the same.
    """

    name: str
    values: np.ndarray
    scale: Scale
    pixel_arcsec: float | None
    wcs: Any
    source: Path
    notes: tuple[str, ...] = ()

    @property
    def is_picture(self) -> bool:
        """Whether values are grey levels, already stretched, and not a brightness."""
        return self.scale == "grey"


def scale_of(unit: str, path: Path, where: str = "") -> Scale:
    """Whether values of a unit (BUNIT) are logarithms.

    Raises:
        DataError: If they are logarithms of another base.
    """
    if OTHER_LOG.match(unit):
        hint = "write the brightness itself"
        raise DataError(
            str(path), "the unit (BUNIT) of a brightness or of its log10", f"'{unit}'", where, hint
        )
    return "log10" if LOG10.match(unit) else "brightness"


def demand_map(one: XrayMap, *, may_be_flat: bool = False) -> None:
    """Check that there is an image.

    Args:
        one: Map.
        may_be_flat: Whether it may show nothing, as an exposure or a background may.

    Raises:
        DataError: If it is too small, or shows nothing.
    """
    where = f"'{one.name}'"
    if one.values.ndim != 2 or min(one.values.shape) < SMALLEST:
        got = f"shape {one.values.shape}"
        raise DataError(
            str(one.source), f"an image of at least {SMALLEST} x {SMALLEST} pixels", got, where
        )
    finite = one.values[np.isfinite(one.values)]
    if not finite.size:
        raise DataError(str(one.source), "finite pixels", "only NaN", where)
    if may_be_flat:
        return
    if finite.min() == finite.max():
        raise DataError(
            str(one.source), "an image with structure", f"{finite[0]:g} in every pixel", where
        )
    if one.scale == "brightness" and finite.max() <= 0.0:
        hint = "a logarithm needs the unit log10 (BUNIT)"
        raise DataError(
            str(one.source),
            "a positive brightness somewhere",
            f"at most {finite.max():g}",
            where,
            hint,
        )
