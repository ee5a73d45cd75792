"""Errors of one column of a published catalogue, as differences of log10 to each side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy import units as u
from astropy.cosmology import units as cosmology_units
from astropy.table import Table

from cinn_clusters.catalogues.files import numbers
from cinn_clusters.catalogues.mapping import Quantity
from cinn_clusters.catalogues.units import Scale, read_unit, unit_in_file
from cinn_clusters.errors import DataError

Tell = Callable[[np.ndarray, str], None]
"""(rows, reason): what is wrong with some rows."""
Kind = Literal["linear", "relative", "dex"]
LARGE = 0.8
"""An error above this share of its value in most rows is taken for a bound, and told."""
SMALLEST_SHARE = 0.05
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


def errors_of(measured: Measured, tell: Tell) -> tuple[np.ndarray, list[str]]:
    """Standard errors to both sides, and the account of those that had to be filled.

    A missing or wrong error never makes a value exact: the other side stands for it, else the
    median of its column; where the whole column has none, the error is NaN and the value cannot be
    used.

    Args:
        measured: The values.
        tell: Called with the rows whose error is missing or wrong.

    Returns:
        Errors below and above [dex], (2, N), and lines of the account.

    Raises:
        DataError: If the unit of an error does not convert to that of the value, or bounds are none
            in most rows.
    """
    quantity, has_value = measured.quantity, np.isfinite(measured.log_value)
    sides = np.full((2, len(has_value)), quantity.error_value or 0.0)
    names = quantity.error_columns
    if names is None:
        return sides, []
    wrong = np.zeros(sides.shape, dtype=bool)
    for side, name in enumerate(names):
        if quantity.low:
            sides[side], wrong[side] = _of_bound(measured, name, is_low=side == 0)
        else:
            sides[side], wrong[side] = _of_error(
                measured, name, tell if name not in names[:side] else _silent
            )
    if quantity.low and 2 * (crossed := int((wrong.any(0) & has_value).sum())) > has_value.sum():
        what, got = f"columns {', '.join(names)}", f"others in {crossed} of {has_value.sum()} rows"
        hint = "map them as error_low and error_high if they are errors"
        raise DataError(what, f"bounds on both sides of {quantity.column}", got, "", hint)
    expected = "a bound on its side of the value" if quantity.low else "an error of at least 0"
    return _filled(sides, wrong, names, has_value, expected, tell)


def _silent(rows: np.ndarray, reason: str) -> None:
    """Say nothing a second time."""


def _of_bound(measured: Measured, name: str, *, is_low: bool) -> tuple[np.ndarray, np.ndarray]:
    """Distance [dex] of a bound from its value, NaN where none can be used, and where it is
    wrong, both (N,).
    """
    bound, is_text = numbers(measured.table, name)
    own = _own_scale(measured, name)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_bound = (bound if own.is_log else np.log10(bound)) + np.log10(
            _factor(own, name, measured)
        )
    side = measured.log_value - log_bound if is_low else log_bound - measured.log_value
    if is_low and not own.is_log:
        side = np.where(bound == 0.0, np.inf, side)
        side = np.minimum(side, -np.log10(SMALLEST_SHARE))
    wrong = is_text | np.isinf(side) | (side < -1e-9) | (~np.isnan(bound) & np.isnan(log_bound))
    return np.where(wrong, np.nan, np.maximum(side, 0.0)), wrong


def _of_error(measured: Measured, name: str, tell: Tell) -> tuple[np.ndarray, np.ndarray]:
    """Errors of one column [dex], NaN where none can be used, and where that is because one is
    wrong, both (N,).
    """
    side, is_text = numbers(measured.table, name)
    is_low = name == measured.quantity.error_low
    if is_low and not (side > 0.0).any():
        side = -side  # lower errors are often given with their sign
    wrong = is_text | (side < 0.0) | np.isinf(side)
    kind, factor = _meaning(measured, name)
    side = np.where(wrong, np.nan, side) * factor
    if kind == "dex":
        return side, wrong
    with np.errstate(over="ignore"):
        share = side if kind == "relative" else side / 10.0**measured.log_value
    large = share > LARGE
    if kind == "linear" and 2 * large.sum() > np.isfinite(share).sum():
        tell(
            large,
            f"{name}: above {LARGE:g} of the value, as in most rows: if it is a bound, map it as low or high",
        )
    if measured.quantity.error:
        return share / np.log(10.0), wrong
    return -np.log10(np.maximum(1.0 - share, SMALLEST_SHARE)) if is_low else np.log10(
        1.0 + share
    ), wrong


def _filled(
    sides: np.ndarray,
    wrong: np.ndarray,
    names: tuple[str, str],
    has_value: np.ndarray,
    expected: str,
    tell: Tell,
) -> tuple[np.ndarray, list[str]]:
    """Errors (2, N) with the other side, else the median of the rows that have one, where a
    value has none.
    """
    known, account = np.isfinite(sides), []

    def told(rows: np.ndarray, name: str, is_wrong: np.ndarray, then: str) -> None:
        tell(rows & ~is_wrong, f"{name}: error missing: {then}")
        tell(rows & is_wrong, f"{name}: expected {expected}: {then}")
        if rows.any():
            account.append(
                f"{name}: {int(rows.sum())} of {int(has_value.sum())} errors missing or wrong: {then}"
            )

    for side in (0, 1):
        told(
            has_value & ~known[side] & known[1 - side],
            names[side],
            wrong[side],
            "the other side's was taken",
        )
    sides = np.where(known, sides, sides[::-1])
    none = has_value & ~(known[0] | known[1])
    name, some = " and ".join(dict.fromkeys(names)), has_value & (known[0] | known[1])
    if not some.any():
        told(
            none,
            name,
            wrong[0] | wrong[1],
            "no row of the column has one, the value was taken as missing",
        )
        return sides, account
    median = np.median(sides[:, some], axis=1)
    told(
        none, name, wrong[0] | wrong[1], f"the column's median was taken ({median.mean():.3f} dex)"
    )
    return np.where(none, median[:, None], sides), account


def _own_scale(measured: Measured, name: str) -> Scale:
    """Unit of a column of errors: its own, else that of the value.

    A unit that the file states for both alike is that of the value, whatever the mapping says that
    is.
    """
    stated = unit_in_file(measured.table, name)
    if stated is None or stated == unit_in_file(measured.table, measured.quantity.column):
        return measured.scale
    return read_unit(stated, name, u.dimensionless_unscaled)


def _meaning(measured: Measured, name: str) -> tuple[Kind, float]:
    """How an error column is meant, and what brings it to the unit of its value."""
    stated = measured.quantity.error_scale
    if stated == "dex":
        return "dex", 1.0
    own = _own_scale(measured, name)
    if own.unit.is_equivalent(u.dimensionless_unscaled) and not own.is_log:
        return "relative", float(own.unit.to(u.dimensionless_unscaled))
    if stated == "relative":
        return "relative", 1.0
    if own.is_log and stated is None:
        return "dex", 1.0
    return "linear", _factor(own, name, measured)


def _factor(own: Scale, name: str, measured: Measured) -> float:
    """What brings one unit to another, an ``h`` of the catalogue taken out."""
    with_h = cosmology_units.with_H0(measured.hubble * u.km / u.s / u.Mpc)
    target = measured.scale.unit
    try:
        return float((1.0 * own.unit).to(target, with_h).value)
    except u.UnitConversionError as error:
        what = f"unit of the error '{name}'"
        raise DataError(
            what, f"one that converts to {target}", f"'{own.unit}'", "", "correct the file"
        ) from error


def told_errors(quantity: Quantity) -> str:
    """Say in words where errors come from."""
    if quantity.error_value is not None:
        return f"error {quantity.error_value:g} dex for all"
    if quantity.error_columns is None:
        return "no errors stated"
    return f"{'bounds' if quantity.low else 'errors'} {', '.join(dict.fromkeys(quantity.error_columns))}"
