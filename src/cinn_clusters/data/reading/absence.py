"""Marks of absence: the -99 or 99.99 that tables write where there is no value.

A value is taken for a mark only if it is one that tables are known to use and if it cannot be one of
the others: it is impossible in a positive quantity, negative among values that are not, far from
their range, or repeats exactly within values that never do. A floor or a class repeats, too, but
adjoins the others; what the bounds of a column allow below is a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cinn_clusters.schema import Column, Schema

_FILLS = np.array(
    [
        -32768.0,
        -(2.0**31),
        -(2.0**63),
        *(sign * 10.0**power for sign in (-1, 1) for power in (20, 30, 35, 36, 37, 38)),
        -1.6375e30,  # HEALPix
        9.969209968386869e36,  # netCDF
        *(sign * np.finfo(kind).max for sign in (-1, 1) for kind in ("f4", "f8")),
    ]
)
"""Fill values of formats and programs."""
_NINES = re.compile(r"99+(\.9+)?|9\.9+")
_STRONG = 9.0
"""A mark of this size or more is none of the small numbers that classes and floors have."""
_MOST_CLASSES = 10
_FEWEST_INSIDE = 3
"""Repetitions of a mark within the range of the other values."""
_GAP_BELOW, _GAP_ABOVE, _GAP_ONCE = 0.5, 1.0, 3.0
"""Distance of marks from the others in units of their scale: of a negative one, of a positive one
that repeats, and of a positive one that stands once."""
_ROUNDING = 1e-6
"""Relative difference of a mark that went through float32."""


@dataclass(frozen=True, eq=False)
class Mark:
    """A value that stands for none.

    Args:
        value: What the table holds, a number or a text.
        rows: Where, (N,) bool.
    """

    value: float | str
    rows: np.ndarray

    def note(self, column: str) -> str:
        """Say in a line what was taken as missing."""
        count = f"{int(self.rows.sum())} of {len(self.rows)} rows"
        return f"{column}: {self} in {count} stands for no value, taken as missing"

    def __str__(self) -> str:
        """Write the value as a table does."""
        if isinstance(self.value, str):
            return f"'{self.value}'"
        return f"{self.value:.7g}"


def find_marks(values: np.ndarray, *, is_positive: bool = False) -> tuple[Mark, ...]:
    """Find the marks of absence of a column.

    Args:
        values: The column, (N,); NaN where it is empty.
        is_positive: No value of 0 or less can be right.

    Returns:
        One entry a mark.

    Examples:
        >>> [mark.value for mark in find_marks(np.array([14.2, -99.0, 14.9, 14.4]))]
        [-99.0]
        >>> find_marks(np.array([0.0, 0.0, 0.3, 1.7]))  # a floor
        ()
    """
    finite = values[np.isfinite(values)]
    distinct, counts = np.unique(finite, return_counts=True)
    is_known = np.array([is_known_mark(value) for value in distinct], dtype=bool)
    ordinary = finite[~np.isin(finite, distinct[is_known])]
    candidates = zip(distinct[is_known], counts[is_known], strict=True)
    return tuple(
        Mark(float(value), values == value)
        for value, count in candidates
        if _is_mark(value, int(count), ordinary, is_positive)
    )


def stated_marks(values: np.ndarray, marks: Sequence[float]) -> tuple[Mark, ...]:
    """Find the marks that somebody names, whatever the other values are."""
    rows = [np.isclose(values, value, rtol=_ROUNDING, atol=0.0) for value in marks]
    pairs = zip(marks, rows, strict=True)
    return tuple(Mark(float(value), where) for value, where in pairs if where.any())


def without_marks(
    frame: pd.DataFrame, names: Sequence[str], schema: Schema
) -> tuple[pd.DataFrame, list[str]]:
    """Return a simulator's table with NaN for its marks of absence, and a note of each.

    Args:
        frame: Numbers.
        names: Columns to look at; one with a declared ``missing_mark`` is left as it is.
        schema: What they are.
    """
    notes, blanked = [], frame.copy()
    for column in map(schema.column, names):
        for mark in column_marks(frame[column.name].to_numpy(float), column):
            blanked.loc[mark.rows, column.name] = np.nan
            notes.append(mark.note(column.name))
    return blanked, notes


def column_marks(values: np.ndarray, column: Column) -> tuple[Mark, ...]:
    """Find the marks of absence of a column whose bounds are declared."""
    if column.missing_mark is not None:
        return ()
    lowest = column.bounds[0]
    marks = find_marks(values)
    return tuple(mark for mark in marks if not _is_allowed(mark, lowest))


def _is_allowed(mark: Mark, lowest: float) -> bool:
    """Whether declared bounds make a negative mark a value like others."""
    return np.isfinite(lowest) and lowest <= float(mark.value) < 0.0


def is_known_mark(value: float) -> bool:
    """Whether tables are known to write a value for none.

    Examples:
        >>> [value for value in (0, -1, -9, 99.99, -999, 9, 14.2, 1e20) if is_known_mark(value)]
        [0, -1, -9, 99.99, -999, 1e+20]
    """
    if value in (0.0, -1.0, -9.0):
        return True
    return _is_nines(value) or _is_fill(value)


def _is_nines(value: float) -> bool:
    text = f"{abs(value):.7g}"
    return _NINES.fullmatch(text) is not None


def _is_fill(value: float) -> bool:
    with np.errstate(over="ignore"):  # beside the largest of all numbers
        return bool(np.isclose(value, _FILLS, rtol=_ROUNDING, atol=0.0).any())


def _is_mark(value: float, count: int, ordinary: np.ndarray, is_positive: bool) -> bool:
    """Whether a known mark can be none of the other values of its column."""
    if is_positive and value <= 0.0:
        return count > 1
    if value == 0.0:
        return False  # a floor, or the middle of a quantity with a sign
    if len(ordinary) == 0:
        return count > 1 and _is_unmistakable(value)
    if _are_classes(ordinary) and abs(value) < _STRONG:
        return False
    return _is_beyond(value, count, ordinary) or _is_between(value, count, ordinary)


def _is_beyond(value: float, count: int, ordinary: np.ndarray) -> bool:
    """Whether a value lies where none of the others could."""
    is_repeated = count > 1
    if value < 0.0 and ordinary.min() >= 0.0:
        return is_repeated or abs(value) >= _STRONG
    is_apart = _is_apart(value, ordinary, is_repeated)
    return is_apart and (is_repeated or _is_unmistakable(value))


def _is_between(value: float, count: int, ordinary: np.ndarray) -> bool:
    """Whether a value repeats within the range of others that never do."""
    is_inside = ordinary.min() < value < ordinary.max()
    return bool(is_inside) and count >= _FEWEST_INSIDE and _never_repeat(ordinary)


def _are_classes(ordinary: np.ndarray) -> bool:
    distinct = np.unique(ordinary)
    are_whole = bool(np.all(distinct == np.round(distinct)))
    return are_whole and len(distinct) <= _MOST_CLASSES


def _is_apart(value: float, ordinary: np.ndarray, is_repeated: bool) -> bool:
    """Whether a value is far outside the range of the others, or of their logarithms."""
    if value < 0.0:
        return _gap(value, ordinary) > _GAP_BELOW
    least = _GAP_ONCE
    if is_repeated:
        least = _GAP_ABOVE
    return max(_gap(value, ordinary), _decades(value, ordinary)) > least


def _decades(value: float, ordinary: np.ndarray) -> float:
    """Distance of a positive value from positive others in units of their decades, at least one."""
    if ordinary.min() <= 0.0:
        return 0.0
    return _gap(float(np.log10(value)), np.log10(ordinary), smallest=1.0)


def _gap(value: float, ordinary: np.ndarray, smallest: float | None = None) -> float:
    """Distance of a value from the range of the others, in units of their scale."""
    lower, upper = ordinary.min(), ordinary.max()
    if smallest is None:
        smallest = float(np.abs(np.median(ordinary)))
    scale = max(upper - lower, smallest)
    distance = max(lower - value, value - upper)
    return float(distance / max(scale, np.finfo(float).tiny))


def _is_unmistakable(value: float) -> bool:
    """Whether a value far from the others is a mark even where it stands once."""
    is_long = len(f"{abs(value):.7g}".replace(".", "")) >= 4
    return abs(value) >= _STRONG and (value < 0.0 or is_long)


def _never_repeat(ordinary: np.ndarray) -> bool:
    has_fractions = bool(np.any(ordinary != np.round(ordinary)))
    return has_fractions and len(np.unique(ordinary)) == len(ordinary)
