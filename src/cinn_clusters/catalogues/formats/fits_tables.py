"""FITS tables in: one table of a file, its names once, its undefined logical values masked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from cinn_clusters.catalogues.formats.metadata import with_fits_columns
from cinn_clusters.data.reading.sniff import open_unpacked
from cinn_clusters.errors import DataError
from cinn_clusters.files import demand_forward

_BLOCK = 2880
"""Bytes of which FITS is made."""
_MOST_FIELDS = 999
"""Columns that a table may have (FITS standard 4.0, section 7.2.1)."""


def read_fits_table(path: Path, arguments: Mapping[str, Any]) -> Table:
    """Read the one table of a file, or the one that ``hdu`` chooses.

    Raises:
        DataError: If there is none, several of which none is chosen, two columns of one name, or a
            file that was cut short.
    """
    with fits.open(path) as units:
        chosen = table_unit(units, path, arguments.get("hdu"))
        unit = units[chosen]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*NULL \\(undefined\\) values.*")
            table = Table.read(path, **{**arguments, "hdu": chosen})
        undefined = _undefined(unit)
    for name in set(undefined) & set(table.colnames):
        table[name] = MaskedColumn(table[name], mask=undefined[name])
    return with_fits_columns(table)


def table_unit(units: fits.HDUList, path: Path, chosen: int | str | None) -> int | str:
    """Which part of an open file is the one table, or the one that ``hdu`` chooses.

    Raises:
        DataError: As ``read_fits_table``.
    """
    demand_forward(units, path)
    _demand_whole(units, path)
    for unit in units:
        _demand_fields(unit.header, path)
    if chosen is None:
        chosen = _only_table(units, path)
    _demand_names(_unit(units, chosen, path), path)
    return chosen


def _demand_whole(units: fits.HDUList, path: Path) -> None:
    """Refuse a file that ends before its data do."""
    with open_unpacked(path) as stream:
        size = stream.seek(0, os.SEEK_END)
    parts = filter(None, [unit.fileinfo() for unit in units])
    ends = [part["datLoc"] + part["datSpan"] for part in parts]
    end = max(ends, default=0)
    is_whole_blocks = size % _BLOCK == 0
    lacks_padding = len(units) == 1 and not is_whole_blocks
    if end > size or lacks_padding:
        got = "one that was cut short"
        raise DataError(path, "a whole file", got, "", "copy it again")


def _demand_fields(header: fits.Header, path: Path) -> None:
    """Refuse more columns than a table may have, before room is made for each."""
    count = header.get("TFIELDS", 0)
    if not (isinstance(count, int) and 0 <= count <= _MOST_FIELDS):
        expected = f"TFIELDS from 0 to {_MOST_FIELDS}"
        raise DataError(path, expected, f"{count!r}", "", "copy the file again")


def _only_table(units: fits.HDUList, path: Path) -> int:
    tables = [at for at, unit in enumerate(units) if hasattr(unit, "columns")]
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise DataError(path, "a table", "a FITS file without one, of images only")
    names = [f"{at} ({units[at].name or 'unnamed'})" for at in tables]
    hint = "choose one in the mapping, as in: [read] hdu = 1"
    got = f"{len(tables)}: HDU {', '.join(names)}"
    raise DataError(path, "one table", got, "", hint)


def _unit(units: fits.HDUList, chosen: int | str, path: Path) -> Any:
    """The chosen part of a file, which holds a table."""
    names = [f"{at} ({unit.name or 'unnamed'})" for at, unit in enumerate(units)]
    try:
        unit = units[chosen]
    except (KeyError, IndexError) as error:
        expected = f"[read] hdu to be one of {', '.join(names)}"
        raise DataError(path, expected, f"'{chosen}'") from error
    if not hasattr(unit, "columns"):
        raise DataError(path, f"a table in HDU {chosen}", "an image")
    return unit


def _demand_names(unit: Any, path: Path) -> None:
    """Refuse a name that two columns have; FITS makes no difference of case."""
    header = unit.header
    keys_of: dict[str, list[str]] = {}
    for number in range(1, header["TFIELDS"] + 1):
        key = f"TTYPE{number}"
        name = str(header.get(key, "")).strip()
        keys_of.setdefault(name, []).append(key)
    keys_of.pop("", None)
    name, keys = max(keys_of.items(), key=lambda item: len(item[1]), default=("", []))
    if len(keys) > 1:
        listed = " and ".join(keys)
        got = f"it twice, {listed}"
        expected, hint = "each name once", "rename one of them"
        raise DataError(f"column '{name}'", expected, got, str(path), hint)


def _undefined(unit: Any) -> dict[str, np.ndarray]:
    """Where logical columns are undefined (a zero byte), which astropy reads as False."""
    if unit.header["XTENSION"] != "BINTABLE":
        return {}
    raw = unit.data.view(np.ndarray)
    logical = [column.name for column in unit.columns if column.format in ("L", "1L")]
    masks = {name: raw[name].view(np.int8) == 0 for name in logical}
    return {name: mask for name, mask in masks.items() if mask.any()}
