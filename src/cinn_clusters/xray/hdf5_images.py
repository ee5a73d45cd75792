"""Maps from HDF5: each data set is a map, a picture of three colours, or three projections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.pictures.colours import MAX_DISTANCE, grey_levels, nearest_map
from cinn_clusters.xray.values import is_logarithm

Planes = Literal["auto", "colour", "projections"]
"""What the last axis of an array (H, W, 3) is; ``auto``: see ``_is_colour``."""
_DARKEST = 0.2
"""A picture's brightest channel is at least this, of 1; three projections of a brightness may be
far darker."""


def read_hdf5(path: Path, planes: Planes = "auto") -> list[XrayMap | DataError]:
    """Read the maps of all groups of a file, with an error for each data set that is none.

    Data sets have the shape (H, W) or (H, W, 3); ``planes`` says what the last axis is. Three
    projections are called ``<name>_proj_0`` to ``_2``.

    Raises:
        DataError: If ``planes`` is unknown, or there is no data set of two or three axes.
    """
    import h5py

    if planes not in get_args(Planes):
        raise DataError("planes", ", ".join(get_args(Planes)), f"'{planes}'")
    images: list[XrayMap | DataError] = []
    with h5py.File(path) as file:
        for name in sorted(_data_sets(file)):
            try:
                images += _read_data_set(file[name], name, path, planes)
            except DataError as error:
                images.append(error)
    if not images:
        expected = "data sets of shape (H, W) or (H, W, 3), in groups or not"
        raise DataError(path, expected, "none")
    return images


def _data_sets(group: Any, prefix: str = "") -> Iterator[str]:
    """Yield the paths of the arrays of numbers with two or three axes in a group and below."""
    import h5py

    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield from _data_sets(item, f"{prefix}{name}/")
        elif item.ndim in (2, 3) and item.dtype.kind in "uif":
            yield f"{prefix}{name}"


def _read_data_set(stored: Any, name: str, path: Path, planes: Planes) -> list[XrayMap]:
    """Read the maps of one data set."""
    data_set = f"'{name}'"
    num_planes = stored.shape[2] if stored.ndim == 3 else 3
    if num_planes not in (3, 4):  # refused before it is read: it may be huge
        expected = "a data set of shape (H, W) or (H, W, 3)"
        raise DataError(path, expected, stored.shape, data_set)
    unit = _unit(stored)
    is_log = _is_log(unit, name, path)
    values = np.asarray(stored[()], dtype=float)
    if values.ndim == 2:
        return [XrayMap(name, values, "brightness", path, unit=unit)]
    is_whole = stored.dtype.kind in "ui"
    if planes == "auto":
        if not is_log and _is_colour(values, is_whole):
            hint = "pass --planes projections if these are maps from three sides"
            return [_picture(values, is_whole, name, path, hint)]
        _demand_no_colours(values[..., :3], path, data_set)
    if planes == "colour":
        return [_picture(values, is_whole, name, path)]
    if num_planes != 3:
        raise DataError(path, "three projections", f"{num_planes} planes", data_set)
    projections = enumerate(np.moveaxis(values, 2, 0))
    return [
        XrayMap(f"{name}_proj_{axis}", image, "brightness", path, unit=unit)
        for axis, image in projections
    ]


def _is_log(unit: str, name: str, path: Path) -> bool:
    try:
        return is_logarithm(unit, name)
    except DataError as error:
        place = f"'{name}'"
        raise DataError(path, error.expected, error.got, place, error.hint) from error


def _picture(
    values: np.ndarray, is_whole: bool, name: str, path: Path, hint: str = ""
) -> XrayMap:
    """Return a picture of colours (H, W, 3 or 4) as a map of grey levels."""
    white = 255.0 if is_whole or np.nanmax(values) > 1.0 else 1.0
    try:
        grey = grey_levels(values[..., :3] / white)
    except DataError as error:
        raise DataError(path, error.expected, error.got, f"'{name}'", hint) from error
    return XrayMap(name, grey, "grey", path)


def _demand_no_colours(values: np.ndarray, path: Path, data_set: str) -> None:
    """Refuse fractions up to 255 (H, W, 3) that look like colours: nothing says which they are."""
    if not np.isfinite(values).any() or np.nanmin(values) < 0.0:
        return
    if not 128.0 < np.nanmax(values) <= 255.0:
        return
    name, distance = nearest_map(values / 255.0)
    if name != "grey" and distance <= MAX_DISTANCE:
        expected = "three projections, or colours as whole numbers or in [0, 1]"
        got = f"fractions up to 255 in the colours of '{name}'"
        hint = "pass --planes colour or --planes projections"
        raise DataError(path, expected, got, data_set, hint)


def _unit(stored: Any) -> str:
    """Return the attribute ``unit`` (or ``units``, ``BUNIT``) of a data set."""
    units = [
        stored.attrs[name]
        for name in ("unit", "units", "BUNIT")
        if name in stored.attrs
    ]
    unit = [*units, ""][0]
    if isinstance(unit, bytes):
        return unit.decode("utf-8", "replace")
    return str(unit)


def _is_colour(values: np.ndarray, is_whole: bool) -> bool:
    """Return whether planes are colours.

    These are whole numbers in 0..255, or fractions in [0, 1] that are not all dark.
    """
    if not np.isfinite(values).any() or np.nanmin(values) < 0.0:
        return False
    brightest = np.nanmax(values)
    if is_whole:
        return bool(brightest <= 255.0)
    return bool(_DARKEST <= brightest <= 1.0)
