"""Keys and names: text as it stands, whole numbers only where nothing is lost by reading them so.

``007``, ``1E0657`` and ``NA`` are names; a column is of integers if each of its values is one that
prints back the same. Every reader of keys, clusters and names of objects goes through here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.errors import DataError

INTEGER, TEXT = "integer", "text"
KINDS = (TEXT, INTEGER)
_INTEGER = re.compile(r"(0|-?[1-9][0-9]*)(\.0*)?")
_ZEROS = re.compile(r"^0*([0-9]+?)(?:\.0*)?$")
_FRACTION = re.compile(r"-?[0-9]+\.[0-9]*[1-9][0-9]*")
_LIMITS = np.iinfo(np.int64)
_MAX_DIGITS = len(str(_LIMITS.min))
_WHOLE = "whole numbers with all of their digits"
_SHOWN = 40
_INVISIBLE = "\ufeff\u200b\0"


def read_names(values: Any) -> np.ndarray:
    """Read names as text without blanks around it; an absent one is empty.

    Args:
        values: Column of any table: text, bytes, numbers, masked or not, N values.

    Returns:
        Text, shape (N,), dtype object; a float that is whole is written as an integer.

    Examples:
        >>> read_names(["007", b"A2142 ", None, 7.0]).tolist()
        ['007', 'A2142', '', '7']
    """
    names = np.empty(len(values), dtype=object)
    names[:] = [_name(value) for value in values]
    return names


def _name(value: Any) -> str:
    is_scalar = pd.api.types.is_scalar(value)
    if value is np.ma.masked or (is_scalar and pd.isna(value)):
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    elif isinstance(value, float | np.floating) and value == np.floor(value):
        value = _unrounded(value)
    return _bare(str(value))


def _unrounded(value: Any) -> Any:
    """A whole float as the integer it is; beyond the digits of its type it stays a float."""
    precision = np.finfo(type(value)).eps
    largest = 2.0 / precision
    if not abs(value) <= largest:
        return value
    return int(value)


def _bare(text: str) -> str:
    return text.strip().strip(_INVISIBLE).strip()


def key_values(values: Any, column: str = "key", source: str = "") -> np.ndarray:
    """Read a key column: integers where every value is a plain one, else text.

    Args:
        values: The column, N values; ``7.0``, as tables with gaps write integers, is one.
        column: Its name, for the error.
        source: Its file, for the error.

    Returns:
        int64 or text (dtype object), shape (N,).

    Raises:
        DataError: If an integer needs more than 64 bits, if a float is no integer or lost digits of
            one, or if integers stand beside fractions.

    Examples:
        >>> key_values(["12", "7"]).tolist(), key_values(["12", "007"]).tolist()
        ([12, 7], ['12', '007'])
    """
    names = read_names(values)
    is_whole = [bool(_INTEGER.fullmatch(name)) for name in names]
    dtype = getattr(values, "dtype", None)
    is_float = getattr(dtype, "kind", "") == "f"
    if is_float or any(is_whole):
        is_wrong = [_is_number_but_no_integer(name, is_float) for name in names]
        hint = "store it as integers or as text"
        wrong = Wrong(column, _WHOLE, source, hint)
        _refuse(names, is_wrong, wrong)
    if not all(is_whole):
        return names

    numbers = plain_integers(names)
    if numbers is not None:
        return numbers
    is_beyond = [not _has_64_bits(name) for name in names]
    expected = f"integers up to {_LIMITS.max} (64 bits), or names"
    hint = "write a letter in front of the numbers, in every file"
    wrong = Wrong(column, expected, source, hint)
    _refuse(names, is_beyond, wrong)
    return names


def plain_integers(names: Sequence[str] | np.ndarray) -> np.ndarray | None:
    """Return names as int64 where each is an integer of 64 bits that prints back, else None.

    Examples:
        >>> plain_integers(["12", "7"]), plain_integers(["12", "007"])
        (array([12,  7]), None)
    """
    if not all(map(_has_64_bits, names)):
        return None
    digits = (name.partition(".")[0] for name in names)
    return np.array([int(number) for number in digits], dtype=np.int64)


def _is_number_but_no_integer(name: str, is_float: bool) -> bool:
    if is_float:
        return bool(name) and not _INTEGER.fullmatch(name)
    return bool(_FRACTION.fullmatch(name))


def _has_64_bits(name: str) -> bool:
    match = _INTEGER.fullmatch(name)
    if match is None:
        return False
    digits = match[1]
    if len(digits) > _MAX_DIGITS:
        return False
    return bool(_LIMITS.min <= int(digits) <= _LIMITS.max)


@dataclass(frozen=True)
class Wrong:
    """What is wrong with values of a column of keys."""

    column: str
    expected: str
    source: str = ""
    hint: str = ""


def _refuse(names: np.ndarray, is_wrong: Sequence[bool], wrong: Wrong) -> None:
    """Refuse a column with wrong values, naming the first and where it stands."""
    rows = np.flatnonzero(is_wrong).tolist()
    if not rows:
        return
    first = rows[0]
    value = names[first][:_SHOWN]
    got = f"'{value}'"
    num_more = len(rows) - 1
    if num_more:
        got += f" and {num_more} more"
    place = row_of_file(wrong.source, first)
    raise DataError(f"column '{wrong.column}'", wrong.expected, got, place, wrong.hint)


def row_of_file(source: str, row: int) -> str:
    """Return where a row stands: people count lines of a CSV file, its header being line 1.

    Examples:
        >>> row_of_file("a.csv", 0), row_of_file("a.fits", 0)
        ('a.csv, line 2', 'a.fits, row 1')
    """
    place = f"row {row + 1}"
    is_text = source.lower().endswith(".csv")
    if is_text or not source:
        place = f"line {row + 2}"
    if not source:
        return place
    return f"{source}, {place}"


def demand_named(names: np.ndarray, column: str, source: str) -> None:
    """Refuse a key column with an absent value.

    Raises:
        DataError: If a value is absent.
    """
    rows = np.flatnonzero(names == "").tolist()
    if rows:
        got = f"{len(rows)} rows without"
        place = row_of_file(source, rows[0])
        hint = "fill it or remove the row"
        raise DataError(f"column '{column}'", "a value in every row", got, place, hint)


def demand_distinct(names: np.ndarray, column: str) -> None:
    """Refuse names that differ in case, blanks or leading zeros only: are they one cluster?

    Raises:
        DataError: If two names are alike.
    """
    spellings: dict[str, str] = {}
    for name in map(str, np.unique(names)):
        first = spellings.setdefault(_folded(name), name)
        if first != name:
            expected = "names that differ in more than case, blanks or leading zeros"
            hint = (
                "write one cluster in one way; clusters of their own need other names"
            )
            got = f"'{first}' and '{name}'"
            raise DataError(f"column '{column}'", expected, got, "", hint)


def _folded(name: str) -> str:
    """A name without what people and spreadsheets vary."""
    compatible = unicodedata.normalize("NFKC", name).casefold()
    letters = re.sub(r"\s+", "", compatible)
    is_number = _ZEROS.fullmatch(letters)
    if is_number:
        return is_number[1]
    return letters


def key_types(table: pd.DataFrame, columns: Iterable[str]) -> dict[str, str]:
    """Say which key columns are of integers and which of text.

    Examples:
        >>> key_types(pd.DataFrame({"HaloID": [7], "cluster": ["007"]}), ["HaloID", "cluster"])
        {'HaloID': 'integer', 'cluster': 'text'}
    """
    return {name: KINDS[is_integer(table[name])] for name in columns}


def is_integer(column: pd.Series) -> bool:
    """Return whether a column holds integers."""
    return bool(pd.api.types.is_integer_dtype(column))


def typed_keys(table: pd.DataFrame, types: Mapping[str, str]) -> pd.DataFrame:
    """Return a table that was read as text with the types that its keys had when written."""
    columns = {}
    for name, kind in types.items():
        columns[name] = read_names(table[name])
        if kind == INTEGER:
            columns[name] = key_values(table[name], name)
    return table.assign(**columns)


def alike(column: pd.Series, other: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return two columns of keys that compare: both of integers, or both as text."""
    if is_integer(column) == is_integer(other):
        return column, other
    return column.astype(str), other.astype(str)


def written_like(names: Iterable[str], column: pd.Series) -> np.ndarray:
    """Write names as a column of keys does: an integer has no zeros in front, a text keeps them.

    Examples:
        >>> written_like(["050", "7"], pd.Series([50, 7])).tolist()
        ['50', '7']
        >>> written_like(["050", "7"], pd.Series(["050", "8"])).tolist()
        ['050', '7']
    """
    if not is_integer(column):
        return np.array(list(names), dtype=object)
    return np.array([_ZEROS.sub(r"\1", name) for name in names], dtype=object)
