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
_LEAST_NINES = 0.98
"""Part of the power of ten above it that a number written in nines exceeds."""
_SMALL_MARKS = (0.0, -1.0, -9.0)
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
        num_marked = int(self.rows.sum())
        num_rows = len(self.rows)
        count = f"{num_marked} of {num_rows} rows"
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
    is_finite = np.isfinite(values)
    finite = values[is_finite]
    distinct, counts = np.unique(finite, return_counts=True)
    is_mark = are_known_marks(distinct)
    known_marks = distinct[is_mark]
    is_ordinary = ~np.isin(finite, known_marks)
    ordinary = finite[is_ordinary]

    marks = []
    for value, count in zip(known_marks, counts[is_mark], strict=True):
        if _is_mark(value, int(count), ordinary, is_positive):
            mark = Mark(float(value), values == value)
            marks.append(mark)
    return tuple(marks)


def stated_marks(values: np.ndarray, marks: Sequence[float]) -> tuple[Mark, ...]:
    """Find the marks that somebody names, whatever the other values are."""
    present = []
    for value in marks:
        rows = np.isclose(values, value, rtol=_ROUNDING, atol=0.0)
        mark = Mark(float(value), rows)
        if rows.any():
            present.append(mark)
    return tuple(present)


def without_marks(
    frame: pd.DataFrame, names: Sequence[str], schema: Schema
) -> tuple[pd.DataFrame, list[str]]:
    """Return a simulator's table with NaN for its marks of absence, and a note of each.

    Args:
        frame: Numbers.
        names: Columns to look at; one with a declared ``missing_mark`` is left as it is.
        schema: What they are.
    """
    notes = []
    blanked = frame.copy()
    for column in map(schema.column, names):
        values = frame[column.name].to_numpy(float)
        for mark in column_marks(values, column):
            blanked.loc[mark.rows, column.name] = np.nan
            note = mark.note(column.name)
            notes.append(note)
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
    value = float(mark.value)
    is_bounded = np.isfinite(lowest)
    is_within = lowest <= value < 0.0
    return bool(is_bounded and is_within)


def is_known_mark(value: float) -> bool:
    """Whether tables are known to write a value for none.

    Examples:
        >>> [value for value in (0, -1, -9, 99.99, -999, 9, 14.2, 1e20) if is_known_mark(value)]
        [0, -1, -9, 99.99, -999, 1e+20]
    """
    return bool(are_known_marks(np.array([value], dtype=float))[0])


def are_known_marks(values: np.ndarray) -> np.ndarray:
    """Which of many values (N,) tables are known to write for none."""
    is_small_mark = np.isin(values, _SMALL_MARKS)
    marks: np.ndarray = is_small_mark | _are_nines(values) | _are_fills(values)
    return marks


def _are_nines(values: np.ndarray) -> np.ndarray:
    """Which values are written in nines only: they end a decade, and only such are written out."""
    magnitude = np.abs(values)
    with np.errstate(all="ignore"):  # zero, and the largest of all numbers, end none
        exponent = np.ceil(np.log10(magnitude))
        share = magnitude / 10.0**exponent
    are_nines: np.ndarray = share >= _LEAST_NINES
    for number in np.flatnonzero(are_nines):
        text = f"{magnitude[number]:.7g}"
        are_nines[number] = _NINES.fullmatch(text) is not None
    return are_nines


def _are_fills(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # beside the largest of all numbers
        is_close = np.isclose(values[:, None], _FILLS, rtol=_ROUNDING, atol=0.0)
    are_fills: np.ndarray = is_close.any(1)
    return are_fills


def _is_mark(value: float, count: int, ordinary: np.ndarray, is_positive: bool) -> bool:
    """Whether a known mark can be none of the other values of its column."""
    is_repeated = count > 1
    if is_positive and value <= 0.0:
        return is_repeated
    if value == 0.0:
        return False  # a floor, or the middle of a quantity with a sign
    if len(ordinary) == 0:
        return is_repeated and _is_unmistakable(value)

    is_weak = abs(value) < _STRONG
    if is_weak and _are_classes(ordinary):
        return False
    if _is_beyond(value, is_repeated, ordinary):
        return True
    return _is_between(value, count, ordinary)


def _is_beyond(value: float, is_repeated: bool, ordinary: np.ndarray) -> bool:
    """Whether a value lies where none of the others could."""
    is_clear = is_repeated or _is_unmistakable(value)
    if value < 0.0 and ordinary.min() >= 0.0:
        return is_repeated or abs(value) >= _STRONG
    return is_clear and _is_apart(value, ordinary, is_repeated)


def _is_between(value: float, count: int, ordinary: np.ndarray) -> bool:
    """Whether a value repeats within the range of others that never do."""
    if count < _FEWEST_INSIDE:
        return False
    lower, upper = ordinary.min(), ordinary.max()
    is_inside = bool(lower < value < upper)
    return is_inside and _never_repeat(ordinary)


def _are_classes(ordinary: np.ndarray) -> bool:
    distinct = np.unique(ordinary)
    is_whole = distinct == np.round(distinct)
    is_few = len(distinct) <= _MOST_CLASSES
    return is_few and bool(is_whole.all())


def _is_apart(value: float, ordinary: np.ndarray, is_repeated: bool) -> bool:
    """Whether a value is far outside the range of the others, or of their logarithms."""
    gap = _gap(value, ordinary)
    if value < 0.0:
        return gap > _GAP_BELOW
    least = _GAP_ONCE
    if is_repeated:
        least = _GAP_ABOVE
    decades = _decades(value, ordinary)
    return max(gap, decades) > least


def _decades(value: float, ordinary: np.ndarray) -> float:
    """Distance of a positive value from positive others in units of their decades, at least one."""
    if ordinary.min() <= 0.0:
        return 0.0
    log_value = float(np.log10(value))
    log_ordinary = np.log10(ordinary)
    return _gap(log_value, log_ordinary, smallest=1.0)


def _gap(value: float, ordinary: np.ndarray, smallest: float | None = None) -> float:
    """Distance of a value from the range of the others, in units of their scale."""
    lower = ordinary.min()
    upper = ordinary.max()
    if smallest is None:
        typical = np.median(ordinary)
        smallest = float(np.abs(typical))
    scale = max(upper - lower, smallest)
    tiny = np.finfo(float).tiny
    distance = max(lower - value, value - upper)
    return float(distance / max(scale, tiny))


def _is_unmistakable(value: float) -> bool:
    """Whether a value far from the others is a mark even where it stands once."""
    magnitude = abs(value)
    if magnitude < _STRONG:
        return False
    text = f"{magnitude:.7g}"
    digits = text.replace(".", "")
    is_long = len(digits) >= 4
    return value < 0.0 or is_long


def _never_repeat(ordinary: np.ndarray) -> bool:
    is_fraction = ordinary != np.round(ordinary)
    if not is_fraction.any():
        return False
    distinct = np.unique(ordinary)
    return len(distinct) == len(ordinary)
