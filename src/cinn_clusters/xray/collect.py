"""Files of any kind to one stack of maps; a file that cannot be used is told and left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cinn_clusters.errors import CinnError, DataError
from cinn_clusters.xray.frame import Centring, find_centre, frame, radius_in_pixels
from cinn_clusters.xray.hdf5_images import Planes
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.rate import count_rate, fill_holes
from cinn_clusters.xray.read import kind_of, read_companion, read_each
from cinn_clusters.xray.stretch import log_brightness

PICTURE_DEPTH = 3.3
"""Decades of brightness from black to white in a picture of a map; its true stretch is not told."""


@dataclass(frozen=True)
class Framing:
    """How maps are cut.

    Args:
        size: Pixels a side.
        half_width: Half the side of the square [R500]; without a scale the whole map is taken.
        centre: ``peak``, ``centroid``, ``middle``, or right ascension and declination [deg].
        radius_kpc: R500 [physical kpc], or None.
        redshift: z, or None.
    """

    size: int = 128
    half_width: float = 1.5
    centre: Centring | tuple[float, float] = "peak"
    radius_kpc: float | None = None
    redshift: float | None = None


@dataclass(frozen=True)
class Collected:
    """Maps that could be used and files that could not.

    Args:
        names: One a map, (N,).
        values: log10 brightness, (N, size, size).
        problems: A line for each file or map that was left out.
        notes: A line for each file that is malformed and was read all the same.
    """

    names: tuple[str, ...]
    values: np.ndarray
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def find_files(paths: Sequence[str | Path]) -> list[Path]:
    """Files among paths; folders give the maps in them and below, sorted.

    Raises:
        DataError: If a path does not exist or there is no map.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(str(path), "a file or folder of X-ray maps", "nothing")
        inside = [one for one in path.rglob("*") if kind_of(one) and one.is_file()] if path.is_dir() else [path]
        found += sorted(inside)
    if not found:
        raise DataError(", ".join(map(str, paths)), "files of X-ray maps", "none")
    return found


def collect(
    paths: Sequence[str | Path],
    framing: Framing | None = None,
    *,
    exposure: str | Path | None = None,
    background: str | Path | None = None,
    planes: Planes = "auto",
    on_file: Callable[[int, int], None] | None = None,
) -> Collected:
    """Read, centre, cut and stretch maps.

    Args:
        paths: Files and folders.
        framing: How maps are cut.
        exposure: Exposure map of all files, which are counts then; point sources and gaps are filled.
        background: Background map, with ``exposure``.
        planes: What the last axis of HDF5 data sets (H, W, 3) is, see ``read_maps``.
        on_file: Called with files done and all files.

    Returns:
        The maps, in the order of the files.

    Raises:
        DataError: If no file can be used.
    """
    framing = framing or Framing()
    files, problems, notes = find_files(paths), [], []
    maps: dict[str, tuple[Path, np.ndarray]] = {}
    for number, path in enumerate(files):
        for one in _each(path, planes):
            try:
                if isinstance(one, CinnError):
                    raise one
                if one.name in maps:
                    raise _twice(one, maps[one.name][0])
                maps[one.name] = one.source, _framed(one, framing, exposure, background)
                notes += one.notes
            except CinnError as error:
                problems.append(str(error) if str(path) in str(error) else f"{path}: {error}")
        if on_file is not None:
            on_file(number + 1, len(files))
    if not maps:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DataError("maps", "at least one that can be read", f"none: {problems[0]}{more}")
    values = np.stack([values for _, values in maps.values()])
    return Collected(tuple(maps), values, tuple(problems), tuple(notes))


def _each(path: Path, planes: Planes) -> Sequence[XrayMap | CinnError]:
    """Maps of a file, and errors in the place of others."""
    try:
        return read_each(path, planes)
    except CinnError as error:
        return [error]


def _twice(one: XrayMap, first: Path) -> DataError:
    hint = "rename it, or write a store of its own"
    return DataError(str(one.source), "a name of its own for each map", f"'{one.name}' again", f"first {first}", hint)


def _framed(one: XrayMap, framing: Framing, exposure: str | Path | None, background: str | Path | None) -> np.ndarray:
    least = 0.0
    scale, one = one.scale, _linear(one)
    if exposure is not None:
        if scale != "brightness":
            got = "a picture" if scale == "grey" else "their logarithm (BUNIT)"
            raise DataError(str(one.source), "counts, since an exposure was given", got)
        sky = None if background is None else read_companion(background)
        rate, least = count_rate(one, read_companion(exposure), sky)
        one = XrayMap(one.name, rate, "brightness", one.pixel_arcsec, one.wcs, one.source)
    centre = _centre(one, framing)
    half_side = _half_side(one, framing)
    filled = fill_holes(frame(one.values, centre, half_side, framing.size))
    if one.is_picture:
        return (filled - 1.0) * PICTURE_DEPTH
    return log_brightness(filled, least=least * min((framing.size / (2.0 * half_side)) ** 2, 1.0))


def _linear(one: XrayMap) -> XrayMap:
    """The brightness of a map that is stored as its log10."""
    if one.scale != "log10":
        return one
    with np.errstate(over="ignore"):
        return replace(one, values=10.0**one.values, scale="brightness")


def _centre(one: XrayMap, framing: Framing) -> tuple[float, float]:
    if isinstance(framing.centre, str):
        return find_centre(one.values, framing.centre)
    if one.wcs is None:
        raise DataError(str(one.source), "coordinates (WCS), since a centre on the sky was given", "none")
    column, row = one.wcs.world_to_pixel_values(*framing.centre)
    if not (0 <= row < one.values.shape[0] and 0 <= column < one.values.shape[1]):
        raise DataError(str(one.source), "the centre on the map", f"pixel ({column:.0f}, {row:.0f})")
    return float(row), float(column)


def _half_side(one: XrayMap, framing: Framing) -> float:
    """Half the side of the frame [px]: a multiple of R500 where the scale is known, else all of the map."""
    if framing.radius_kpc is None or framing.redshift is None:
        return float(min(one.values.shape)) / 2
    if one.pixel_arcsec is None:
        raise DataError(str(one.source), "the size of its pixels, since R500 was given", "no coordinates (WCS)")
    return float(framing.half_width) * radius_in_pixels(framing.radius_kpc, framing.redshift, one.pixel_arcsec)
