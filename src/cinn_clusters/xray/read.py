"""Maps from the files they come in: pictures, FITS, HDF5."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.fits_images import read_fits
from cinn_clusters.xray.hdf5_images import Planes, read_hdf5
from cinn_clusters.xray.headers import told
from cinn_clusters.xray.image import XrayMap, demand_map
from cinn_clusters.xray.pictures import read_picture

KINDS = {
    "picture": (".png", ".jpg", ".jpeg"),
    "fits": (".fits", ".fit", ".fts"),
    "HDF5": (".h5", ".hdf5"),
}
SUFFIX = re.compile(r"\.(png|jpe?g|fits|fit|fts|h5|hdf5)(\.gz)?$", re.IGNORECASE)


def read_maps(path: str | Path, planes: Planes = "auto") -> list[XrayMap]:
    """Read all maps of a file.

    Args:
        path: ``.png``, ``.jpg``, ``.fits`` (compressed or not), or ``.h5`` with a data set a map
            (``Halo_{id}`` of shape (H, W) or (H, W, 3), in groups or not).
        planes: What the last axis of (H, W, 3) in HDF5 is: ``colour``, ``projections``, or ``auto``
            to tell from the values.

    Returns:
        The maps: one, but for HDF5.

    Raises:
        DataError: If the file is missing, damaged, of another kind, or one of its maps cannot be
            used.
    """
    found = []
    for one in read_each(path, planes):
        if isinstance(one, DataError):
            raise one
        found.append(one)
    return found


def read_companion(path: str | Path) -> XrayMap:
    """Read an exposure, a background or a mask: the first image of a file, which may be the same everywhere.

    Raises:
        DataError: As ``read_maps``.
    """
    one = read_each(path, may_be_flat=True)[0]
    if isinstance(one, DataError):
        raise one
    return one


def read_each(
    path: str | Path, planes: Planes = "auto", *, may_be_flat: bool = False
) -> list[XrayMap | DataError]:
    """Read a file as ``read_maps`` does, with an error in the place of each map that cannot be used.

    Args:
        path: As for ``read_maps``.
        planes: As for ``read_maps``.
        may_be_flat: Whether a map may be the same everywhere.

    Returns:
        Maps and errors, in the order of the file.

    Raises:
        DataError: If the file is missing, damaged or of another kind.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind is None:
        raise DataError(str(path), "a .png, .jpg, .fits or .h5 file", f"'{path.suffix}'")
    if not path.is_file():
        raise DataError(str(path), "a file", "none")
    try:
        return [_checked(one, may_be_flat) for one in _read(path, kind, planes)]
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(str(path), error.expected, error.got, error.where, error.hint) from error
    except Exception as error:  # the readers below raise anything on damaged files
        raise DataError(str(path), f"a readable {kind} file", told(error)) from error


def kind_of(path: Path) -> str | None:
    """``picture``, ``fits``, ``HDF5``, or None, by the end of the name in either case."""
    match = SUFFIX.search(path.name)
    if match is None or (match[2] and match[1].lower() not in ("fits", "fit", "fts")):
        return None
    return next(kind for kind, known in KINDS.items() if f".{match[1].lower()}" in known)


def _read(path: Path, kind: str, planes: Planes) -> list[XrayMap | DataError]:
    name = SUFFIX.sub("", path.name)
    if kind == "picture":
        return [XrayMap(name, read_picture(path), "grey", None, None, path)]
    if kind == "fits":
        return [read_fits(path, name)]
    return read_hdf5(path, planes)


def _checked(one: XrayMap | DataError, may_be_flat: bool) -> XrayMap | DataError:
    """A map with NaN for all that is not finite, or what is wrong with it."""
    if isinstance(one, DataError):
        return one
    one = replace(one, values=np.where(np.isfinite(one.values), one.values, np.nan))
    try:
        demand_map(one, may_be_flat=may_be_flat)
    except DataError as error:
        return error
    return one
