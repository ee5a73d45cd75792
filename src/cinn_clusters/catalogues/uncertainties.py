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
) -> np.ndarray:
    """Standard errors [dex], (N,); the mean of both sides where they differ. Wrong ones are told and taken as none.

    Args:
        table: The catalogue.
        quantity: Which columns hold them.
        log_value: log10 of the values in their own unit, (N,).
        scale: How the values are meant.
        hubble: H0 of the catalogue [km/s/Mpc], for an ``h`` that stands in one unit only.
        tell: Called with the rows whose error is wrong.

    Raises:
        DataError: If the unit of an error does not convert to that of the value.
    """
    if quantity.error_value is not None:
        return np.full(len(log_value), quantity.error_value)
    sides = [name for name in (quantity.error, quantity.error_low, quantity.error_high) if name]
    if not sides:
        return np.zeros(len(log_value))
    widths = []
    for name in sides:
        side, is_text = numbers(table, name)
        side = np.abs(side) if name == quantity.error_low else side  # lower errors are often given with their sign
        negative = side < 0.0
        tell(negative | is_text, f"{name}: expected an error of at least 0, taken as none")
        side = np.where(np.isfinite(side) & ~negative, side, 0.0)
        kind, factor = _meaning(table, name, quantity, scale, hubble)
        widths.append(_in_dex(side * factor, log_value, kind, quantity, is_low=name == quantity.error_low))
    return np.asarray(np.mean(widths, axis=0))


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
        share = np.where(np.isfinite(share) & (share > 0), share, 0.0)
        if quantity.error:
            return np.asarray(share / np.log(10.0))
        return np.asarray(-np.log10(np.maximum(1.0 - share, 0.05)) if is_low else np.log10(1.0 + share))


def told_errors(quantity: Quantity) -> str:
    """Say in words where errors come from."""
    if quantity.error_value is not None:
        return f"error {quantity.error_value:g} dex for all"
    sides = [name for name in (quantity.error, quantity.error_low, quantity.error_high) if name]
    return f"errors {', '.join(sides)}" if sides else "no errors stated"
