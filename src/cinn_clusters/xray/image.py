"""An image as its file gives it, what its numbers mean, and where it is on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cinn_clusters.errors import DataError

ValueScale = Literal["brightness", "log10", "grey"]
"""Of the values: linear, its logarithm, or grey levels in [0, 1] of an unknown stretch."""
MapUnit = Literal["rate", "counts", "log10", "brightness"]
"""What values are: photons per exposure, photons, a logarithm, or another linear brightness."""
_SMALLEST = 16
_MOST_ONES = 0.2
"""Share of pixels with a photon in a map that has none with two."""


@dataclass(frozen=True)
class MapRadius:
    """R500 of the object of a map, as its file says it.

    Args:
        source: Data set or table that it is from.
        share: R500 over the side of the map, or None.
        kpc: R500 [physical kpc], or None.
    """

    source: str
    share: float | None = None
    kpc: float | None = None


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
    unit: str = ""  # as the file states it (BUNIT)
    quantity: MapUnit | None = None  # of the unit or of the user; None where none says
    radius: MapRadius | None = None

    @property
    def is_picture(self) -> bool:
        """Whether values are grey levels, already stretched, and not a brightness."""
        return self.scale == "grey"


def demand_image(image: XrayMap) -> None:
    """Check that there is an image of finite pixels.

    Raises:
        DataError: If it is too small, or nothing is finite.
    """
    shape = image.values.shape
    if len(shape) != 2 or min(shape) < _SMALLEST:
        expected = f"an image of at least {_SMALLEST} x {_SMALLEST} pixels"
        raise DataError(image.source, expected, f"shape {shape}", f"'{image.name}'")
    if not np.isfinite(image.values).any():
        raise DataError(image.source, "finite pixels", "only NaN", f"'{image.name}'")


def demand_map(image: XrayMap, *, may_be_flat: bool = False) -> None:
    """Check that an image has structure, unless it ``may_be_flat``.

    Raises:
        DataError: If it shows nothing.
    """
    if may_be_flat:
        return
    path, name = image.source, f"'{image.name}'"
    faintest = np.fmin.reduce(image.values, axis=None)  # NaN left out, without a copy
    brightest = np.fmax.reduce(image.values, axis=None)
    if np.isnan(brightest):
        raise DataError(path, "finite pixels", "only NaN and marks of absence", name)
    if faintest == brightest:
        got = f"{brightest:g} in every pixel"
        raise DataError(path, "an image with structure", got, name)
    if _is_mask(image.values, faintest, brightest) and not image.is_picture:
        hint = "pass a mask with --mask"
        raise DataError(path, "an image of a cluster", "a mask of 0 and 1", name, hint)
    if image.scale == "brightness" and brightest <= 0.0:
        hint = "a logarithm needs the unit log10 (BUNIT), or --unit log10"
        got = f"at most {brightest:g}"
        raise DataError(path, "a positive brightness somewhere", got, name, hint)


def _is_mask(values: np.ndarray, faintest: float, brightest: float) -> bool:
    """Return whether all values are 0 or 1, and more are 1 than photons would leave without a 2."""
    if (faintest, brightest) != (0.0, 1.0):
        return False
    is_one = values == 1.0
    is_mark = is_one | (values == 0.0) | np.isnan(values)
    return bool(is_mark.all() and is_one.mean() > _MOST_ONES)
