"""Text to numbers, by one rule: what reads one way is read, what reads two ways is refused.

A column of text becomes numbers of its own only where nothing is lost by it: every value that is
no mark of a missing one prints back the same, or is a decimal fraction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.errors import DataError

NO_VALUE = {"", "nan", "NaN", "NAN", "-nan", "-NaN", "null", "Null", "NULL", "None"}
NO_VALUE |= {"NA", "N/A", "n/a", "n.a.", "N.A.", "#N/A", "<NA>", "NaT", "masked"}
NO_VALUE |= {"-", "--", "---", "...", "\u2026"}
"""Words for a missing number."""
_SIGNS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " "})
"""Minus signs and blanks of typesetting."""
_FORTRAN = re.compile(r"(?<!\d)(\d++\.?+\d*+|\.\d++)[dD]([+-]?\d+)")
"""Possessive, and tried where digits begin only: texts of any length take time in proportion."""
_PADDED = re.compile(r"[+-]?0\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_COMMA_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")
_POINT_GROUPS = re.compile(
    r"[+-]?[1-9]\d{0,2}(?:(?:\.\d{3})+,\d+|(?:\.\d{3}){2,})(?:[eE][+-]?\d+)?"
)
_SPACED = re.compile(r"[+-]?[1-9]\d{0,2}(?:[ ']\d{3})+(?:[.,]\d*)?")
_NO_DIGIT = re.compile(r"[eE].*|\D")
_FLOAT_DIGITS = 17
"""Digits that a float of 64 bits may need."""
_LIMITS = np.iinfo(np.int64)


@dataclass(frozen=True, eq=False)
class NumericColumn:
    """A column as floats.

    Args:
        values: (N,), NaN where there is no number.
        is_text: Whether a row holds text that is no number, (N,).
        notes: How text was read, where that had to be decided.
    """

    values: np.ndarray
    is_text: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass
class _Reading:
    """Texts of a column on their way to numbers."""

    texts: list[str]
    notes: list[str] = field(default_factory=list)

    def replace(
        self, pattern: re.Pattern[str], groups: str, decimal: str, notation: str
    ) -> None:
        """Write texts of a notation plainly: no groups of digits, a point for the decimals."""
        plain = str.maketrans({**dict.fromkeys(groups), decimal: "."})
        for row, text in enumerate(self.texts):
            if not pattern.fullmatch(text):
                continue
            self.texts[row] = text.translate(plain)
            if not self.notes:
                self.notes.append(f"{notation}, '{text}' read as {self.texts[row]}")


def as_numbers(entries: Iterable[Any], name: str) -> NumericColumn:
    """Read a column as floats.

    Args:
        entries: N texts, numbers, or None.
        name: Of the column, for the error.

    Raises:
        DataError: If it holds logical or complex values, or numbers that read two ways.

    Examples:
        >>> as_numbers(["0.3", "1.4D14", "n/k", "--"], "M").values
        array([3.0e-01, 1.4e+14,     nan,     nan])
    """
    dtype = getattr(entries, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        numeric = np.array(entries, dtype=float)
        is_text = np.zeros(len(numeric), bool)
        return NumericColumn(numeric, is_text)
    values = list(map(_plain, entries))
    _demand_real(values, name)
    texts = [value for value in values if isinstance(value, str)]
    others = [value for value in values if not isinstance(value, str)]
    is_text = np.array([isinstance(value, str) for value in values], dtype=bool)
    reading = _Reading(list(map(_clean, texts)))
    _read_commas(reading, name)

    # What is no number stays marked as text
    result = np.full(len(values), np.nan)
    result[~is_text] = list(map(_or_nan, others))
    numbers = list(map(_number, reading.texts))
    result[is_text] = list(map(_or_nan, numbers))
    is_text[is_text] = [number is None for number in numbers]
    notes = tuple(f"{name}: {note}" for note in reading.notes)
    return NumericColumn(result, is_text, notes)


def _or_nan(value: Any) -> float:
    return np.nan if value is None else float(value)


def is_number(text: str) -> bool:
    """Whether a text is a number, in whatever notation."""
    clean = _clean(text)
    if clean in NO_VALUE:
        return False
    if _number(clean) is not None:
        return True
    commas = (_DECIMAL_COMMA, _COMMA_GROUPS, _POINT_GROUPS)
    return any(comma.fullmatch(clean) for comma in commas)


def typed(texts: Sequence[str]) -> pd.Series:
    """A column of text as whole numbers, logical values or fractions where nothing is lost.

    Examples:
        >>> typed(["7", "", "9007199254740993"]).tolist()
        [7, <NA>, 9007199254740993]
        >>> typed(["007", "1E0657"]).tolist()
        ['007', '1E0657']
    """
    whole = _whole(texts)
    if whole is not None:
        return pd.Series(whole)
    stripped = list(map(str.strip, texts))
    present = [text for text in stripped if text not in NO_VALUE]
    if not present:
        return pd.Series(np.full(len(stripped), np.nan))
    has_gaps = len(present) < len(stripped)
    kinds = {"Int64": _whole, "boolean": _logical, "float": floats}
    for masked, kind in kinds.items():
        values = kind(present)
        if values is not None:
            return _spread(values, stripped, masked) if has_gaps else pd.Series(values)
    return pd.Series(list(texts), dtype=object).where(np.array(stripped, bool), None)


def whole_or_text(values: pd.Series) -> pd.Series:
    """A column of names as whole numbers where they print back the same, else as it is."""
    numbers = _whole(values.tolist())
    return values if numbers is None else pd.Series(numbers)


def _spread(values: np.ndarray, texts: list[str], dtype: str) -> pd.Series:
    """Put values where a text stands, and nothing elsewhere."""
    is_present = np.array([text not in NO_VALUE for text in texts])
    spread = np.full(len(texts), None, dtype=object)
    spread[is_present] = values
    untyped: Any = pd.Series(spread)
    series: pd.Series = untyped.astype(dtype)
    return series


def _whole(texts: Sequence[str]) -> np.ndarray | None:
    """Whole numbers that print back the same and fit 64 bits."""
    try:
        values = list(map(int, texts))
    except ValueError:
        return None
    printed = list(map(str, values))
    if printed != texts:
        return None
    lowest, highest = min(values), max(values)
    if lowest < _LIMITS.min or highest > _LIMITS.max:
        return None
    return np.array(values, dtype=np.int64)


def _logical(texts: list[str]) -> np.ndarray | None:
    if set(texts) <= {"True", "False"}:
        return np.array([text == "True" for text in texts])
    return None


def floats(texts: Sequence[str]) -> np.ndarray | None:
    """Fractions, unless a value looks like an identifier: zeros in front, or no decimal point."""
    try:
        fractions = list(map(float, texts))
    except ValueError:
        return None
    values = np.array(fractions)
    joined = "\n".join(texts)
    is_fraction = "." in joined and "_" not in joined
    if not is_fraction or _has_identifier(texts, values):
        return None
    return values


def _has_identifier(texts: Sequence[str], values: np.ndarray) -> bool:
    """Whether a text has zeros in front, more digits than a float or a number as large as none."""
    if any(map(_is_padded, texts)) or any(map(_is_long, texts)):
        return True
    rows = np.flatnonzero(np.isinf(values)).tolist()
    beyond = [texts[row].lower() for row in rows]
    return any("inf" not in text for text in beyond)


def _is_padded(text: str) -> bool:
    digits = text.lstrip("+-")
    return digits[:1] == "0" and _PADDED.fullmatch(text) is not None


def _is_long(text: str) -> bool:
    has_room = len(text) > _FLOAT_DIGITS
    return has_room and _num_digits(text) > _FLOAT_DIGITS


def _num_digits(text: str) -> int:
    """Significant digits of a number."""
    digits = _NO_DIGIT.sub("", text)
    return len(digits.lstrip("0"))


def _plain(entry: Any) -> Any:
    """A text, a number, or None."""
    if isinstance(entry, bytes):
        return entry.decode("utf-8", "replace")
    if entry is None or entry is pd.NA or entry is np.ma.masked:
        return None
    return entry


def _demand_real(values: list[Any], name: str) -> None:
    """Refuse logical and complex values, which are no quantity."""
    for value in values:
        if isinstance(value, bool | np.bool_ | complex | np.complexfloating):
            kind = "complex numbers"
            if isinstance(value, bool | np.bool_):
                kind = "logical values"
            got = f"{kind} ({value})"
            hint = "name the column of the quantity itself"
            raise DataError(f"column '{name}'", "real numbers", got, "", hint)
        if np.ndim(value):
            got = f"an array of shape {np.shape(value)}"
            raise DataError(f"column '{name}'", "one number a row", got)


def _clean(text: str) -> str:
    """A text without what typesetting and Fortran bring along."""
    stripped = text.strip()
    plain = stripped.translate(_SIGNS)
    return _FORTRAN.sub(r"\1e\2", plain)


def _number(text: str) -> float | None:
    """A number, NaN for a mark of a missing one, None for other text."""
    if text in NO_VALUE:
        return np.nan
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _read_commas(reading: _Reading, name: str) -> None:
    """Decide what commas, points and blanks between digits mean, from all values of a column."""
    reading.replace(_SPACED, " '", ".", "digits in groups")
    mark = decimal_mark(reading.texts)
    if mark != "?":
        _apply_mark(reading, mark)
        return
    first = next(text for text in reading.texts if "," in text)
    point = first.replace(",", ".")
    without = first.replace(",", "")
    got = f"'{first}', which may be {point} or {without}"
    hint = 'write [read] decimal = "," or "." in the mapping, or points in the file'
    raise DataError(f"column '{name}'", "numbers that read one way", got, "", hint)


def _apply_mark(reading: _Reading, mark: str) -> None:
    """Read numbers with a mark of decimals."""
    if mark == ",":
        reading.replace(_POINT_GROUPS, ".", ",", "points between thousands")
        reading.replace(_DECIMAL_COMMA, ".", ",", "decimal commas")
    elif mark == ".":
        reading.replace(_COMMA_GROUPS, ",", ".", "commas between thousands")


def decimal_mark(texts: Sequence[str]) -> str:
    """The mark of decimals of a column: a comma, a point, ``?`` where both fit, or nothing."""
    notations = {_notation(text) for text in texts}
    if {",", "."} <= notations:
        return ""
    for mark in (",", "."):
        if mark in notations:
            return mark
    if "?" in notations:
        return "." if "plain" in notations else "?"
    return ""


def _notation(text: str) -> str:
    """What a text says of the mark of decimals, ``?`` where a comma may be one."""
    if "," not in text:
        return "plain" if "." in text and is_number(text) else ""
    if _ONE_GROUP.fullmatch(text):
        return "?"
    if _COMMA_GROUPS.fullmatch(text):
        return "."
    is_comma = _DECIMAL_COMMA.fullmatch(text) or _POINT_GROUPS.fullmatch(text)
    return "," if is_comma else ""


def with_decimal_mark(texts: Sequence[str], mark: str) -> list[str]:
    """Texts with a stated mark of decimals, those that are numbers under it."""
    clean = list(map(_clean, texts))
    reading = _Reading(clean)
    reading.replace(_SPACED, " '", ".", "digits in groups")
    _apply_mark(reading, mark)
    numbers = map(_number, reading.texts)
    columns = zip(texts, reading.texts, numbers, strict=True)
    return [text if number is None else plain for text, plain, number in columns]
