"""Tables in and out: CSV, ECSV, FITS, VOTable, Parquet, with units and metadata."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
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
from cinn_clusters.data.tables import read_csv
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.files import atomic_file

TABLE_FORMATS = {
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
_TRIAL_ROWS = 50


def file_format(path: Path) -> str:
    """Return astropy's name of the format of a file by its ending (``.gz`` aside).

    Raises:
        DataError: If the ending is unknown.

    Examples:
        >>> file_format(Path("clusters.fits.gz"))
        'fits'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    *_, ending = ["", *(suffix for suffix in suffixes if suffix != ".gz")]
    if ending not in TABLE_FORMATS:
        expected = f"a file ending in {', '.join(TABLE_FORMATS)}"
        raise DataError(path, expected, f"'{ending}'", "", "or name its [read] format")
    return TABLE_FORMATS[ending]


def read_table(
    path: str | Path, read: Mapping[str, Any] | None = None, text: Collection[str] = ()
) -> Table:
    """Read a table of any format, of at least one row.

    Args:
        path: The file.
        read: Arguments of ``astropy.table.Table.read`` for files whose ending does not tell their
            format, or that hold several tables.
        text: Columns of names, which keep every character that stands in a CSV file.

    Raises:
        DataError: If the file is missing, of unknown format, cut short, damaged or empty, or holds
            several tables of which none is chosen.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, "a readable table", "no such file")
    arguments = dict(read or {})
    arguments.setdefault("format", "")
    arguments["format"] = arguments["format"] or file_format(path)
    with (
        _readable(path, arguments["format"]),
        warnings.catch_warnings(record=True) as messages,
    ):
        warnings.simplefilter("always")
        table = _read(path, arguments, text)
    if any("truncated" in str(message.message) for message in messages):
        raise DataError(
            path, "a whole file", "one that was cut short", "", "copy it again"
        )
    if len(table) == 0:
        raise DataError(path, "at least one row", "none")
    return table


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever astropy's readers raise into an error that names the file."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        hint = "pip install 'cinn-clusters[parquet]'"
        raise DataError(path, "what reads this format", str(error), "", hint) from error
    except Exception as error:
        raise DataError(
            path, f"a whole {kind} table", _first_line(error), "", "is it complete?"
        ) from error


def _first_line(error: Exception) -> str:
    first, *_ = [*str(error).strip().splitlines(), type(error).__name__]
    return first


def _read(path: Path, arguments: dict[str, Any], text: Collection[str]) -> Table:
    if arguments == {"format": "ascii.csv"} and path.suffix.lower() == ".csv":
        frame = read_csv(path, text)  # the one reader of CSV, with its checks
        return Table.from_pandas(frame)
    if arguments["format"] == "fits":
        if "hdu" not in arguments:
            _demand_one_table(path)
        return with_fits_columns(Table.read(path, **arguments))
    if arguments == {"format": "votable"}:
        whole_file = votable.parse(path)
        return with_infos(Table.read(whole_file, **arguments), whole_file)
    return Table.read(path, **arguments)


def _demand_one_table(path: Path) -> None:
    with fits.open(path) as units:
        tables = [
            f"{number} ({unit.name or 'unnamed'})"
            for number, unit in enumerate(units)
            if hasattr(unit, "columns")
        ]
    if len(tables) > 1:
        hint = "choose one in the mapping, as in: [read] hdu = 1"
        raise DataError(
            path, "one table", f"{len(tables)}: HDU {', '.join(tables)}", "", hint
        )


def write_table(table: Table, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a table in the format its name asks for, whole or not at all.

    Raises:
        DataError: If the ending is unknown.
        OutputError: If the file is taken, or the format cannot hold the table.
    """
    path = Path(path)
    _demand_ascii(table, path)
    with atomic_file(path, overwrite=overwrite) as scratch:
        _write(table, scratch, path)


def demand_writable(table: Table, path: Path) -> None:
    """Refuse a table that its format cannot hold, before any work is done, by writing a few rows.

    Raises:
        DataError: If the ending is unknown.
        OutputError: If the format cannot hold a column, or FITS is to hold text beyond ASCII.
    """
    _demand_ascii(table, path)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _write(table[:_TRIAL_ROWS], Path(folder) / "trial", path)
    except OSError as error:
        raise OutputError(path, "room for a trial of a few rows", str(error)) from error


def _write(table: Table, scratch: Path, path: Path) -> None:
    kind = file_format(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # units unknown to the FITS standard stay as they are
            if kind == "fits":
                write_fits(table, scratch)
            elif kind == "votable":
                write_votable(table, scratch)
            else:
                table.write(scratch, format=kind, overwrite=True)
    except OSError:
        raise
    except Exception as error:  # astropy's writers raise whatever they meet
        expected = f"a table that {kind.removeprefix('ascii.')} holds"
        hint = "ask for .ecsv, which holds any column"
        raise OutputError(path, expected, _first_line(error), "", hint) from error


def _demand_ascii(table: Table, path: Path) -> None:
    if file_format(path) != "fits":
        return
    texts = [name for name in table.colnames if _kind(table[name]) in "UO"]
    for name in texts:
        foreign = [str(value) for value in table[name] if not str(value).isascii()]
        if foreign:
            expected = "text in ASCII, all that FITS holds"
            got = f"'{foreign[0]}' in {name}"
            hint = "ask for .ecsv, .vot or .parquet, which hold any script"
            raise OutputError(path, expected, got, "", hint)


def _kind(column: Any) -> str:
    dtype = getattr(column, "dtype", None)
    return getattr(dtype, "kind", "f")


def numbers(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a column as floats (N,), NaN where it holds no number, and where it holds text, (N,).

    Raises:
        DataError: If a row holds an array, a position or a time.
    """
    column = table[name]
    num_dimensions = getattr(column, "ndim", 1)
    if num_dimensions != 1 or not hasattr(column, "dtype"):
        kind = type(column).__name__
        got = f"{kind} of shape {column.shape}"
        raise DataError(f"column '{name}'", "one number a row", got)

    # masked values are NaN, whatever stands below the mask
    entries = np.ma.asarray(column).astype(object)
    filled = np.ma.filled(entries, np.nan)
    values = pd.Series([_decoded(value) for value in filled])
    numeric = pd.to_numeric(values, errors="coerce")
    number = numeric.to_numpy(dtype=float)

    # an empty text is missing, not wrong
    is_text = [isinstance(value, str) and bool(value.strip()) for value in values]
    return number, np.isnan(number) & is_text


def names_of(table: Table, column: str | None) -> np.ndarray:
    """Return names of the objects as text, (N,); their row numbers where no column holds names."""
    if column is None:
        names = [f"row {row}" for row in range(len(table))]
    else:
        decoded = map(_decoded, table[column])
        names = [str(name).strip() for name in decoded]
    return np.array(names, dtype=object)


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
