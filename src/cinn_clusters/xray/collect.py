"""From files of any kind to one stack of maps; files that cannot be used are listed, not fatal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cinn_clusters.errors import CinnError, DataError
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.xray.contents import MapFiles, find_files
from cinn_clusters.xray.fits.planes import FileRole, ImageChoice
from cinn_clusters.xray.framing import Companions, Framing, frame_map
from cinn_clusters.xray.hdf5.maps import Planes
from cinn_clusters.xray.image import MapUnit, XrayMap
from cinn_clusters.xray.masks import MaskMeaning
from cinn_clusters.xray.read import read_companion, read_each, usable
from cinn_clusters.xray.values import GAP

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
    files: MapFiles = field(default_factory=MapFiles)
    is_scaled: bool = False  # whether maps are cut at a multiple of R500


FactsOf = Callable[[XrayMap, Framing], tuple[XrayMap, Framing]]
"""From a map and how all are cut to the map under its name and how it is cut."""


def as_it_is(image: XrayMap, framing: Framing) -> tuple[XrayMap, Framing]:
    """Return a map of which nothing more is known."""
    return image, framing


def collect(
    paths: Sequence[str | Path],
    framing: Framing | None = None,
    reading: Reading | None = None,
    *,
    facts_of: FactsOf = as_it_is,
    on_progress: OnProgress = ignore_progress,
) -> Collection:
    """Read, centre, cut and stretch maps.

    Args:
        paths: Files and folders.
        framing: How maps are cut.
        reading: How files are read, and what belongs to them.
        facts_of: What is known of single maps: their names, and how each is cut.
        on_progress: Called after each file.

    Returns:
        The maps, in the order of the files.

    Raises:
        DataError: If no file can be used.
    """
    framing, reading = framing or Framing(), reading or Reading()
    files = find_files(paths, reading.paths())
    stack = _Stack(framing, reading.companions(), facts_of)
    for number, path in enumerate(files.paths, 1):
        for image_or_error in _read_file(path, reading):
            stack.add(image_or_error, path)
        if stack.maps:  # else an error may follow, which stands alone
            on_progress(Progress(number, len(files.paths), "maps"))
    return stack.collection(files)


class _Stack:
    """Maps that are being collected, and what was wrong with others."""

    def __init__(
        self, framing: Framing, companions: Companions, facts_of: FactsOf
    ) -> None:
        self._framing = framing
        self._companions = companions
        self._facts_of = facts_of
        self._sources: dict[str, Path] = {}
        self._scaled: dict[str, bool] = {}
        self._problems: list[str] = []
        self._notes = companions.notes()
        self.maps: dict[str, np.ndarray] = {}

    def add(self, image_or_error: XrayMap | CinnError, path: Path) -> None:
        """Frame a map, or list why it cannot be used."""
        try:
            image, framing = self._facts_of(usable(image_or_error), self._framing)
            demand_new_name(image.name, path, self._sources, _RENAME)
            framed = frame_map(image, framing, self._companions)
        except CinnError as error:
            notes = getattr(image_or_error, "notes", ())
            gaps = [note for note in notes if note.endswith(GAP)]
            self._problems.append("; ".join([_line(error, path), *gaps]))
            return
        self.maps[image.name] = framed.values
        self._scaled[image.name] = framed.is_scaled
        self._sources[image.name] = path
        self._notes += framed.notes

    def collection(self, files: MapFiles) -> Collection:
        """Return the maps.

        Raises:
            DataError: If there is none.
        """
        if not self.maps:
            first, *further = self._problems
            more = f" (and {len(further)} more)" * bool(further)
            expected = "at least one that can be read"
            raise DataError("maps", expected, f"none: {first}{more}")
        is_scaled = self._keep_one_scale()
        values = np.stack([*self.maps.values()])
        problems, notes = tuple(self._problems), tuple(self._notes)
        return Collection(tuple(self.maps), values, problems, notes, files, is_scaled)

    def _keep_one_scale(self) -> bool:
        """Return whether maps are cut at a multiple of R500; list those that alone are not."""
        if not any(self._scaled.values()):
            return False
        for name, is_scaled in self._scaled.items():
            if not is_scaled:
                del self.maps[name]
                expected = "an R500, as other maps have"
                error = DataError(self._sources[name], expected, "none", f"'{name}'")
                self._problems.append(str(error))
        return True


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


def _read_companion(path: Path | None, role: FileRole) -> XrayMap | None:
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
