"""Real maps from files of any kind into a store; several stores into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cinn_clusters.claims import reserving
from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.maps.map_rows import MapRow, read_map_rows, row_of
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.storage.map_store import (
    StoreFacts,
    is_store,
    read_stored,
    store_writer,
)
from cinn_clusters.xray.collect import Collection, Reading, collect, demand_new_name
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.image import XrayMap

Rows = dict[str, MapRow]
_SOURCE = "cinn-clusters maps"
_UNITS = {"log": "log10, relative", "asinh": "asinh in [0, 1], relative"}


@reserving()
def store_files(
    paths: Sequence[str | Path],
    destination: Destination,
    framing: Framing | None = None,
    reading: Reading | None = None,
    *,
    names: str | Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Collection:
    """Read maps from files and write a store of them; join files that are stores already.

    Args:
        paths: Files and folders; or stores of this function, see ``merge_stores``.
        destination: HDF5 file to make; half a side is 0 R500 in it where R500 was not given.
        framing: How maps are cut.
        reading: How files are read, and what belongs to them.
        names: Table that says of each map whose it is, see ``read_map_rows``.
        on_progress: Called after each file.

    Returns:
        The maps that could be read, and a line for each file that could not.

    Raises:
        DataError: If no file can be used, or stores are to be read in another way than they are.
        OutputError: If the file is there or cannot be written.
    """
    framing, reading = framing or Framing(), reading or Reading()
    if any(is_store(path) for path in paths):
        if (framing, reading) != (Framing(), Reading()):
            expected = "stores alone, put together as they are"
            raise DataError("maps", expected, "options that read or cut maps")
        return merge_stores(paths, destination, names)
    destination.demand_free()
    table = _Table.read(names)
    collection = collect(
        paths, framing, reading, facts_of=table.facts, on_progress=on_progress
    )
    notes = (*collection.notes, *table.notes())
    collection = replace(collection, notes=notes)
    half_width = framing.half_width if collection.is_scaled else 0.0
    facts = StoreFacts(_SOURCE, half_width, framing.stretch, _UNITS[framing.stretch])
    _write(destination.path, collection, facts)
    return collection


class _Table:
    """A table of maps, and which of its rows were used."""

    def __init__(self, path: str | Path = "", rows: Rows | None = None) -> None:
        self._path = path
        self._rows = rows
        self._used: set[str] = set()
        self._unnamed: list[str] = []

    @classmethod
    def read(cls, path: str | Path | None) -> _Table:
        """Read a table, or make one that says nothing."""
        return cls() if path is None else cls(path, read_map_rows(path))

    def row(self, *names: str) -> MapRow:
        """Return the row of a map that has any of some names; one that says nothing without it."""
        match = row_of(self._rows or {}, *names)
        if match is None:
            self._unnamed.append(names[0])
            return MapRow()
        name, row = match
        self._used.add(name)
        return row

    def title(self, name: str) -> str:
        """Return how a map is called from now on."""
        return self.row(name).name or name

    def facts(self, image: XrayMap, framing: Framing) -> tuple[XrayMap, Framing]:
        """Return a map under the name in the table, and how it is cut."""
        row = self.row(image.name, image.source.name, str(image.source))
        _demand_no_other(framing, row, image)
        framing = replace(
            framing,
            redshift=row.redshift or framing.redshift,
            radius_kpc=row.radius_kpc or framing.radius_kpc,
        )
        radius = image.radius if row.radius_kpc is None else None
        name = row.name or image.name
        return replace(image, name=name, radius=radius), framing

    def notes(self) -> Iterator[str]:
        """Say which rows have no map and which maps no row."""
        if self._rows is None:
            return
        unused = [name for name in self._rows if name not in self._used]
        for names, fact in (
            (unused, "rows without a map"),
            (self._unnamed, "maps without a row"),
        ):
            if names:
                yield f"{self._path}: {len(names)} {fact}, first '{names[0]}'"


def _demand_no_other(framing: Framing, row: MapRow, image: XrayMap) -> None:
    """Refuse a redshift or R500 of the user beside another in the table."""
    pairs = {
        "--redshift": (framing.redshift, row.redshift),
        "--radius": (framing.radius_kpc, row.radius_kpc),
    }
    for option, (of_all, of_map) in pairs.items():
        if None not in (of_all, of_map) and of_all != of_map:
            expected = f"{option} of the table ({of_map:g})"
            hint = f"leave {option} out"
            place = f"'{image.name}'"
            raise DataError(image.source, expected, f"{of_all:g}", place, hint)


@reserving()
def merge_stores(
    paths: Sequence[str | Path],
    destination: Destination,
    names: str | Path | None = None,
) -> Collection:
    """Write the maps of several stores of ``store_files``, alike in size, frame and stretch, in one.

    Args:
        paths: The stores.
        destination: HDF5 file to make.
        names: Table that says of each map whose it is, see ``read_map_rows``.

    Returns:
        All maps, in the order of the stores.

    Raises:
        DataError: If one is no such store, they differ, or two maps have one name.
        OutputError: If the file is there or cannot be written.
    """
    destination.demand_free()
    stores = [(Path(path), *_read_own(Path(path))) for path in paths]
    first, _, first_values, facts = stores[0]
    size = first_values.shape[1]
    sources: dict[str, Path] = {}
    table = _Table.read(names)
    for path, titles, values, new_facts in stores:
        if values.shape[1] != size:
            expected = f"maps of {size} px, as in {first}"
            raise DataError(path, expected, f"{values.shape[1]} px")
        _demand_same(
            path, "half_width_r500", new_facts.half_width, facts.half_width, first
        )
        _demand_same(path, "stretch", new_facts.stretch, facts.stretch, first)
        for name in map(table.title, titles):
            demand_new_name(name, path, sources)
            sources[name] = path
    all_values = np.concatenate([values for _, _, values, _ in stores])
    notes = tuple(table.notes())
    collection = Collection(tuple(sources), all_values, notes=notes)
    _write(destination.path, collection, facts)
    return collection


def _demand_same(
    path: Path, fact: str, value: object, expected: object, first: Path
) -> None:
    if value != expected:
        raise DataError(path, f"{fact} of {expected}, as in {first}", value)


def _read_own(path: Path) -> tuple[tuple[str, ...], np.ndarray, StoreFacts]:
    """Return names, values and facts of a store of real maps."""
    if not is_store(path):
        raise DataError(path, f"a store of {_SOURCE}, since others are", "another file")
    names, values, facts = read_stored(path)
    if facts.source != _SOURCE:
        raise DataError(path, f"a store of {_SOURCE}", f"one of {facts.source}")
    return names, values, facts


def _write(path: Path, collection: Collection, facts: StoreFacts) -> None:
    num_maps, size, _ = collection.values.shape
    with store_writer(path, num_maps, size, facts, dtype="f4") as writer:
        writer.append(collection.names, collection.values)
