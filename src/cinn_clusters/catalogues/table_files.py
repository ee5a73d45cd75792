"""Tables in and out: CSV, ECSV, FITS, VOTable, Parquet, with units and metadata."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Column, MaskedColumn, Table

from cinn_clusters.catalogues.formats.fits_tables import read_fits_table
from cinn_clusters.catalogues.formats.metadata import write_fits, write_votable
from cinn_clusters.catalogues.formats.parquet import read_parquet, write_parquet
from cinn_clusters.catalogues.formats.votables import read_votable
from cinn_clusters.data.reading.keys import read_names
from cinn_clusters.data.reading.layout import KEYS_OF_READ
from cinn_clusters.data.reading.numbers import NumericColumn, as_numbers, whole_or_text
from cinn_clusters.data.reading.sniff import PLAIN_TEXT, Content, demand_table, sniff
from cinn_clusters.data.reading.table import NOTES, UNITS
from cinn_clusters.data.reading.tables import demand_even, read_text_table
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.files import atomic_file, trial_file

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
_TEXT_ENDINGS = {"", ".csv", ".tsv", ".txt", ".dat", ".asc", ".ascii", ".tab", ".tbl"}
_TEXT_ENDINGS |= {".mrt", ".cds"}
_PACKED = {".gz", ".bz2", ".xz"}
_PLAIN = {PLAIN_TEXT, "csv", "ascii.csv", "ascii"}
"""Formats of ``[read]`` that the reader of text tells by itself."""
_FAMILIES = ("fits", "votable", "parquet")
"""Formats that the content of a file tells without doubt."""
_LINE = re.compile(r"\bline (\d+)|:(\d+):\d+: ")
_TRIAL_ROWS = 50
_HAS_DIGIT = re.compile(r"\d").search


def file_format(path: Path) -> str:
    """Return astropy's name of the format of a file by its ending (``.gz`` aside).

    Raises:
        DataError: If the ending is unknown.

    Examples:
        >>> file_format(Path("clusters.fits.gz"))
        'fits'
    """
    ending = _ending(path)
    if ending not in TABLE_FORMATS:
        expected = f"a file ending in {', '.join(TABLE_FORMATS)}"
        raise DataError(path, expected, f"'{ending}'", "", "or name its [read] format")
    return TABLE_FORMATS[ending]


def _ending(path: Path) -> str:
    """Ending of a file without that of its compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    unpacked = [suffix for suffix in suffixes if suffix not in _PACKED]
    *_, ending = ["", *unpacked]
    return ending


def read_table(
    path: str | Path,
    read: Mapping[str, Any] | None = None,
    text: Collection[str] = (),
    notes: list[str] | None = None,
) -> Table:
    """Read a table of any format, of at least one row; its content tells the format.

    Args:
        path: The file.
        read: Keys of ``[read]``: the layout of a table of text, or arguments of
            ``astropy.table.Table.read``.
        text: Columns of names, which keep every character that stands in a table of text; whole
            numbers that print back the same are numbers all the same.
        notes: Takes up what the reader had to decide.

    Raises:
        DataError: If the file is missing, no table, cut short, damaged or empty, holds several
            tables of which none is chosen, or a name twice.
    """
    path = Path(path)
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no such file"
        raise DataError(path, "a readable table", got)
    arguments = dict(read or {})
    if notes is None:
        notes = []
    content = sniff(path)
    stated_kind = str(arguments.get("format") or "")
    kind = _kind_of(path, content, stated_kind, notes)
    arguments["format"] = kind
    if kind in _PLAIN and set(arguments) <= KEYS_OF_READ:
        frame = read_text_table(path, content, text, arguments)
        notes.extend(frame.attrs[NOTES])
        return _from_frame(frame, text)
    if kind == "ascii.ecsv":
        demand_even(path, content)
    table = _read_by_library(path, arguments, notes)
    if len(table) == 0:
        raise DataError(path, "at least one row", "none")
    return table


def _read_by_library(
    path: Path, arguments: Mapping[str, Any], notes: list[str]
) -> Table:
    with (
        readable_table(path, arguments["format"]),
        warnings.catch_warnings(record=True) as messages,
    ):
        warnings.simplefilter("always")
        table = _read(path, arguments, notes)
    if any("truncated" in str(message.message) for message in messages):
        raise _cut_short(path)
    return table


