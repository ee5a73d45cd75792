"""Maps from the files they come in: pictures, FITS, HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.fits_images import first_line, read_fits
from cinn_clusters.xray.image import XrayMap, demand_map

PICTURES = {".png", ".jpg", ".jpeg"}
FITS = {".fits", ".fit", ".fts"}
HDF5 = {".h5", ".hdf5"}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of red, green and blue (ITU-R BT.709); rises monotonically along inferno, magma, viridis and grey."""


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
            found = [XrayMap(path.stem, _read_picture(path), "grey", None, None, path)]
        elif kind == "fits":
            found = [read_fits(path, path.name.split(".")[0])]
        else:
            found = _read_hdf5(path)
    except DataError:
        raise
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
                found.append(XrayMap(name, values, "grey" if is_picture else "brightness", None, None, path))
    if not found:
        raise DataError(str(path), "data sets of shape (H, W) or (H, W, 3)", "none")
    return found
