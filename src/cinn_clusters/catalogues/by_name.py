"""Tables under the column names of the simulation, of which any may be absent.

Values stand in the unit of their column, unless the file states another one; ``sigma_<name>`` holds
the standard error of a column, in dex for logarithms and positive quantities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.table import Table

from cinn_clusters import schema
from cinn_clusters.catalogues.convert import ConvertedCatalogue
from cinn_clusters.catalogues.mapping import Quantity
from cinn_clusters.catalogues.table_files import names_of, numbers
from cinn_clusters.catalogues.uncertainties import Measured, errors_of
from cinn_clusters.catalogues.units import Scale, conversion_factor, read_unit, unit_in_file
from cinn_clusters.cosmology import HUBBLE_CONSTANT
from cinn_clusters.data.checks import problems
from cinn_clusters.errors import DataError


def read_by_name(table: Table, columns: Sequence[str]) -> ConvertedCatalogue:
    """Read the observables of a table by name.

    Args:
        table: The catalogue.
        columns: Observables that are wanted; those that the table lacks are missing in every row.

    Returns:
        Their values and errors; what cannot be right is missing, and a reason of its row.

    Raises:
        DataError: If the unit of a column does not convert to that of the simulation.
    """
    converted = ConvertedCatalogue(names_of(table, None))
    add_by_name(converted, table, columns)
    return converted


def add_by_name(converted: ConvertedCatalogue, table: Table, columns: Sequence[str]) -> None:
    """Add further observables of a table by name; see ``read_by_name``."""
    for name in columns:
        if name in table.colnames:
            _add_column(converted, table, name)


def _add_column(converted: ConvertedCatalogue, table: Table, name: str) -> None:
    value, is_text = numbers(table, name)
    converted.note(is_text, f"{name}: expected a number")
    value = _in_own_unit(converted, table, name, value)
    for problem in problems(pd.DataFrame({name: value}), [name]):
        if problem.fault == "NaN":  # absent or masked: missing, and nothing wrong with it
            continue
        reason = f"{name}: {problem.fault}, expected {problem.expected}, taken as missing"
        converted.note(problem.rows, reason)
        value = np.where(problem.rows, np.nan, value)
    error_column = schema.ERROR_PREFIX + name
    if error_column in table.colnames:
        value = _add_errors(converted, table, name, value)
    converted.values[name] = value


def _in_own_unit(
    converted: ConvertedCatalogue, table: Table, name: str, value: np.ndarray
) -> np.ndarray:
    """Values (N,) in the unit of the simulation's column."""
    stated, own = unit_in_file(table, name), _own_scale(name)
    if stated is None or own is None:
        return value
    scale = read_unit(stated, name, own.unit)
    if scale == own:
        return value
    try:
        factor = conversion_factor(scale.unit, own.unit)
    except u.UnitConversionError as error:
        expected, hint = f"one that converts to {own}", "correct the file, or map it (--mapping)"
        raise DataError(f"unit of '{name}'", expected, f"'{stated}'", "", hint) from error
    converted.log.append(f"{name}: {scale} to {own}")
    linear = scale.linear(value) * factor
    return own.logarithm(linear) if own.is_log else linear


def _own_scale(name: str) -> Scale | None:
    unit = schema.fits_unit(schema.column(name).unit)
    return None if unit is None else read_unit(unit, name, u.dimensionless_unscaled)


def _add_errors(
    converted: ConvertedCatalogue, table: Table, name: str, value: np.ndarray
) -> np.ndarray:
    """Add the errors of a column, and return its values: missing where no error can be used."""
    column, known = schema.ERROR_PREFIX + name, schema.column(name)
    scale = _own_scale(name) or Scale(u.dimensionless_unscaled)
    is_logarithmic = known.is_log or scale.is_log
    is_unit_stated = is_logarithmic and unit_in_file(table, column) is not None
    quantity = Quantity(column=name, error=column, error_scale=None if is_unit_stated else "dex")
    log_value = scale.logarithm(value) if is_logarithmic else value
    errors, filled = errors_of(
        Measured(table, quantity, log_value, scale, HUBBLE_CONSTANT), converted.note
    )
    converted.log.extend(filled)
    value = np.where(np.isnan(errors).any(0), np.nan, value)
    converted.two_sided[name] = np.where(np.isnan(value), 0.0, errors)
    return value