def _kind_of(path: Path, content: Content, stated: str, notes: list[str]) -> str:
    """Format of a file: what ``[read]`` states, else what its content is."""
    if stated:
        _demand_agreement(path, content, stated)
        return stated
    demand_table(path, content)
    ending = _ending(path)
    expected = TABLE_FORMATS.get(ending, "")
    if content.kind != PLAIN_TEXT:
        if expected != content.kind and ending not in _TEXT_ENDINGS - {".csv"}:
            kind = _in_words(content.kind)
            notes.append(
                f"{path.name}: read as {kind}, which it holds, not as '{ending}'"
            )
        return content.kind
    if ending in _TEXT_ENDINGS:
        return PLAIN_TEXT
    if not expected:
        return file_format(path)
    got, hint = "a text", 'name it .csv, or write [read] format = "csv"'
    if not path.stat().st_size:
        got, hint = "an empty file", "copy or save it again"
    raise DataError(
        path, f"{_in_words(expected)} by its ending '{ending}'", got, "", hint
    )


def _demand_agreement(path: Path, content: Content, stated: str) -> None:
    """Refuse a stated format that the content of a file contradicts."""
    family = stated.split(".")[0]
    is_binary = content.kind in _FAMILIES
    if (is_binary and family != content.kind) or (
        not is_binary and content.is_table and family in _FAMILIES
    ):
        expected = f'[read] format = "{stated}"'
        got = f"a file that holds {_in_words(content.kind)}"
        raise DataError(path, expected, got, "", "correct it, or leave it out")


@contextmanager
def readable_table(path: Path, kind: str) -> Iterator[None]:
    """Turn what a library raises into an error that names the file, and the line if it can."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        hint = "pip install 'cinn-clusters[parquet]'"
        raise DataError(path, "what reads this format", str(error), "", hint) from error
    except MemoryError:
        raise
    except Exception as error:
        if "truncated" in str(error) or "Truncated" in str(error):
            raise _cut_short(path) from error
        if "do not match names" in str(error):
            expected = (
                "the names above the rows that its header ('# - {name: ...}') has"
            )
            hint = "rename columns in both"
            raise DataError(path, expected, "others", "", hint) from error
        expected = f"a whole table in {_in_words(kind)}"
        line = _LINE.search(str(error))
        where = f"line {line[1] or line[2]}" if line else ""
        hint = "copy or save it again"
        raise DataError(path, expected, "a damaged one", where, hint) from error


def _in_words(kind: str) -> str:
    """Name of a format for people."""
    if kind == PLAIN_TEXT:
        return kind
    return kind.removeprefix("ascii.").upper()


def _cut_short(path: Path) -> DataError:
    got, hint = "one that was cut short", "copy it again"
    return DataError(path, "a whole file", got, "", hint)


def _first_line(error: Exception) -> str:
    first, *_ = [*str(error).strip().splitlines(), type(error).__name__]
    return first


def _read(path: Path, arguments: Mapping[str, Any], notes: list[str]) -> Table:
    """Read the table by what reads its format best."""
    if arguments["format"] == "fits":
        return read_fits_table(path, arguments)
    if arguments == {"format": "parquet"}:
        return read_parquet(path, notes)
    if arguments["format"] != "votable":
        return Table.read(path, **arguments)
    return read_votable(path, arguments)


def _from_frame(frame: pd.DataFrame, text: Collection[str]) -> Table:
    """A table of astropy, its columns masked where a value is missing."""
    table = Table()
    units = frame.attrs[UNITS]
    for name in map(str, frame):
        values = frame[name]
        if name in text:
            values = whole_or_text(values)
        table[name] = _masked_column(values)
        if units.get(name):
            table[name].unit = units[name]
    return table


def _masked_column(values: pd.Series) -> Column:
    mask = values.isna().to_numpy()
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "O":
        filled = values.where(~mask, "").astype(str).to_numpy(dtype=str)
    else:
        blank: Any = values.dtype.type(0)
        filled = values.fillna(blank).to_numpy(dtype=_numpy_type(values))
    if mask.any():
        return MaskedColumn(filled, mask=mask)
    return Column(filled)


def _numpy_type(values: pd.Series) -> Any:
    return getattr(values.dtype, "numpy_dtype", values.dtype)


def write_table(table: Table, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a table in the format its name asks for, whole or not at all.

    Raises:
        DataError: If the ending is unknown.
        OutputError: If the file is taken, or the format cannot hold the table.
    """
    path = Path(path)
    _demand_fits(table, path)
    with atomic_file(path, overwrite=overwrite) as scratch:
        _write(table, scratch, path)


