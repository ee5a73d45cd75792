"""Errors of redshifts, and how much converted values change with them."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.table import Column, Table

from cinn_clusters import schema
from cinn_clusters.catalogues.blanked import blank_mapped
from cinn_clusters.catalogues.convert import convert
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.errors.measured import Measured
from cinn_clusters.catalogues.errors.uncertainties import errors_of
from cinn_clusters.catalogues.mapping import Mapping, Quantity
from cinn_clusters.catalogues.table_files import numbers
from cinn_clusters.catalogues.units import Scale
from cinn_clusters.errors import DataError

_LARGEST_MEDIAN = 0.5
"""Errors of redshifts above this in the median are velocities or percentages."""
_LEAST_STEP = 1e-3
"""Least step of redshift by which slopes are taken."""


def redshift_errors(
    table: Table, mapping: Mapping, converted: ConvertedCatalogue
) -> tuple[np.ndarray, np.ndarray] | None:
    """Redshifts (N,) and their errors below and above (2, N); None where a mapping states none.

    An error of 0 is that of a spectroscopic redshift: exact. ``error_value`` is sigma / (1 + z).

    Raises:
        DataError: If the errors are those of another unit.
    """
    quantity = mapping.redshift
    if quantity is None or not quantity.has_errors:
        return None
    blanked, _ = blank_mapped(table, Mapping(redshift=quantity))
    redshift, _ = numbers(blanked, quantity.column)
    is_known = np.isfinite(converted.values[schema.LOOKBACK])
    redshift = np.where(is_known, redshift, np.nan)
    if quantity.error_value is not None:
        error = quantity.error_value * (1.0 + redshift)
        errors = np.stack([error, error])
    else:
        errors = _stated(blanked, quantity, redshift, converted)
    return redshift, np.nan_to_num(np.where(is_known, errors, 0.0))


def _stated(
    table: Table,
    quantity: Quantity,
    redshift: np.ndarray,
    converted: ConvertedCatalogue,
) -> np.ndarray:
    """Errors of columns, (2, N)."""
    exact = quantity.model_copy(update={"missing": ()})  # where the error is 0
    scale = Scale(u.dimensionless_unscaled, is_log=True)  # as they stand
    hubble = Mapping().cosmology.H0
    measured = Measured(table, exact, redshift, scale, hubble, remedy="")
    errors, log = errors_of(measured, converted.note)
    converted.log.extend(log)
    positive = errors[errors > 0.0]
    if positive.size and np.median(positive) > _LARGEST_MEDIAN:
        subject = f"errors of '{quantity.column}'"
        expected = f"a median below {_LARGEST_MEDIAN:g}"
        got = f"{np.median(positive):.3g}"
        hint = "state errors of the redshift itself, no velocities or percentages"
        raise DataError(subject, expected, got, "", hint)
    return errors


def slopes_with_redshift(
    table: Table, mapping: Mapping, redshift: np.ndarray, errors: np.ndarray
) -> dict[str, np.ndarray]:
    """Change of the converted values with the redshift, in the unit of their errors, (N,) each.

    Definitions, apertures, sizes on the sky and temperatures follow. What the catalogue derived
    with its redshift itself (luminosities, masses of these) does not: a mapping does not say how.
    """
    assert mapping.redshift is not None
    column = mapping.redshift.column
    step = np.maximum(errors.max(0), _LEAST_STEP)
    step_down = np.minimum(step, 0.5 * redshift)
    above = convert(_at(table, column, redshift + step), mapping)
    below = convert(_at(table, column, redshift - step_down), mapping)
    slopes = {}
    for name in above.two_sided:
        change = _in_dex(above, name) - _in_dex(below, name)
        slopes[name] = np.nan_to_num(change / (step + step_down))
    return slopes


def _at(table: Table, column: str, redshift: np.ndarray) -> Table:
    result = table.copy(copy_data=False)
    result[column] = Column(redshift)
    return result


def _in_dex(converted: ConvertedCatalogue, name: str) -> np.ndarray:
    value = converted.values[name]
    if schema.column(name).is_log:
        return np.asarray(np.log10(value))
    return value
