"""From files of any kind to one stack of maps; files that cannot be used are listed, not fatal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinn_clusters.errors import CinnError, DataError
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.xray.contents import MapFiles, find_files
from cinn_clusters.xray.fits.planes import ImageChoice, Role
from cinn_clusters.xray.framing import Companions, Framing, frame_map
from cinn_clusters.xray.hdf5_images import Planes
from cinn_clusters.xray.image import MapUnit, XrayMap
from cinn_clusters.xray.masks import MaskMeaning
from cinn_clusters.xray.read import read_companion, read_each, usable

_RENAME = "rename it, or write a store of its own"


@dataclass(frozen=True)
class Reading:
    """How files of maps are read.

    Args:
        exposure: Exposure map of all files, which are counts then; point sources and gaps are
            filled.
        background: Background map, with ``exposure``.
        mask: Map of the pixels of all files that are filled from their surroundings: those that are
            not 0, or NaN.
        keep_sources: Whether point sources in counts stay.
        planes: What the last axis of HDF5 data sets (H, W, 3) is, see ``read_maps``.
        hdu: Number or name of the image in FITS files of several.
        unit: What values are; without it each file says so (BUNIT, or the attribute ``unit``).
        mask_meaning: What pixels of the mask that are not 0 are; None takes them as bad, and asks
            where that leaves out the brightest region or most of a map.
    """

    exposure: Path | None = None
    background: Path | None = None
    mask: Path | None = None
    keep_sources: bool = False
    planes: Planes = "auto"
    hdu: str | None = None
    unit: MapUnit | None = None
    mask_meaning: MaskMeaning | None = None

    def paths(self) -> tuple[Path, ...]:
        """Return the files that belong to all maps."""
        files = (self.exposure, self.background, self.mask)
        return tuple(path for path in files if path is not None)

    def companions(self) -> Companions:
        """Read the maps that belong to all files."""
        return Companions(
            _read_companion(self.exposure, "exposure"),
            _read_companion(self.background, "background"),
            _read_companion(self.mask, "mask"),
            self.keep_sources,
            self.mask_meaning,
        )


@dataclass(frozen=True, eq=False)
class Collection:
    """Maps that could be used and files that could not.

    Notes are on files that are malformed and were read all the same.
    """

    names: tuple[str, ...]
    values: np.ndarray  # log10 brightness, or as stretched, (N, size, size)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: MapFiles = MapFiles()


def collect(
    paths: Sequence[str | Path],
    framing: Framing | None = None,
    reading: Reading | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Collection:
    """Read, centre, cut and stretch maps.

    Args:
        paths: Files and folders.
        framing: How maps are cut.
        reading: How files are read, and what belongs to them.
        on_progress: Called after each file.

    Returns:
        The maps, in the order of the files.

    Raises:
        DataError: If no file can be used.
    """
    framing, reading = framing or Framing(), reading or Reading()
    companions = reading.companions()
    notes, problems = companions.notes(), list[str]()
    maps: dict[str, np.ndarray] = {}
    sources: dict[str, Path] = {}
    files = find_files(paths, reading.paths())
    for number, path in enumerate(files.paths, 1):
        for image_or_error in _read_file(path, reading):
            try:
                image = usable(image_or_error)
                demand_new_name(image.name, path, sources, _RENAME)
                framed = frame_map(image, framing, companions)
                maps[image.name] = framed.values
                sources[image.name] = path
                notes += framed.notes
            except CinnError as error:
                problems.append(_line(error, path))
        if maps:  # else an error may follow, which stands alone
            on_progress(Progress(number, len(files.paths), "maps"))
    if not maps:
        first, *further = problems
        more = f" (and {len(further)} more)" * bool(further)
        raise DataError("maps", "at least one that can be read", f"none: {first}{more}")
    return Collection(
        tuple(maps), np.stack([*maps.values()]), tuple(problems), tuple(notes), files
    )


def demand_new_name(
    name: str, path: Path, sources: Mapping[str, Path], hint: str = ""
) -> None:
    """Refuse a map with the name of one of another source.

    Raises:
        DataError: If ``sources`` has the name.
    """
    if name in sources:
        first = f"first {sources[name]}"
        raise DataError(
            path, "a name of its own for each map", f"'{name}' again", first, hint
        )


def _read_companion(path: Path | None, role: Role) -> XrayMap | None:
    return None if path is None else read_companion(path, role)


def _read_file(path: Path, reading: Reading) -> Sequence[XrayMap | CinnError]:
    """Read the maps of a file, with errors in the place of those that cannot be used."""
    try:
        choice = ImageChoice(hdu=reading.hdu, unit=reading.unit)
        return read_each(path, reading.planes, choice)
    except CinnError as error:
        return [error]


def _line(error: CinnError, path: Path) -> str:
    """Return an error in a line that names its file."""
    line = str(error)
    if str(path) in line:
        return line
    return f"{path}: {line}"
