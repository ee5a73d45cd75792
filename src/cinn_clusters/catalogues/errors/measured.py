"""How a column of errors is meant: its unit, and what brings it to that of the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy import units as u
from astropy.table import Table

from cinn_clusters.catalogues.mapping import Quantity
from cinn_clusters.catalogues.units import (
    Scale,
    conversion_factor,
    read_unit,
    unit_in_file,
)
from cinn_clusters.errors import DataError

_REMEDY = (
    "state error_unit (as in '1e14 Msun', '%' or 'dex') in the mapping, map bounds as low and high,"
    " or map no error, so that values are exact"
)


@dataclass(frozen=True)
class Measured:
    """Values of a quantity, whose errors are wanted.

    Args:
        table: The catalogue.
        quantity: Which columns hold the errors.
        log_value: log10 of the values in their own unit, (N,); NaN where missing.
        scale: How the values are meant.
        hubble: H0 of the catalogue [km/s/Mpc], for an ``h`` that stands in one unit only.
        remedy: What to do about errors of an impossible size; empty: any size is possible.
        is_mapped: Whether a mapping says what the columns are.
    """

    table: Table
    quantity: Quantity
    log_value: np.ndarray
    scale: Scale
    hubble: float
    remedy: str = _REMEDY
    is_mapped: bool = True

    @property
    def has_value(self) -> np.ndarray:
        """Whether a row has a value, (N,)."""
        return np.asarray(np.isfinite(self.log_value))


def own_scale(measured: Measured, name: str) -> Scale:
    """Unit of a column of errors: its own, else that of the value.

    A unit that the file states for both alike is that of the value, whatever the mapping says that
    is.
    """
    stated = measured.quantity.error_unit or unit_in_file(measured.table, name)
    if stated is None or stated == unit_in_file(
        measured.table, measured.quantity.column
    ):
        return measured.scale
    return read_unit(stated, name, measured.scale.unit)


def _has_own_unit(measured: Measured, name: str) -> bool:
    is_named = measured.quantity.error_unit is not None
    return is_named or unit_in_file(measured.table, name) is not None


def kind_of_error(
    measured: Measured, name: str
) -> tuple[Literal["linear", "relative", "dex"], float]:
    """How an error column is meant, and what brings it to the unit of its value."""
    stated = measured.quantity.error_scale
    if stated == "dex":
        return "dex", 1.0
    is_linear = stated == "linear" and measured.scale.is_log
    if is_linear and not _has_own_unit(measured, name):
        subject = f"errors '{name}' of '{measured.quantity.column}'"
        expected = "error_unit beside error_scale = 'linear' on a logarithm"
        hint = "state it in the mapping, as in error_unit = '1e14 Msun'"
        raise DataError(subject, expected, "none", "", hint)
    scale = own_scale(measured, name)
    if scale.unit.is_equivalent(u.dimensionless_unscaled) and not scale.is_log:
        return "relative", float(scale.unit.to(u.dimensionless_unscaled))
    if stated == "relative":
        return "relative", 1.0
    if scale.is_log and stated is None:
        return "dex", 1.0
    return "linear", factor_to_value(scale, name, measured)


def factor_to_value(scale: Scale, name: str, measured: Measured) -> float:
    """What brings one unit to another, an ``h`` of the catalogue taken out."""
    target = measured.scale.unit
    try:
        return conversion_factor(scale.unit, target, measured.hubble)
    except u.UnitConversionError as error:
        subject, got = f"unit of the error '{name}'", f"'{scale.unit}'"
        expected = f"one that converts to {target}"
        raise DataError(subject, expected, got, "", "correct the file") from error


def share_of_value(measured: Measured, error: np.ndarray, kind: str) -> np.ndarray:
    """Errors in units of their values, (N,)."""
    if kind == "relative":
        return error
    with np.errstate(over="ignore"):
        return np.asarray(error / 10.0**measured.log_value)
