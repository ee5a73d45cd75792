"""Errors of one column of a published catalogue, as differences of log10 to each side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cinn_clusters.catalogues.errors.error_checks import (
    DEX,
    demand_no_bounds,
    demand_order,
    demand_size,
)
from cinn_clusters.catalogues.errors.measured import (
    Measured,
    factor_to_value,
    kind_of_error,
    own_scale,
    share_of_value,
)
from cinn_clusters.catalogues.mapping import Quantity
from cinn_clusters.catalogues.table_files import numbers
from cinn_clusters.data.reading.absence import is_known_mark
from cinn_clusters.errors import DataError

Note = Callable[[np.ndarray, str], None]
"""(rows, reason): what is wrong with some rows, (N,) bool."""
_LARGE = 0.8
"""An error above this share of its value in most rows is taken for a bound, and noted."""
_SMALLEST_SHARE = 0.05
"""An error below never brings a value to less than this share of it."""


@dataclass(frozen=True, eq=False)
class _Side:
    """Errors on one side of the values [dex], (N,): NaN where none can be used; where they are wrong."""

    column: str
    error: np.ndarray
    is_wrong: np.ndarray


def errors_of(measured: Measured, note: Note) -> tuple[np.ndarray, list[str]]:
    """Standard errors below and above [dex], (2, N), and a log of those that had to be filled.

    A missing or wrong error never makes a value exact: the other side stands for it, else the
    median of its column; where the whole column has none, the error is NaN and the value cannot be
    used. ``note`` is called with the rows whose error is missing or wrong.

    Raises:
        DataError: If the unit of an error does not convert to that of the value, or in most rows
            bounds are none, errors are bounds, or their size is that of another unit.
    """
    quantity = measured.quantity
    columns = quantity.error_columns
    if columns is None:
        stated = quantity.error_value or 0.0
        return np.full((2, len(measured.log_value)), stated), []
    if quantity.low:
        both_errors = [
            _of_bound(measured, name, sign)
            for name, sign in zip(columns, (-1, 1), strict=True)
        ]
        _demand_bounds(measured, both_errors)
        for side in both_errors:
            demand_size(measured, side.column, side.error, DEX)
        return _filled(measured, both_errors, "a bound on its side of the value", note)
    demand_no_bounds(measured)
    both_errors = [_of_error(measured, name) for name in columns]
    for side in both_errors[: len(set(columns))]:
        _note_likely_bounds(measured, side, note)
    both_errors, log = _stated_sides(measured, both_errors)
    errors, filled = _filled(measured, both_errors, "an error of at least 0", note)
    return errors, log + filled


def _stated_sides(
    measured: Measured, both_errors: list[_Side]
) -> tuple[list[_Side], list[str]]:
    """Errors of 0 beside others, and sides without any error, are not stated; a log of them."""
    both_errors, log = _without_zeros(measured, both_errors)
    has_value = measured.has_value
    has_errors = [np.isfinite(side.error[has_value]).any() for side in both_errors]
    if all(has_errors) or not any(has_errors):
        return both_errors, log
    absent, other = both_errors if has_errors[1] else both_errors[::-1]
    remedy = f"those of {other.column} were taken for both"
    log.append(f"{absent.column}: no row has an error: {remedy}")
    return [other, other], log


def _without_zeros(
    measured: Measured, both_errors: list[_Side]
) -> tuple[list[_Side], list[str]]:
    columns = {side.column: side.error == 0.0 for side in both_errors}
    zeros = {name: rows & measured.has_value for name, rows in columns.items()}
    zeros = {name: rows for name, rows in zeros.items() if rows.any()}
    if not measured.quantity.shows_marks or not zeros:
        return both_errors, []
    if not any(np.any(side.error > 0.0) for side in both_errors):
        names = " and ".join(zeros)
        return both_errors, [f"{names}: 0 in every row, values are taken as exact"]
    log = [_note_of_zeros(name, rows, measured) for name, rows in zeros.items()]
    without = [
        replace(side, error=np.where(side.error == 0.0, np.nan, side.error))
        for side in both_errors
    ]
    return without, log


def _note_of_zeros(name: str, rows: np.ndarray, measured: Measured) -> str:
    count = f"{int(rows.sum())} of {int(measured.has_value.sum())} errors"
    remedy = " (missing = [] takes it as exact)" * measured.is_mapped
    return f"{name}: 0 in {count} stands for none{remedy}"


def _demand_bounds(measured: Measured, both_errors: list[_Side]) -> None:
    has_value = measured.has_value
    below, above = both_errors
    demand_order(measured, below.column, above.column)
    is_crossed = has_value & (below.is_wrong | above.is_wrong)
    num_crossed = int(is_crossed.sum())
    if 2 * num_crossed <= has_value.sum():
        return
    subject = f"columns {', '.join(side.column for side in both_errors)}"
    expected = f"bounds on both sides of {measured.quantity.column}"
    got = f"others in {num_crossed} of {has_value.sum()} rows"
    hint = "map them as error_low and error_high if they are errors"
    raise DataError(subject, expected, got, "", hint)


def _of_bound(measured: Measured, name: str, sign: int) -> _Side:
    """Distance of a bound from its value, below it (sign -1) or above (+1)."""
    bound, is_text = numbers(measured.table, name)
    scale = own_scale(measured, name)
    factor = factor_to_value(scale, name, measured)
    log_bound = scale.logarithm(bound) + np.log10(factor)
    distance = log_bound - measured.log_value
    error = sign * distance
    if sign < 0 and not scale.is_log:  # a lower bound of zero is no wrong one
        largest = -np.log10(_SMALLEST_SHARE)
        error = np.where(bound == 0.0, np.inf, error)
        error = np.minimum(error, largest)

    is_negative = ~np.isnan(bound) & np.isnan(log_bound)
    is_crossed = error < -1e-9  # on the other side of the value
    is_wrong = is_text | np.isinf(error) | is_crossed | is_negative
    error = np.maximum(error, 0.0)
    usable_error = np.where(is_wrong, np.nan, error)
    return _Side(name, usable_error, is_wrong)


def _of_error(measured: Measured, name: str) -> _Side:
    stated, is_text = numbers(measured.table, name)
    is_low = name == measured.quantity.error_low
    if is_low:
        stated = _without_sign(measured, stated)

    is_wrong = is_text | (stated < 0.0) | np.isinf(stated)
    stated = np.where(is_wrong, np.nan, stated)
    kind, factor = kind_of_error(measured, name)
    error = stated * factor
    if kind == "dex":
        demand_size(measured, name, error, DEX)
        return _Side(name, error, is_wrong)

    # d log10 v = dv / (v ln 10) for one error to both sides, log10 (1 +- dv / v) for two
    share = share_of_value(measured, error, kind)
    demand_size(measured, name, share, "of the value")
    if measured.quantity.error:
        return _Side(name, share / np.log(10.0), is_wrong)
    change = 1.0 + share
    if is_low:
        change = np.maximum(1.0 - share, _SMALLEST_SHARE)
    return _Side(name, np.abs(np.log10(change)), is_wrong)


def _without_sign(measured: Measured, stated: np.ndarray) -> np.ndarray:
    """Lower errors (N,), which often all carry a sign; NaN where all of them are one mark."""
    if np.any(stated > 0.0):
        return stated
    finite = stated[np.isfinite(stated)]
    distinct = np.unique(finite)
    if len(distinct) != 1 or len(finite) == 1:
        return -stated
    mark = distinct[0]
    is_mark = mark < 0.0 and is_known_mark(mark)
    if is_mark and not _mirrors_upper(measured, stated):
        return np.full_like(stated, np.nan)
    return -stated


def _mirrors_upper(measured: Measured, stated: np.ndarray) -> bool:
    upper = measured.quantity.error_high
    if upper is None:
        return False
    values = numbers(measured.table, upper)[0]
    return bool(np.array_equal(values, -stated, equal_nan=True))


def _note_likely_bounds(measured: Measured, side: _Side, note: Note) -> None:
    """Note errors about as large as their values, as bounds are."""
    kind, factor = kind_of_error(measured, side.column)
    if kind != "linear":
        return
    stated = np.abs(numbers(measured.table, side.column)[0])
    share = share_of_value(
        measured, np.where(side.is_wrong, np.nan, stated) * factor, kind
    )
    is_large = share > _LARGE
    if 2 * is_large.sum() > np.isfinite(share).sum():
        reason = f"above {_LARGE:g} of the value, as in most rows"
        note(
            is_large,
            f"{side.column}: {reason}: a bound (map it as low or high), or a percentage?",
        )


def _filled(
    measured: Measured, both_errors: list[_Side], expected: str, note: Note
) -> tuple[np.ndarray, list[str]]:
    """Fill errors by the other side, else by the median of the rows that have one."""
    has_value, log = measured.has_value, []
    errors = np.stack([side.error for side in both_errors])
    is_stated = np.isfinite(errors)

    def fill(rows: np.ndarray, column: str, is_wrong: np.ndarray, remedy: str) -> None:
        note(rows & ~is_wrong, f"{column}: error missing: {remedy}")
        note(rows & is_wrong, f"{column}: expected {expected}: {remedy}")
        num_filled, num_values = int(rows.sum()), int(has_value.sum())
        if num_filled:
            count = f"{num_filled} of {num_values}"
            log.append(f"{column}: {count} errors missing or wrong: {remedy}")

    remedy = "the other side's was taken"
    for number, side in enumerate(both_errors):
        rows = has_value & ~is_stated[number] & is_stated[1 - number]
        fill(rows, side.column, side.is_wrong, remedy)
    errors = np.where(is_stated, errors, errors[::-1])

    either_wrong = both_errors[0].is_wrong | both_errors[1].is_wrong
    has_error = is_stated.any(0)
    has_none = has_value & ~has_error
    columns = " and ".join(dict.fromkeys(side.column for side in both_errors))
    usable = errors[:, has_value & has_error]
    if usable.size == 0:
        remedy = "no row of the column has one, the value was taken as missing"
        fill(has_none, columns, either_wrong, remedy)
        return errors, log
    median = np.median(usable, axis=1)
    remedy = f"the column's median was taken ({median.mean():.3f} dex)"
    fill(has_none, columns, either_wrong, remedy)
    return np.where(has_none, median[:, None], errors), log


def describe_errors(quantity: Quantity) -> str:
    """Say in words where errors come from."""
    if quantity.error_value is not None:
        return f"error {quantity.error_value:g} dex for all"
    if quantity.error_columns is None:
        return "no errors stated"
    columns = ", ".join(dict.fromkeys(quantity.error_columns))
    if quantity.low:
        return f"bounds {columns}"
    return f"errors {columns}"
