"""Maps from the files they come in: pictures, FITS, HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.fits_images import first_line, read_fits
from cinn_clusters.xray.image import XrayMap, demand_map
from cinn_clusters.xray.pictures import grey_levels, read_picture

PICTURES = {".png", ".jpg", ".jpeg"}
FITS = {".fits", ".fit", ".fts"}
HDF5 = {".h5", ".hdf5"}


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
            found = [XrayMap(path.stem, read_picture(path), "grey", None, None, path)]
        elif kind == "fits":
            found = [read_fits(path, path.name.split(".")[0])]
        else:
            found = _read_hdf5(path)
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(str(path), error.expected, error.got, error.where, error.hint) from error
    except Exception as error:  # the readers below raise anything on damaged files
        raise DataError(str(path), f"a readable {kind} file", first_line(error)) from error
    for one in found:
        demand_map(one)
    return found


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    for kind, known in (("picture", PICTURES), ("fits", FITS), ("HDF5", HDF5)):
        if last in known:
            return kind
    raise DataError(str(path), "a .png, .jpg, .fits or .h5 file", f"'{last}'")


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
                    values = grey_levels(values[..., :3] / (255.0 if stored.dtype.kind in "ui" else 1.0))
                found.append(XrayMap(name, values, "grey" if is_picture else "brightness", None, None, path))
    if not found:
        raise DataError(str(path), "data sets of shape (H, W) or (H, W, 3)", "none")
    return found
