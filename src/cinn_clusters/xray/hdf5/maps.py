"""Maps from HDF5: each data set is a map, a picture of three colours, or three projections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.fits.headers import line_of
from cinn_clusters.xray.fits.planes import FileRole, names_of_role
from cinn_clusters.xray.hdf5.haloes import Haloes, read_haloes
from cinn_clusters.xray.hdf5.links import map_links
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.pictures.colours import MAX_DISTANCE, grey_levels, nearest_map
from cinn_clusters.xray.values import is_logarithm

Planes = Literal["auto", "colour", "projections"]
"""What the last axis of an array (H, W, 3) is; ``auto``: see ``_is_colour``."""
_UNITS = ("unit", "units", "bunit", "scale", "scaling")
_FLAGS = ("log", "log10", "is_log", "is_log10", "logged")
"""Attributes that are true of logarithms."""
_ABSENT = ("_FillValue", "missing_value", "no_data", "nodata")
"""Attributes with the value of pixels that were not observed."""
_FACTOR, _OFFSET = "scale_factor", "add_offset"
"""Attributes of packed values, in netCDF and by its conventions (CF)."""
_DARKEST = 0.2
"""A picture's brightest channel is at least this, of 1; three projections of a brightness may be
far darker."""


@dataclass(frozen=True)
class _Source:
    """A file that is being read, and what it says of its haloes."""

    path: Path
    planes: Planes
    haloes: Haloes

    def map(
        self, name: str, values: np.ndarray, unit: str, projection: int | None = None
    ) -> XrayMap:
        """Return a map of a data set, called by its halo and snapshot where both are known."""
        title = name if projection is None else f"{name}_proj_{projection}"
        title = self.haloes.map_name(name, projection or 0) or title
        radius = self.haloes.radii.get(name)
        return XrayMap(title, values, "brightness", self.path, unit=unit, radius=radius)


def read_hdf5(
    path: Path, planes: Planes = "auto", role: FileRole = "map"
) -> list[XrayMap | DataError]:
    """Read the maps of all groups of a file, with an error for each link that leads to none.

    Data sets have the shape (H, W) or (H, W, 3); ``planes`` says what the last axis is. Three
    projections are called ``<name>_proj_0`` to ``_2``. Data sets that are by their names exposures,
    masks or errors beside maps are none; ``role`` says which of them is wanted.

    Raises:
        DataError: If ``planes`` is unknown, or there is no data set of two or three axes.
    """
    import h5py

    if planes not in get_args(Planes):
        raise DataError("planes", ", ".join(get_args(Planes)), f"'{planes}'")
    images: list[XrayMap | DataError] = []
    with h5py.File(path) as file:
        names, errors = map_links(file, path)
        chosen = names_of_role(names, role)
        passed_over = [name for name in names if name not in chosen]
        if role == "map":
            errors += [_companion_error(name, path) for name in passed_over]
        names = chosen
        haloes = read_haloes(file, path, names)
        source = _Source(path, planes, haloes)
        for name in names:
            images += _read_data_set(file[name], name, source)
    images = _with_notes(images, haloes.notes)
    if not images and not errors:
        expected = "data sets of shape (H, W) or (H, W, 3), in groups or not"
        raise DataError(path, expected, "none")
    return [*images, *errors]


def _companion_error(name: str, path: Path) -> DataError:
    got = "an exposure, background, mask or error, by its name"
    hint = "rename it if it is a map"
    return DataError(path, "a map", got, f"'{name}'", hint)


def _with_notes(
    images: list[XrayMap | DataError], notes: tuple[str, ...]
) -> list[XrayMap | DataError]:
    """Put the notes on a file to its first map."""
    for number, image in enumerate(images):
        if isinstance(image, XrayMap):
            images[number] = replace(image, notes=(*notes, *image.notes))
            break
    return images


def _read_data_set(
    stored: Any, name: str, source: _Source
) -> Sequence[XrayMap | DataError]:
    """Read the maps of one data set, or what is wrong with it."""
    try:
        unit = _unit(stored)
        is_log = _is_log(unit, name, source.path)
        values = _values(stored, name, source.path)
        images = _maps(values, stored.dtype.kind in "ui", name, unit, is_log, source)
    except DataError as error:
        return [error]
    if stored.dtype != np.float16 or images[0].is_picture:
        return images
    note = f"{source.path}: '{name}' is stored as float16, {_steps(values)}"
    return [replace(image, notes=(*image.notes, note)) for image in images]


def _values(stored: Any, name: str, path: Path) -> np.ndarray:
    """Return the values of a data set, NaN where they are those of absence.

    Raises:
        DataError: If it is damaged, or in a compression that is not installed.
    """
    try:
        values = np.asarray(stored[()], dtype=float)
    except (OSError, RuntimeError, ValueError) as error:
        got = line_of(error)
        raise DataError(path, "a readable data set", got, f"'{name}'") from error
    for attribute in _ABSENT:
        for mark in np.ravel(stored.attrs.get(attribute, ())):
            values[values == mark] = np.nan
    return _unpacked(values, stored)


def _unpacked(values: np.ndarray, stored: Any) -> np.ndarray:
    """Return the values that packed ones stand for, by attributes of netCDF."""
    factor, offset = stored.attrs.get(_FACTOR, 1.0), stored.attrs.get(_OFFSET, 0.0)
    return np.asarray(values * np.ravel(factor)[0] + np.ravel(offset)[0])


def _steps(values: np.ndarray) -> str:
    """Say how coarse the numbers of a data set of float16 are."""
    largest = np.nanmax(np.abs(values))
    step = np.spacing(np.float16(largest))
    return f"in steps of {step:.2g} at {largest:.4g}"


def _maps(
    values: np.ndarray,
    is_whole: bool,
    name: str,
    unit: str,
    is_log: bool,
    source: _Source,
) -> list[XrayMap]:
    """Return the maps of an array (H, W) or (H, W, 3)."""
    path, planes = source.path, source.planes
    if values.ndim == 2:
        return [source.map(name, values, unit)]
    if planes == "auto":
        if not is_log and _is_colour(values, is_whole):
            hint = "pass --planes projections if these are maps from three sides"
            return [_picture(values, is_whole, name, path, hint)]
        _demand_no_colours(values[..., :3], path, f"'{name}'")
    if planes == "colour":
        return [_picture(values, is_whole, name, path)]
    if values.shape[2] != 3:
        got = f"{values.shape[2]} planes"
        raise DataError(path, "three projections", got, f"'{name}'")
    projections = enumerate(np.moveaxis(values, 2, 0))
    return [source.map(name, image, unit, axis) for axis, image in projections]


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
    """Return the unit that a data set, or a group around it, says: ``unit``, ``BUNIT``, ``scale``."""
    for item in (stored, stored.parent, stored.file):
        attributes = {name.lower(): item.attrs[name] for name in item.attrs}
        for name in _UNITS:
            unit = _text(attributes.get(name, ""))
            if unit:
                return unit
        for name in _FLAGS:
            if np.any(attributes.get(name, False)):
                return "log10"
    return ""


def _text(value: Any) -> str:
    """Return an attribute as text."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip() if isinstance(value, str) else ""


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
