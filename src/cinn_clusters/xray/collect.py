"""Files of any kind to one stack of maps; a file that cannot be used is told and left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinn_clusters.errors import CinnError, DataError
from cinn_clusters.xray.framing import Companions, Framing, framed
from cinn_clusters.xray.hdf5_images import Planes
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.read import kind_of, read_companion, read_each


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
        inside = (
            [one for one in path.rglob("*") if kind_of(one) and one.is_file()]
            if path.is_dir()
            else [path]
        )
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
    mask: str | Path | None = None,
    keep_sources: bool = False,
    planes: Planes = "auto",
    on_file: Callable[[int, int], None] | None = None,
) -> Collected:
    """Read, centre, cut and stretch maps.

    Args:
        paths: Files and folders.
        framing: How maps are cut.
        exposure: Exposure map of all files, which are counts then; point sources and gaps are
            filled.
        background: Background map, with ``exposure``.
        mask: Map of the pixels of all files that are filled from their surroundings: those that are
            not 0.
        keep_sources: Whether point sources in counts stay.
        planes: What the last axis of HDF5 data sets (H, W, 3) is, see ``read_maps``.
        on_file: Called with files done and all files.

    Returns:
        The maps, in the order of the files.

    Raises:
        DataError: If no file can be used.
    """
    framing = framing or Framing()
    companions = Companions(
        _optional(exposure), _optional(background), _optional(mask), keep_sources
    )
    files, problems, notes = find_files(paths), list[str](), companions.notes()
    maps: dict[str, tuple[Path, np.ndarray]] = {}
    for number, path in enumerate(files):
        for one in _each(path, planes):
            try:
                if isinstance(one, CinnError):
                    raise one
                if one.name in maps:
                    raise _twice(one, maps[one.name][0])
                maps[one.name] = one.source, framed(one, framing, companions)
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


def _optional(path: str | Path | None) -> XrayMap | None:
    return None if path is None else read_companion(path)


def _each(path: Path, planes: Planes) -> Sequence[XrayMap | CinnError]:
    """Maps of a file, and errors in the place of others."""
    try:
        return read_each(path, planes)
    except CinnError as error:
        return [error]


def _twice(one: XrayMap, first: Path) -> DataError:
    hint = "rename it, or write a store of its own"
    return DataError(
        str(one.source),
        "a name of its own for each map",
        f"'{one.name}' again",
        f"first {first}",
        hint,
    )
