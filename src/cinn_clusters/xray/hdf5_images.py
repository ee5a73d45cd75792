"""Maps from HDF5: a data set a map, an image of three colours, or three projections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import XrayMap, scale_of
from cinn_clusters.xray.pictures import FARTHEST, grey_levels, nearest_map

Planes = Literal["auto", "colour", "projections"]
"""What the last axis of an array (H, W, 3) is; ``auto``: see ``_is_colour``."""
DARKEST = 0.2
"""A picture's brightest channel is at least this, of 1; three projections of a brightness may be
far darker."""


def read_hdf5(path: Path, planes: Planes = "auto") -> list[XrayMap | DataError]:
    """The maps of all groups of a file, and an error for each data set that is none.

    Args:
        path: File with data sets of shape (H, W) or (H, W, 3).
        planes: What the last axis is; three projections are called ``<name>_proj_0`` to ``_2``.

    Raises:
        DataError: If ``planes`` is none of these, or there is no data set of two or three axes.
    """
    import h5py

    if planes not in get_args(Planes):
        raise DataError("planes", ", ".join(get_args(Planes)), f"'{planes}'")
    found: list[XrayMap | DataError] = []
    with h5py.File(path) as file:
        for name, stored in _images(file):
            try:
                found += _maps(name, stored, path, planes)
            except DataError as error:
                found.append(error)
    if not found:
        raise DataError(
            str(path), "data sets of shape (H, W) or (H, W, 3), in groups or not", "none"
        )
    return found


def _images(file: Any) -> Iterator[tuple[str, Any]]:
    """Data sets that may be maps, by path in the file."""
    for name in sorted(_paths(file)):
        stored = file[name]
        if stored.ndim in (2, 3) and stored.dtype.kind in "uif":
            yield name, stored


def _paths(group: Any) -> Iterator[str]:
    """Paths of all data sets below a group."""
    import h5py

    for name, stored in group.items():
        if isinstance(stored, h5py.Group):
            yield from (f"{name}/{inner}" for inner in _paths(stored))
        else:
            yield name


def _maps(name: str, stored: Any, path: Path, planes: Planes) -> list[XrayMap | DataError]:
    where = f"'{name}'"
    if stored.ndim == 3 and stored.shape[2] not in (3, 4):  # said before it is read: it may be huge
        raise DataError(
            str(path), "a data set of shape (H, W) or (H, W, 3)", f"{stored.shape}", where
        )
    scale = scale_of(_unit(stored), path, where)
    values = np.asarray(stored[()], dtype=float)
    if values.ndim == 2:
        return [XrayMap(name, values, scale, None, None, path)]
    is_whole = stored.dtype.kind in "ui"
    if planes == "colour" or (
        planes == "auto" and scale == "brightness" and _is_colour(values, is_whole)
    ):
        try:
            grey = grey_levels(values[..., :3] / _white(values, is_whole))
        except DataError as error:
            hint = (
                ""
                if planes == "colour"
                else "pass --planes projections if these are maps from three sides"
            )
            raise DataError(str(path), error.expected, error.got, where, hint) from error
        return [XrayMap(name, grey, "grey", None, None, path)]
    if planes == "auto":
        _demand_no_colours(values[..., :3], path, where)
    if values.shape[2] != 3:
        raise DataError(str(path), "three projections", f"{values.shape[2]} planes", where)
    return [
        XrayMap(f"{name}_proj_{side}", values[..., side], scale, None, None, path)
        for side in range(3)
    ]


def _demand_no_colours(values: np.ndarray, path: Path, where: str) -> None:
    """Refuse fractions up to 255 that look like the colours of a picture: nothing says which
    they are.
    """
    if (
        np.isfinite(values).any()
        and 128.0 < np.nanmax(values) <= 255.0
        and np.nanmin(values) >= 0.0
    ):
        name, distance = nearest_map(values / 255.0)
        if name != "grey" and distance <= FARTHEST:
            got = f"fractions up to 255 in the colours of '{name}'"
            hint = "pass --planes colour or --planes projections"
            raise DataError(
                str(path),
                "three projections, or colours as whole numbers or in [0, 1]",
                got,
                where,
                hint,
            )


def _unit(stored: Any) -> str:
    """Attribute ``unit`` (or ``units``, ``BUNIT``) of a data set."""
    found = next(
        (stored.attrs[name] for name in ("unit", "units", "BUNIT") if name in stored.attrs), ""
    )
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def _is_colour(values: np.ndarray, is_whole: bool) -> bool:
    """Whether planes are colours: whole numbers in 0..255; fractions in [0, 1] that are not all
    dark.
    """
    if not np.isfinite(values).any():
        return False
    low, high = np.nanmin(values), np.nanmax(values)
    return bool(low >= 0.0 and (high <= 255.0 if is_whole else DARKEST <= high <= 1.0))


def _white(values: np.ndarray, is_whole: bool) -> float:
    """The number that stands for white."""
    return 255.0 if is_whole or np.nanmax(values) > 1.0 else 1.0