def demand_writable(table: Table, path: Path) -> None:
    """Refuse a table that its format cannot hold, before any work is done, by writing a few rows.

    Raises:
        DataError: If the ending is unknown.
        OutputError: If the format cannot hold a column, or FITS is to hold text beyond ASCII.
    """
    _demand_fits(table, path)
    with trial_file(path) as scratch:
        _write(table[:_TRIAL_ROWS], scratch, path)


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
            elif kind == "parquet":
                write_parquet(table, scratch)
            else:
                table.write(scratch, format=kind, overwrite=True)
    except OSError:
        raise
    except Exception as error:  # astropy's writers raise whatever they meet
        expected = f"a table that {kind.removeprefix('ascii.')} holds"
        hint = "ask for .ecsv, which holds any column"
        raise OutputError(path, expected, _first_line(error), "", hint) from error


def _demand_fits(table: Table, path: Path) -> None:
    """Refuse what FITS cannot hold: names that differ in case only, and text beyond ASCII."""
    if file_format(path) != "fits":
        return
    folded: dict[str, str] = {}
    for name in table.colnames:
        other = folded.setdefault(name.upper(), name)
        if other != name:
            expected = "names that differ in more than case, which FITS ignores"
            hint = "rename one of them, or ask for .ecsv, .vot or .parquet"
            raise OutputError(path, expected, f"'{other}' and '{name}'", "", hint)
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
        DataError: If a row holds an array, a position or a time, or every row text that has digits
            and is no number.
    """
    # masked values are missing, whatever stands below the mask
    entries = _one_a_row(table, name)
    if entries.dtype.kind in "iuf":
        number = np.asarray(entries.astype(float).filled(np.nan))
        return number, np.zeros(len(number), bool)
    read = _read_numbers(table, name)
    _demand_a_number(read, entries, name)
    return read.values, read.is_text


def _one_a_row(table: Table, name: str) -> Any:
    """Entries of a column, (N,), masked; rows of arrays of one value are that value.

    Raises:
        DataError: If a row holds several, a position or a time.
    """
    column = table[name]
    shape = tuple(getattr(column, "shape", ()))
    if not hasattr(column, "dtype") or np.prod(shape[1:]) != 1:
        kind = type(column).__name__
        got = f"{kind} of shape {shape}"
        raise DataError(f"column '{name}'", "one number a row", got)
    return np.ma.asarray(column).reshape(len(column))


def _demand_a_number(read: NumericColumn, entries: Any, name: str) -> None:
    """Refuse a column whose every value is a text with digits, as '5.5±0.3' or '<5.5'."""
    texts = [str(_decoded(text)) for text in entries[read.is_text]]
    if not np.isnan(read.values).all() or not any(map(_HAS_DIGIT, texts)):
        return
    got = f"'{texts[0]}' in row {np.argmax(read.is_text)}, and a number in no row"
    hint = "write values, errors and limits in columns of their own, or map another one"
    raise DataError(f"column '{name}'", "numbers", got, "", hint)


def _read_numbers(table: Table, name: str) -> NumericColumn:
    entries = _one_a_row(table, name)
    present = np.array(entries.data, dtype=object)
    present[np.ma.getmaskarray(entries)] = None
    return as_numbers(present, name)


def notation_notes(table: Table, names: Iterable[str]) -> list[str]:
    """Say how the numbers of columns of text were read, where that had to be decided."""
    texts = [name for name in names if name in table.colnames]
    texts = [name for name in texts if _kind(table[name]) in "UOS"]
    return [note for name in texts for note in _read_numbers(table, name).notes]


def names_of(table: Table, column: str | None) -> np.ndarray:
    """Return names of the objects as text, (N,); their row numbers where no column holds names."""
    if column is None:
        numbered = [f"row {row}" for row in range(len(table))]
        return np.array(numbered, dtype=object)
    return read_names(table[column])


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
