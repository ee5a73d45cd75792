"""Maps from FITS files: the image, what its numbers mean, its coordinates."""

from __future__ import annotations

import gzip
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.headers import demand_header
from cinn_clusters.xray.image import XrayMap, value_scale
from cinn_clusters.xray.sky import celestial

_GZIP = b"\x1f\x8b"


def read_fits(path: Path, name: str) -> XrayMap:
    """Read the first image of a FITS file, also of one whose header says SIMPLE = 'T' (a text).

    Raises:
        DataError: If there is no image, or its unit or coordinates make no sense.
    """
    from astropy.io import fits

    content = path.read_bytes()  # astropy leaves a damaged file open
    if content.startswith(_GZIP):
        content = gzip.decompress(content)
    notes = demand_header(content, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content), ignore_missing_simple=True) as planes:
            for plane in planes:
                if plane.is_image and plane.header.get("NAXIS", 0) > 0:
                    values = _pixels(plane, path, len(content))
                    scale = value_scale(plane.header.get("BUNIT", ""), path)
                    pixel_arcsec, wcs = celestial(plane.header, path)
                    return XrayMap(name, values, scale, path, pixel_arcsec, wcs, notes)
    raise DataError(path, "an image", "none in any extension")


def _pixels(plane: Any, path: Path, num_bytes: int) -> np.ndarray:
    """Return the image (H, W) of a plane of a file of so many bytes."""
    try:
        return np.squeeze(np.asarray(plane.data, dtype=float))
    except TypeError as error:  # of numpy, whose buffer is too small
        header = plane.header
        widths = [str(header[f"NAXIS{axis + 1}"]) for axis in range(header["NAXIS"])]
        expected = f"a readable fits file of {' x '.join(widths)} pixels"
        raise DataError(path, expected, f"{num_bytes} bytes, cut short") from error
