"""Maps from FITS files: which image, what its numbers mean, its coordinates."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.files import demand_forward
from cinn_clusters.xray.contents import PACKED
from cinn_clusters.xray.fits.headers import demand_header
from cinn_clusters.xray.fits.planes import ImageChoice, choose_plane
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.sky import celestial

_LARGEST_FILE = 2**31
"""Bytes of a file when it is not compressed."""
_LARGEST_SIDE = 20_000
_EXPOSURE_UNIT = re.compile(
    r"((cm|m)[ *.^]*2[ *.]*)?[kM]?s(ec(onds?)?)?([ *.]*(cm|m)[ *.^]*2)?$", re.IGNORECASE
)
"""Units of an exposure map: s, ks, cm**2 s, ..."""
_EXACT = 2**22
"""Pixels up to which values are float64; those of larger maps stay float32 where they are."""


def read_fits(path: Path, name: str, choice: ImageChoice | None = None) -> XrayMap:
    """Read an image of a FITS file, also of one whose header says SIMPLE = 'T' (a text).

    Args:
        path: File, compressed or not.
        name: Of the map.
        choice: Which of several images; without it the only one that is no companion.

    Raises:
        DataError: If there is no such image, or its unit or coordinates make no sense.
    """
    from astropy.io import fits

    choice = choice or ImageChoice()
    with _opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notes = demand_header(file.read(2**20), path)
        num_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        options = {"ignore_missing_simple": True, "memmap": False}
        with fits.open(file, **options) as planes:
            demand_forward(planes, path)
            plane, choice_notes = choose_plane(planes, path, choice)
            _demand_size(plane, path, num_bytes)
            unit = str(plane.header.get("BUNIT", "")).strip()
            values = _two_axes(_numbers(plane), plane.header, path)
            if choice.role == "map":
                _demand_no_exposure(unit, path)
                choice_notes += _without_saturation(values, plane, path)
            pixel_arcsec, wcs = celestial(plane.header, path, planes)
    return XrayMap(
        name,
        values,
        "brightness",
        path,
        pixel_arcsec,
        wcs,
        (*notes, *choice_notes),
        unit,
    )


def _opened(path: Path) -> IO[bytes]:
    """Open a file, decompressed: by its own handle, since astropy leaves a damaged file open.

    Raises:
        DataError: If it is huge when decompressed.
    """
    file = path.open("rb")
    start = file.read(8)
    file.seek(0)
    for magic, unpack in PACKED.items():
        if start.startswith(magic):
            with file, unpack(file) as packed:
                return io.BytesIO(_limited(packed, path))
    return file


def _limited(packed: Any, path: Path) -> bytes:
    """Return the content of a compressed file.

    Raises:
        DataError: If there is too much of it.
    """
    content: bytes = packed.read(_LARGEST_FILE)
    if packed.read(1):
        expected = "less than 2 GiB when decompressed"
        raise DataError(path, expected, "more", "", "cut the image out first")
    return content


def _demand_size(plane: Any, path: Path, num_bytes: int) -> None:
    """Check the size that a header promises before anything is allocated.

    Raises:
        DataError: If the file is shorter, or the image huge.
    """
    header = plane.header
    widths = [header[f"NAXIS{axis + 1}"] for axis in range(header["NAXIS"])]
    size = " x ".join(map(str, widths))
    is_packed = hasattr(plane, "compression_type")
    end = plane.fileinfo()["datLoc"] + plane.size
    if end > num_bytes and not is_packed:
        expected = f"a readable fits file of {size} pixels"
        raise DataError(path, expected, f"{num_bytes} bytes, cut short")
    if max(widths) > _LARGEST_SIDE:
        expected = f"an image of at most {_LARGEST_SIDE} pixels a side"
        raise DataError(path, expected, size, "", "cut the cluster out first")


def _numbers(plane: Any) -> np.ndarray:
    """Return the numbers of a plane, float32 where that is enough for a large one."""
    stored = np.asarray(plane.data)
    is_short = stored.dtype.kind == "f" or stored.dtype.itemsize <= 2
    if stored.size > _EXACT and is_short and stored.dtype.itemsize <= 4:
        return stored.astype(np.float32)
    return stored.astype(np.float64)


def _demand_no_exposure(unit: str, path: Path) -> None:
    """Refuse an exposure map where a map is read.

    Raises:
        DataError: If the unit is a time, or an area and a time.
    """
    if _EXPOSURE_UNIT.match(unit):
        got = f"an exposure map (unit '{unit}')"
        hint = "pass it with --exposure, beside the counts"
        raise DataError(path, "an image of a cluster", got, "", hint)


def _without_saturation(values: np.ndarray, plane: Any, path: Path) -> tuple[str, ...]:
    """Put NaN where whole numbers are the largest of their kind, far above the others; a note."""
    stored = np.asarray(plane.data)
    if stored.dtype.kind not in "ui" or stored.dtype.itemsize < 2:
        return ()
    largest = float(np.iinfo(stored.dtype).max)
    is_full = values == largest
    num_full = np.count_nonzero(is_full)
    rest = values.max(initial=0.0, where=~is_full)
    if not num_full or num_full == values.size or rest > 0.5 * largest:
        return ()
    values[is_full] = np.nan
    return (f"{path}: {num_full} saturated pixels ({largest:.0f}) were filled",)


def _two_axes(values: np.ndarray, header: Any, path: Path) -> np.ndarray:
    """Return an image (H, W) without axes of a single plane (Stokes, frequency, energy).

    Raises:
        DataError: If there are several planes.
    """
    for axis in reversed(range(values.ndim)):
        if values.ndim > 2 and values.shape[axis] == 1:
            values = values.squeeze(axis)
    if values.ndim > 2:
        kinds = [str(header.get(f"CTYPE{axis}", "")) for axis in (3, 4)]
        got = f"a cube of shape {values.shape}"
        place = ", ".join(filter(None, kinds))
        raise DataError(
            path, "one image", got, place, "cut out or add its planes first"
        )
    return values
