"""HATS catalogues: Parquet files of healpix pixels, and the few files that describe them.

References:
    Caplar+25, HATS: Hierarchical Adaptive Tiling Scheme (IVOA note).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from cinn_clusters.documents import read_text
from cinn_clusters.errors import DataError

_PROPERTIES = ("hats.properties", "properties")
_COLLECTION = "collection.properties"
_DESCRIPTIONS = (*_PROPERTIES, "partition_info.csv", "point_map.fits", "skymap.fits")
COMMON_METADATA = "dataset/_common_metadata"
"""Where the schema of all pixels stands."""


def primary_catalogue(folder: Path) -> Path:
    """Return the folder of the catalogue itself, which a collection names beside its margins."""
    collection = folder / _COLLECTION
    if not collection.is_file():
        return folder
    lines = read_text(collection).splitlines()
    entries = dict(line.split("=", 1) for line in lines if "=" in line)
    return folder / entries.get("hats_primary_table_url", ".").strip()


def is_hats(folder: Path) -> bool:
    """Whether a folder describes itself as a HATS catalogue."""
    return any((folder / name).is_file() for name in _PROPERTIES)


def parquet_files(path: Path) -> list[Path]:
    """Return the Parquet files of a catalogue: itself, those of a folder, or those of HATS' pixels.

    Raises:
        DataError: If there is none.
    """
    if path.is_file():
        return [path]
    path = primary_catalogue(path)
    if is_hats(path):
        path = path / "dataset"
    files = sorted(file for file in _visible(path) if file.suffix == ".parquet")
    if not files:
        expected = "Parquet files, or a HATS catalogue"
        raise DataError(path, expected, "a folder without one")
    return files


def _visible(folder: Path) -> Iterator[Path]:
    """Files of a folder, but for those of names that mean metadata."""
    for entry in folder.iterdir():
        if entry.name.startswith(("_", ".")) or entry.name == "data_thumbnail.parquet":
            continue
        if entry.is_dir():
            yield from _visible(entry)
        else:
            yield entry


def copy_descriptions(catalogue: Path, place: Path) -> None:
    """Copy what describes the pixels of a catalogue, which other columns do not change."""
    for name in _DESCRIPTIONS:
        if (catalogue / name).is_file():
            shutil.copyfile(catalogue / name, place / name)
