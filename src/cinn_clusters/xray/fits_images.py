"""Maps from FITS files: the image, what its numbers mean, its coordinates."""

from __future__ import annotations

import gzip
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.headers import celestial, demand_header
from cinn_clusters.xray.image import XrayMap, scale_of

GZIP = b"\x1f\x8b"


def read_fits(path: Path, name: str) -> XrayMap:
    """The first image of a FITS file; a header that calls itself SIMPLE = 'T' is taken at its word.

    Raises:
        DataError: If there is no image, or its unit or coordinates make no sense.
    """
    from astropy.io import fits

    content = path.read_bytes()  # astropy leaves a damaged file open
    if content[:2] == GZIP:
        content = gzip.decompress(content)
    notes = demand_header(content, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content), ignore_missing_simple=True) as planes:
            for plane in planes:
                if plane.is_image and plane.header.get("NAXIS", 0) > 0:
                    values = np.squeeze(_values(plane, path, len(content)))
                    pixel, wcs = celestial(plane.header, path)
                    return XrayMap(
                        name,
                        values,
                        scale_of(plane.header.get("BUNIT", ""), path),
                        pixel,
                        wcs,
                        path,
                        notes,
                    )
    raise DataError(str(path), "an image", "none in any extension")


def _values(plane: Any, path: Path, size: int) -> np.ndarray:
    try:
        return np.asarray(plane.data, dtype=float)
    except TypeError as error:  # of numpy, whose buffer is too small
        shape = " x ".join(
            str(plane.header[f"NAXIS{axis + 1}"]) for axis in range(plane.header["NAXIS"])
        )
        got = f"{size} bytes, cut short"
        raise DataError(str(path), f"a readable fits file of {shape} pixels", got) from error
