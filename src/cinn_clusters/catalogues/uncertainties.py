"""Errors of one column of a published catalogue, as differences of log10 to each side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy import units as u
from astropy.table import Table

from cinn_clusters.catalogues.mapping import Quantity
from cinn_clusters.catalogues.table_files import numbers
from cinn_clusters.catalogues.units import (
    Scale,
    conversion_factor,
    read_unit,
    unit_in_file,
)
from cinn_clusters.errors import DataError

Note = Callable[[np.ndarray, str], None]
"""(rows, reason): what is wrong with some rows, (N,) bool."""
_LARGE = 0.8
"""An error above this share of its value in most rows is taken for a bound, and noted."""
_SMALLEST_SHARE = 0.05
"""An error below never brings a value to less than this share of it."""


@dataclass(frozen=True)
class Measured:
    """Values of a quantity, whose errors are wanted.

    Args:
        table: The catalogue.
        quantity: Which columns hold the errors.
        log_value: log10 of the values in their own unit, (N,); NaN where missing.
        scale: How the values are meant.
        hubble: H0 of the catalogue [km/s/Mpc], for an ``h`` that stands in one unit only.
    """

    table: Table
    quantity: Quantity
    log_value: np.ndarray
    scale: Scale
    hubble: float

    @property
    def has_value(self) -> np.ndarray:
        """Whether a row has a value, (N,)."""
        return np.asarray(np.isfinite(self.log_value))


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
        DataError: If the unit of an error does not convert to that of the value, or bounds are none
            in most rows.
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
        return _filled(measured, both_errors, "a bound on its side of the value", note)
    both_errors = [_of_error(measured, name) for name in columns]
    for side in both_errors[: len(set(columns))]:
        _note_likely_bounds(measured, side, note)
    return _filled(measured, both_errors, "an error of at least 0", note)


def _demand_bounds(measured: Measured, both_errors: list[_Side]) -> None:
    has_value = measured.has_value
    below, above = both_errors
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
    scale = _own_scale(measured, name)
    factor = _factor(scale, name, measured)
    log_bound = scale.logarithm(bound) + np.log10(factor)
    error = sign * (log_bound - measured.log_value)
    if sign < 0 and not scale.is_log:  # a lower bound of zero is no wrong one
        largest = -np.log10(_SMALLEST_SHARE)
        error = np.where(bound == 0.0, np.inf, error)
        error = np.minimum(error, largest)

    is_negative = ~np.isnan(bound) & np.isnan(log_bound)
    is_crossed = error < -1e-9  # on the other side of the value
    is_wrong = is_text | np.isinf(error) | is_crossed | is_negative
    error = np.maximum(error, 0.0)
    return _Side(name, np.where(is_wrong, np.nan, error), is_wrong)


def _of_error(measured: Measured, name: str) -> _Side:
    stated, is_text = numbers(measured.table, name)
    is_low = name == measured.quantity.error_low
    is_positive = stated > 0.0
    if is_low and not is_positive.any():
        stated = -stated  # lower errors often carry their sign

    is_wrong = is_text | (stated < 0.0) | np.isinf(stated)
    stated = np.where(is_wrong, np.nan, stated)
    kind, factor = _kind_of_error(measured, name)
    error = stated * factor
    if kind == "dex":
        return _Side(name, error, is_wrong)

    # d log10 v = dv / (v ln 10) for one error to both sides, log10 (1 +- dv / v) for two
    share = _share(measured, error, kind)
    if measured.quantity.error:
        return _Side(name, share / np.log(10.0), is_wrong)
    change = 1.0 + share
    if is_low:
        change = np.maximum(1.0 - share, _SMALLEST_SHARE)
    return _Side(name, np.abs(np.log10(change)), is_wrong)


def _share(measured: Measured, error: np.ndarray, kind: str) -> np.ndarray:
    """Errors in units of their values, (N,)."""
    if kind == "relative":
        return error
    with np.errstate(over="ignore"):
        return np.asarray(error / 10.0**measured.log_value)


def _note_likely_bounds(measured: Measured, side: _Side, note: Note) -> None:
    """Note errors about as large as their values, as bounds are."""
    kind, factor = _kind_of_error(measured, side.column)
    if kind != "linear":
        return
    stated = np.abs(numbers(measured.table, side.column)[0])
    share = _share(measured, np.where(side.is_wrong, np.nan, stated) * factor, kind)
    is_large = share > _LARGE
    if 2 * is_large.sum() > np.isfinite(share).sum():
        reason = f"above {_LARGE:g} of the value, as in most rows"
        note(
            is_large,
            f"{side.column}: {reason}: if it is a bound, map it as low or high",
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


def _own_scale(measured: Measured, name: str) -> Scale:
    """Unit of a column of errors: its own, else that of the value.

    A unit that the file states for both alike is that of the value, whatever the mapping says that
    is.
    """
    stated = unit_in_file(measured.table, name)
    if stated is None or stated == unit_in_file(
        measured.table, measured.quantity.column
    ):
        return measured.scale
    return read_unit(stated, name, u.dimensionless_unscaled)


def _kind_of_error(
    measured: Measured, name: str
) -> tuple[Literal["linear", "relative", "dex"], float]:
    """How an error column is meant, and what brings it to the unit of its value."""
    stated = measured.quantity.error_scale
    if stated == "dex":
        return "dex", 1.0
    scale = _own_scale(measured, name)
    if scale.unit.is_equivalent(u.dimensionless_unscaled) and not scale.is_log:
        return "relative", float(scale.unit.to(u.dimensionless_unscaled))
    if stated == "relative":
        return "relative", 1.0
    if scale.is_log and stated is None:
        return "dex", 1.0
    return "linear", _factor(scale, name, measured)


def _factor(scale: Scale, name: str, measured: Measured) -> float:
    """What brings one unit to another, an ``h`` of the catalogue taken out."""
    target = measured.scale.unit
    try:
        return conversion_factor(scale.unit, target, measured.hubble)
    except u.UnitConversionError as error:
        subject, got = f"unit of the error '{name}'", f"'{scale.unit}'"
        expected = f"one that converts to {target}"
        raise DataError(subject, expected, got, "", "correct the file") from error


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
