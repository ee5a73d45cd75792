"""Errors of one column of a published catalogue, as differences of log10 to each side."""

from __future__ import annotations

from collections.abc import Callable
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


def errors_of(
    table: Table, quantity: Quantity, log_value: np.ndarray, scale: Scale, hubble: float, tell: Tell
) -> tuple[np.ndarray, list[str]]:
    """Standard errors to both sides, and the account of those that had to be filled.

    A missing or wrong error never makes a value exact: the other side stands for it, else the median of its column;
    where the whole column has none, the error is NaN and the value cannot be used.

    Args:
        table: The catalogue.
        quantity: Which columns hold them.
        log_value: log10 of the values in their own unit, (N,); NaN where missing.
        scale: How the values are meant.
        hubble: H0 of the catalogue [km/s/Mpc], for an ``h`` that stands in one unit only.
        tell: Called with the rows whose error is missing or wrong.

    Returns:
        Errors below and above [dex], (2, N), and lines of the account.

    Raises:
        DataError: If the unit of an error does not convert to that of the value.
    """
    sides = np.full((2, len(log_value)), quantity.error_value or 0.0)
    names = [quantity.error or quantity.error_low, quantity.error or quantity.error_high]
    names = [name or names[1 - side] for side, name in enumerate(names)]
    if names[0] is None or names[1] is None:
        return sides, []
    wrong = np.zeros(sides.shape, dtype=bool)
    for side, name in enumerate(names):
        sides[side], wrong[side] = _stated(table, str(name), quantity, log_value, scale, hubble)
    return _filled(sides, wrong, [str(name) for name in names], np.isfinite(log_value), tell)


def _stated(
    table: Table, name: str, quantity: Quantity, log_value: np.ndarray, scale: Scale, hubble: float
) -> tuple[np.ndarray, np.ndarray]:
    """Errors of one column [dex], NaN where none can be used, and where that is because one is wrong, both (N,)."""
    side, is_text = numbers(table, name)
    is_low = name == quantity.error_low
    if is_low and not (side > 0.0).any():
        side = -side  # lower errors are often given with their sign
    wrong = is_text | (side < 0.0) | np.isinf(side)
    kind, factor = _meaning(table, name, quantity, scale, hubble)
    return _in_dex(np.where(wrong, np.nan, side) * factor, log_value, kind, quantity, is_low=is_low), wrong


def _filled(
    sides: np.ndarray, wrong: np.ndarray, names: list[str], has_value: np.ndarray, tell: Tell
) -> tuple[np.ndarray, list[str]]:
    """Errors (2, N) with the other side, else the median of the rows that have one, where a value has none."""
    known, account = np.isfinite(sides), []

    def told(rows: np.ndarray, name: str, is_wrong: np.ndarray, then: str) -> None:
        tell(rows & ~is_wrong, f"{name}: error missing: {then}")
        tell(rows & is_wrong, f"{name}: expected an error of at least 0: {then}")
        if rows.any():
            account.append(f"{name}: {int(rows.sum())} of {int(has_value.sum())} errors missing or wrong: {then}")

    for side in (0, 1):
        told(has_value & ~known[side] & known[1 - side], names[side], wrong[side], "the other side's was taken")
    sides = np.where(known, sides, sides[::-1])
    none = has_value & ~(known[0] | known[1])
    name, some = " and ".join(dict.fromkeys(names)), has_value & (known[0] | known[1])
    if not some.any():
        told(none, name, wrong[0] | wrong[1], "no row of the column has one, the value was taken as missing")
        return sides, account
    median = np.median(sides[:, some], axis=1)
    told(none, name, wrong[0] | wrong[1], f"the column's median was taken ({median.mean():.3f} dex)")
    return np.where(none, median[:, None], sides), account


def _meaning(table: Table, name: str, quantity: Quantity, scale: Scale, hubble: float) -> tuple[Kind, float]:
    """How an error column is meant, and what brings it to the unit of its value: its own unit, else that of the value.

    A unit that the file states for both alike is that of the value, whatever the mapping says that is.
    """
    stated = unit_in_file(table, name)
    if quantity.error_scale == "dex":
        return "dex", 1.0
    own = Scale(scale.unit, scale.is_log)
    if stated is not None and stated != unit_in_file(table, quantity.column):
        own = read_unit(stated, name, u.dimensionless_unscaled)
    if own.unit.is_equivalent(u.dimensionless_unscaled) and not own.is_log:
        return "relative", float(own.unit.to(u.dimensionless_unscaled))
    if quantity.error_scale == "relative":
        return "relative", 1.0
    if own.is_log and quantity.error_scale is None:
        return "dex", 1.0
    return "linear", _factor(own, name, scale, hubble)


def _factor(own: Scale, name: str, scale: Scale, hubble: float) -> float:
    """What brings one unit to another, an ``h`` of the catalogue taken out."""
    with_h = cosmology_units.with_H0(hubble * u.km / u.s / u.Mpc)
    try:
        return float((1.0 * own.unit).to(scale.unit, with_h).value)
    except u.UnitConversionError as error:
        what = f"unit of the error '{name}'"
        raise DataError(what, f"one that converts to {scale.unit}", f"'{own.unit}'", "", "correct the file") from error


def _in_dex(side: np.ndarray, log_value: np.ndarray, kind: Kind, quantity: Quantity, *, is_low: bool) -> np.ndarray:
    """An error as a difference of log10: exact for each side where they differ, the slope where one is for both."""
    if kind == "dex":
        return side
    with np.errstate(over="ignore", invalid="ignore"):
        share = side if kind == "relative" else side / 10.0**log_value
        if quantity.error:
            return np.asarray(share / np.log(10.0))
        return np.asarray(-np.log10(np.maximum(1.0 - share, 0.05)) if is_low else np.log10(1.0 + share))


def told_errors(quantity: Quantity) -> str:
    """Say in words where errors come from."""
    if quantity.error_value is not None:
        return f"error {quantity.error_value:g} dex for all"
    sides = [name for name in (quantity.error, quantity.error_low, quantity.error_high) if name]
    return f"errors {', '.join(sides)}" if sides else "no errors stated"
