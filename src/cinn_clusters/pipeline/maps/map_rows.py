"""A table that says of each map whose it is: ``--names table.csv``, a row a map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.data.reading.keys import key_values, read_names
from cinn_clusters.data.reading.tables import read_csv, to_numbers
from cinn_clusters.errors import DataError

_COLUMNS = {
    "map": ("map", "filename", "file", "name", "image"),
    "object": ("object", "object_name", "cluster"),
    "HaloID": ("haloid", "halo_id", "halo", "halo_num"),
    "Snapshot": ("snapshot", "snap", "snapshot_id", "snapnum"),
    "Projection": ("projection", "proj"),
    "redshift": ("redshift", "z"),
    "R500": ("r500", "r500_kpc", "radius", "radius_kpc", "r500c_kpc"),
}
"""What a table may say, and how it may call it, in any case."""
_TEXTS = ("map", "object")
_NUMBERS = ("redshift", "R500")
_SUFFIX = re.compile(r"\.(fits|fit|fts|img|png|jpe?g|tiff?|gif|h5|hdf5)(\.\w+)?$", re.I)


@dataclass(frozen=True)
class MapRow:
    """What a table says of one map.

    Args:
        name: How the map is called from now on; empty where it keeps its name.
        redshift: z, or None.
        radius_kpc: R500 [physical kpc], or None.
    """

    name: str = ""
    redshift: float | None = None
    radius_kpc: float | None = None


def read_map_rows(path: str | Path) -> dict[str, MapRow]:
    """Read a table of maps.

    Args:
        path: CSV with the column ``map`` (name of a map or file), and any of ``object``,
            ``HaloID``, ``Snapshot``, ``Projection``, ``redshift`` and ``R500`` in physical kpc.

    Returns:
        The rows by the name of the map, without the suffix of a file.

    Raises:
        DataError: If the table cannot be read, names no map, or one twice, or says half a key.
    """
    source = str(path)
    texts = [name for quantity in _TEXTS for name in _spellings(quantity)]
    content = read_csv(path, text=texts)
    table = _renamed(content, source)
    names = list(map(_bare, read_names(table["map"])))
    repeated = pd.Series(names).duplicated()
    if repeated.any():
        row = int(repeated.argmax())
        got = f"'{names[row]}' twice"
        raise DataError(source, "a row a map", got, "column 'map'")
    titles = _titles(table, source)
    numbers = [name for name in _NUMBERS if name in table]
    table = to_numbers(table, numbers, source)
    redshifts, radii = (_numbers(table, name, source) for name in _NUMBERS)
    rows = map(MapRow, titles, redshifts, radii)
    return dict(zip(names, rows, strict=True))


def row_of(rows: dict[str, MapRow], *names: str) -> tuple[str, MapRow] | None:
    """Return the row of a map that has any of some names, and the name of it."""
    for name in map(_bare, names):
        if name in rows:
            return name, rows[name]
    return None


def _spellings(quantity: str) -> list[str]:
    """Return how a column may be called, in small letters and in others."""
    names = _COLUMNS[quantity]
    return [*names, *map(str.upper, names), *map(str.capitalize, names)]


def _renamed(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return a table whose columns have the names that are used here.

    Raises:
        DataError: If there is no column of maps.
    """
    spellings = {name: key for key, names in _COLUMNS.items() for name in names}
    renamed = table.rename(columns=lambda name: spellings.get(name.lower(), name))
    if "map" not in renamed or renamed.columns.duplicated().any():
        expected = "one column 'map' with the name of each map, and one of a kind"
        raise DataError(source, expected, ", ".join(table.columns))
    return renamed


def _bare(name: str) -> str:
    """Return a name without the suffix of a file."""
    return _SUFFIX.sub("", str(name).strip())


def _titles(table: pd.DataFrame, source: str) -> list[str]:
    """Return how maps are called: by halo and snapshot, by object, or as they are."""
    num_rows = len(table)
    keys = {"HaloID", "Snapshot"} & set(table.columns)
    if len(keys) == 1:
        missing = ({"HaloID", "Snapshot"} - keys).pop()
        got = f"{keys.pop()} alone"
        raise DataError(source, "HaloID and Snapshot", got, f"add {missing}")
    projections = _whole(table, "Projection", source) or [0] * num_rows
    if keys:
        haloes = _whole(table, "HaloID", source)
        snapshots = _whole(table, "Snapshot", source)
        triples = zip(snapshots, haloes, projections, strict=True)
        return [f"snap_{a:03d}_halo_{b}_proj_{c}" for a, b, c in triples]
    if "object" not in table:
        return [""] * num_rows
    objects = read_names(table["object"])
    if "Projection" not in table:
        return list(objects)
    pairs = zip(objects, projections, strict=True)
    return [f"{name}_proj_{number}" for name, number in pairs]


def _whole(table: pd.DataFrame, name: str, source: str) -> list[int]:
    """Return a column of whole numbers, or nothing where there is none."""
    if name not in table:
        return []
    values = key_values(table[name], name, source)
    if values.dtype != np.int64:
        got = f"'{values[0]}'"
        raise DataError(source, "whole numbers", got, f"column '{name}'")
    return [int(value) for value in values]


def _numbers(table: pd.DataFrame, name: str, source: str) -> list[Any]:
    """Return a column of positive numbers; None where it is empty or absent.

    Raises:
        DataError: If a number is not positive.
    """
    if name not in table:
        return [None] * len(table)
    values = table[name].to_numpy(dtype=float)
    is_wrong = values <= 0.0
    if is_wrong.any():
        row = int(is_wrong.argmax())
        first = table["map"].iloc[row]
        place = f"column '{name}', map '{first}'"
        raise DataError(source, "positive numbers", f"{values[row]:g}", place)
    return [None if np.isnan(value) else float(value) for value in values]
