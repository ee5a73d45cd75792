"""Maps from FITS files: the image, what its numbers mean, its coordinates."""

from __future__ import annotations

import gzip
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import Scale, XrayMap

GZIP = b"\x1f\x8b"
LOG10 = re.compile(r"\W*(log|lg|dex)(10|_10)?(\W|$)", re.IGNORECASE)
"""Units (BUNIT) of a decimal logarithm: log10, dex, dex(ct/s), log(erg/s/cm2), ..."""
OTHER_LOG = re.compile(r"\W*(ln|log_?e|log2|mag)(\W|$)", re.IGNORECASE)


def read_fits(path: Path, name: str) -> XrayMap:
    """The first image of a FITS file; a header that calls itself SIMPLE = 'T' is taken at its word.

    Raises:
        DataError: If there is no image, or its unit or coordinates make no sense.
    """
    from astropy.io import fits

    content = path.read_bytes()  # astropy leaves a damaged file open
    if content[:2] == GZIP:
        content = gzip.decompress(content)
    with warnings.catch_warnings(), fits.open(io.BytesIO(content), ignore_missing_simple=True) as planes:
        warnings.simplefilter("ignore")
        for plane in planes:
            if plane.is_image and plane.data is not None:
                values = np.squeeze(np.asarray(plane.data, dtype=float))
                pixel, wcs = _celestial(plane.header, path)
                return XrayMap(name, values, _scale(plane.header, path), pixel, wcs, path)
    raise DataError(str(path), "an image", "none in any extension")


def _scale(header: Any, path: Path) -> Scale:
    """Whether values are logarithms, by the unit of the header (BUNIT)."""
    unit = str(header.get("BUNIT", ""))
    if OTHER_LOG.match(unit):
        hint = "write the brightness itself"
        raise DataError(str(path), "BUNIT of a brightness or of its log10", f"'{unit}'", "", hint)
    return "log10" if LOG10.match(unit) else "brightness"


def _celestial(header: Any, path: Path) -> tuple[float | None, Any]:
    """Side of a pixel [arcsec] and coordinates; nothing where the header names none.

    Raises:
        DataError: If it names coordinates that make no sense.
    """
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    if "CTYPE1" not in header or not {"CDELT1", "CD1_1", "PC1_1"} & set(header):
        return None, None  # simulated maps name axes without a scale
    try:
        wcs = WCS(header, naxis=2)
        scales = np.abs(proj_plane_pixel_scales(wcs)) * 3600.0
    except Exception as error:
        raise DataError(str(path), "a coordinate system (WCS) that can be read", first_line(error)) from error
    if not wcs.has_celestial:
        return None, None
    is_finite = np.isfinite(scales).all()
    if not is_finite or scales.min() <= 0.0 or scales.max() > min(1.5 * scales.min(), 600.0):
        got = f"pixels of {scales[0]:.3g} x {scales[1]:.3g} arcsec"
        raise DataError(str(path), "square pixels of less than 10 arcmin", got)
    return float(np.sqrt(scales[0] * scales[1])), wcs


def first_line(error: Exception) -> str:
    """First line of an error of another library."""
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
