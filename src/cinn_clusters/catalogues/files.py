"""Tables of observers in and out: CSV, ECSV, FITS, VOTable, Parquet, with units and metadata."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits, votable
from astropy.table import Table

from cinn_clusters.catalogues.metadata import (
    with_fits_columns,
    with_infos,
    write_fits,
    write_votable,
)
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.files import atomic_file

FORMATS = {
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".fit": "fits",
    ".vot": "votable",
    ".xml": "votable",
    ".votable": "votable",
    ".parquet": "parquet",
}
"""Formats of astropy by the ending of a file."""
CUT_SHORT = "truncated"
TRIAL_ROWS = 50


def file_format(path: Path) -> str:
    """Return astropy's name of the format of a file, told by its ending (``.gz`` aside).

    Raises:
        DataError: If the ending is unknown.

    Examples:
        >>> file_format(Path("clusters.fits.gz"))
        'fits'
    """
    ending = next((one for one in reversed(path.suffixes) if one.lower() != ".gz"), "").lower()
    if ending not in FORMATS:
        raise DataError(
            str(path),
            f"a file ending in {', '.join(FORMATS)}",
            f"'{ending}'",
            "",
            "or name its [read] format",
        )
    return FORMATS[ending]


def read_table(path: str | Path, read: Mapping[str, Any] | None = None) -> Table:
    """Read a table of any format.

    Args:
        path: The file.
        read: Arguments of ``astropy.table.Table.read`` for files that do not tell their own format,
            or hold several tables.

    Returns:
        At least one row.

    Raises:
        DataError: If the file is missing, of unknown format, cut short, damaged or empty, or holds
            several tables of which none is chosen.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(str(path), "a readable table", "no such file")
    arguments = dict(read or {})
    if "format" not in arguments:
        arguments["format"] = file_format(path)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if arguments["format"] == "fits" and "hdu" not in arguments:
                _demand_one_table(path)
            table = _read(path, arguments)
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            str(path),
            "what reads this format",
            str(error),
            "",
            "pip install 'cinn-clusters[parquet]'",
        ) from error
    except Exception as error:  # astropy's readers raise whatever their parsers do
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            str(path), f"a whole {arguments.get('format')} table", reason, "", "is it complete?"
        ) from error
    if any(CUT_SHORT in str(one.message) for one in told):
        raise DataError(str(path), "a whole file", "one that was cut short", "", "copy it again")
    if len(table) == 0:
        raise DataError(str(path), "at least one row", "none")
    return table


def _read(path: Path, arguments: dict[str, Any]) -> Table:
    if arguments["format"] == "fits":
        return with_fits_columns(Table.read(path, **arguments))
    if arguments == {"format": "votable"}:
        whole = votable.parse(path)
        return with_infos(Table.read(whole, **arguments), whole)
    return Table.read(path, **arguments)


def _demand_one_table(path: Path) -> None:
    with fits.open(path) as units:
        tables = [
            f"{place} ({one.name or 'unnamed'})"
            for place, one in enumerate(units)
            if hasattr(one, "columns")
        ]
    if len(tables) > 1:
        hint = "choose one in the mapping, as in: [read] hdu = 1"
        raise DataError(str(path), "one table", f"{len(tables)}: HDU {', '.join(tables)}", "", hint)


def write_table(table: Table, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a table in the format its name asks for, whole or not at all.

    Raises:
        DataError: If the ending is unknown.
        OutputError: If the file is taken, or the format cannot hold the table.
    """
    path = Path(path)
    _demand_ascii(table, path)
    with atomic_file(path, overwrite=overwrite) as scratch:
        _write(table, scratch, file_format(path), path)


def demand_writable(table: Table, path: Path) -> None:
    """Refuse a table that its format cannot hold, before any work is done: its first rows are written for a trial.

    Raises:
        DataError: If the ending is unknown.
        OutputError: If the format cannot hold a column, or FITS is to hold text beyond ASCII.
    """
    _demand_ascii(table, path)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _write(table[:TRIAL_ROWS], Path(folder) / "trial", file_format(path), path)
    except OSError as error:
        raise OutputError(str(path), "room for a trial of a few rows", str(error)) from error


def _write(table: Table, scratch: Path, kind: str, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # units that the FITS standard does not know are kept as they are
            if kind == "fits":
                write_fits(table, scratch)
            elif kind == "votable":
                write_votable(table, scratch)
            else:
                table.write(scratch, format=kind, overwrite=True)
    except OSError:
        raise
    except Exception as error:  # astropy's writers raise whatever they meet
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "ask for .ecsv, which holds any column"
        raise OutputError(
            str(path), f"a table that {kind.removeprefix('ascii.')} holds", reason, "", hint
        ) from error


def _demand_ascii(table: Table, path: Path) -> None:
    if file_format(path) != "fits":
        return
    for name in table.colnames:
        if getattr(table[name], "dtype", np.dtype(float)).kind in "UO":
            wrong = [str(value) for value in table[name] if not str(value).isascii()]
            if wrong:
                hint = "ask for .ecsv, .vot or .parquet, which hold any script"
                raise OutputError(
                    str(path),
                    "text in ASCII, all that FITS holds",
                    f"'{wrong[0]}' in {name}",
                    "",
                    hint,
                )


def numbers(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a column as floats, NaN where it is masked or no number, and which rows hold text instead, both (N,).

    Raises:
        DataError: If a row holds an array, a position or a time.
    """
    column = table[name]
    if getattr(column, "ndim", 1) != 1 or not hasattr(column, "dtype"):
        raise DataError(
            f"column '{name}'",
            "one number a row",
            f"{type(column).__name__} of shape {column.shape}",
        )
    filled = (
        np.ma.filled(column.astype(object), np.nan)
        if hasattr(column, "mask")
        else np.asarray(column, dtype=object)
    )
    values = pd.Series(filled.tolist())
    values = values.map(
        lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    )
    found = pd.to_numeric(values, errors="coerce").astype(float).to_numpy()
    is_text = np.isnan(found) & np.array(
        [isinstance(value, str) and value.strip() != "" for value in values]
    )
    return found, is_text


def names_of(table: Table, column: str | None) -> np.ndarray:
    """Return names of the objects as text, (N,); their row numbers where there is no such
    column.
    """
    if column is None:
        return np.array([f"row {row}" for row in range(len(table))], dtype=object)
    values = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in table[column]
    ]
    return np.array([value.strip() for value in values], dtype=object)
