"""Maps from the files they come in: pictures, FITS, HDF5."""

from __future__ import annotations

import gzip
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError

PICTURES = {".png", ".jpg", ".jpeg"}
FITS = {".fits", ".fit", ".fts"}
HDF5 = {".h5", ".hdf5"}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of red, green and blue (ITU-R BT.709); rises monotonically along inferno, magma, viridis and grey."""
SMALLEST = 16
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class XrayMap:
    """One map.

    Args:
        name: Of its object: the file's, or that of the data set in it.
        values: Rows from south to north, (H, W) float64; NaN where nothing was seen.
        is_picture: Whether values are grey levels in [0, 1], already stretched, and not a brightness.
        pixel_arcsec: Side of a pixel, or None when the file does not say.
        wcs: Celestial coordinates (``astropy.wcs.WCS``), or None.
        source: File.
    """

    name: str
    values: np.ndarray
    is_picture: bool
    pixel_arcsec: float | None
    wcs: Any
    source: Path


def read_maps(path: str | Path) -> list[XrayMap]:
    """Read all maps of a file.

    Args:
        path: ``.png``, ``.jpg``, ``.fits`` (compressed or not), or ``.h5`` with a data set a map (``Halo_{id}`` of
            shape (H, W) or (H, W, 3), as projections of TNG-Cluster are stored).

    Returns:
        The maps: one, but for HDF5.

    Raises:
        DataError: If the file is missing, damaged, of another kind, or holds no map of at least 16 by 16 finite pixels.
    """
    path = Path(path)
    kind = _kind(path)
    if not path.is_file():
        raise DataError(str(path), "a file", "none")
    try:
        if kind == "picture":
            found = [XrayMap(path.stem, _read_picture(path), True, None, None, path)]
        elif kind == "fits":
            found = [_read_fits(path)]
        else:
            found = _read_hdf5(path)
    except DataError:
        raise
    except Exception as error:  # the readers below raise anything on damaged files
        raise DataError(str(path), f"a readable {kind} file", _first_line(error)) from error
    for one in found:
        _demand_map(one)
    return found


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    for kind, known in (("picture", PICTURES), ("fits", FITS), ("HDF5", HDF5)):
        if last in known:
            return kind
    raise DataError(str(path), "a .png, .jpg, .fits or .h5 file", f"'{last}'")


def _read_picture(path: Path) -> np.ndarray:
    """Grey level of each pixel in [0, 1]; a colour-mapped picture by its luminance."""
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        deep = image.mode.startswith(("I", "F"))
        values = np.asarray(image if deep else image.convert("RGB"), dtype=float)
    if deep:
        return np.asarray(values / max(values.max(), 1.0))[::-1]
    return np.asarray(values @ LUMINANCE / 255.0)[::-1]


def _read_fits(path: Path) -> XrayMap:
    """The first image of a FITS file; a header that calls itself SIMPLE = 'T' is taken at its word."""
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
                return XrayMap(path.name.split(".")[0], values, False, pixel, wcs, path)
    raise DataError(str(path), "an image", "none in any extension")


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
        raise DataError(str(path), "a coordinate system (WCS) that can be read", _first_line(error)) from error
    if not wcs.has_celestial:
        return None, None
    if (
        not np.isfinite(scales).all()
        or scales.min() <= 0.0
        or scales.max() > 1.5 * scales.min()
        or scales.max() > 600.0
    ):
        raise DataError(
            str(path), "square pixels of less than 10 arcmin", f"pixels of {scales[0]:.3g} x {scales[1]:.3g} arcsec"
        )
    return float(np.sqrt(scales[0] * scales[1])), wcs


def _read_hdf5(path: Path) -> list[XrayMap]:
    import h5py

    found = []
    with h5py.File(path) as file:
        for name, stored in sorted(file.items()):
            if isinstance(stored, h5py.Dataset) and stored.ndim in (2, 3) and stored.dtype.kind in "uif":
                values = np.asarray(stored[()], dtype=float)
                is_picture = stored.ndim == 3
                if is_picture:
                    if values.shape[2] not in (3, 4):
                        raise DataError(str(path), f"'{name}' of shape (H, W) or (H, W, 3)", f"{values.shape}")
                    values = values[..., :3] @ LUMINANCE / (255.0 if stored.dtype.kind in "ui" else 1.0)
                found.append(XrayMap(name, values, is_picture, None, None, path))
    if not found:
        raise DataError(str(path), "data sets of shape (H, W) or (H, W, 3)", "none")
    return found


def _demand_map(one: XrayMap) -> None:
    where = f"'{one.name}'"
    if one.values.ndim != 2 or min(one.values.shape) < SMALLEST:
        got = f"shape {one.values.shape}"
        raise DataError(str(one.source), f"an image of at least {SMALLEST} x {SMALLEST} pixels", got, where)
    finite = one.values[np.isfinite(one.values)]
    if not finite.size:
        raise DataError(str(one.source), "finite pixels", "only NaN", where)
    if finite.min() == finite.max():
        raise DataError(str(one.source), "an image with structure", f"{finite[0]:g} in every pixel", where)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
