"""Tables under the column names of the simulation, of which any may be absent.

Values stand in the unit of their column, unless the file states another one; ``sigma_<name>`` holds
the standard error of a column, in dex for logarithms and positive quantities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.table import Table

from cinn_clusters.catalogues.blanked import blank_named
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.errors.measured import Measured
from cinn_clusters.catalogues.errors.uncertainties import errors_of
from cinn_clusters.catalogues.mapping import Quantity
from cinn_clusters.catalogues.table_files import names_of, numbers
from cinn_clusters.catalogues.units import (
    Scale,
    conversion_factor,
    read_unit,
    unit_in_file,
)
from cinn_clusters.cosmology import HUBBLE_CONSTANT, time_of_redshift
from cinn_clusters.data.checks import Problem, problems
from cinn_clusters.errors import DataError
from cinn_clusters.schema import DEFAULT, ERROR_PREFIX, Schema, fits_unit

_REMEDY_OF_DEX = f"{ERROR_PREFIX}<name> is in dex, unless the file states its unit; leave it out for exact values"


def read_by_name(
    table: Table, columns: Sequence[str], schema: Schema = DEFAULT
) -> ConvertedCatalogue:
    """Read the observables of a table by name.

    Args:
        table: The catalogue.
        columns: Observables that are wanted; those that the table lacks are missing in every row.
        schema: Units and bounds of the columns.

    Returns:
        Their values and errors; what cannot be right is missing, and a reason of its row.

    Raises:
        DataError: If the unit of a column does not convert to that of the simulation.
    """
    converted = ConvertedCatalogue(names_of(table, None))
    add_by_name(converted, table, columns, schema)
    return converted


def with_time(table: Table, schema: Schema) -> Table:
    """Return a table with the lookback time, made from the declared redshift where it has none."""
    redshift, time = schema.having("redshift"), schema.time
    if time is None or redshift is None or time in table.colnames:
        return table
    if redshift not in table.colnames:
        return table
    timed = table.copy(copy_data=False)
    timed[time] = time_of_redshift(numbers(table, redshift)[0])
    return timed


def add_by_name(
    converted: ConvertedCatalogue,
    table: Table,
    columns: Sequence[str],
    schema: Schema = DEFAULT,
) -> None:
    """Add further observables of a table by name; see ``read_by_name``."""
    table, marks = blank_named(table, columns, schema)
    converted.log.extend(marks)
    for name in columns:
        if name in table.colnames:
            reader = _ColumnReader(converted, table, name, schema)
            value = reader.errors(reader.values())
            converted.values[name] = value
    if schema.time in converted.values:
        _note_missing_times(converted, schema.time)


def _note_missing_times(converted: ConvertedCatalogue, time: str) -> None:
    """Say of rows without a time that they have none, where nothing else is said of it."""
    for row in np.flatnonzero(np.isnan(converted.values[time])):
        reasons = converted.reasons[int(row)]
        if not any(reason.startswith(time) for reason in reasons):
            reasons.append(f"{time}: no time, no answer")


def _demand_some_possible(problem: Problem, value: np.ndarray) -> None:
    """Refuse a column of two rows or more that cannot be right in any: its unit is wrong."""
    num_wrong = int(problem.rows.sum())
    if num_wrong < max(2, int(np.isfinite(value).sum())):
        return
    got = f"{np.median(value[problem.rows]):.4g} in the median of {num_wrong} rows"
    hint = "convert the column, or state its unit in the file (.ecsv, .fits, .vot)"
    subject, all_wrong = f"column '{problem.column}'", f"{got}, all {problem.fault}"
    raise DataError(subject, problem.expected, all_wrong, "", hint)


@dataclass(frozen=True, eq=False)
class _ColumnReader:
    converted: ConvertedCatalogue
    table: Table
    name: str
    schema: Schema

    @property
    def scale(self) -> Scale:
        """Unit of the column in the simulation."""
        unit = fits_unit(self.schema.column(self.name).unit) or ""
        return read_unit(unit, self.name, u.dimensionless_unscaled)

    def values(self) -> np.ndarray:
        """Values (N,) in the unit of the simulation, NaN where they cannot be right."""
        name, note = self.name, self.converted.note
        value, is_text = numbers(self.table, name)
        reason = f"{name}: expected a number"
        self.converted.note_values(is_text, reason, self.table[name])
        value = self._in_own_unit(value)
        for problem in problems(
            pd.DataFrame({name: value}), [name], self.schema, optional=[name]
        ):
            _demand_some_possible(problem, value)
            reason = f"{problem.fault}, expected {problem.expected}, taken as missing"
            note(problem.rows, f"{name}: {reason}")
            value = np.where(problem.rows, np.nan, value)
        return value

    def errors(self, value: np.ndarray) -> np.ndarray:
        """Add errors, and return the values: missing where a stated error cannot be used."""
        column = ERROR_PREFIX + self.name
        if column not in self.table.colnames:
            return value
        scale = self.scale
        is_logarithmic = self.schema.column(self.name).is_log or scale.is_log
        is_unit_stated = is_logarithmic and unit_in_file(self.table, column) is not None
        quantity = Quantity(column=self.name, error=column)
        if not is_unit_stated:
            quantity = Quantity(column=self.name, error=column, error_scale="dex")
        log_value = value
        if is_logarithmic:
            log_value = scale.logarithm(value)
        measured = Measured(
            self.table,
            quantity,
            log_value,
            scale,
            HUBBLE_CONSTANT,
            # a quantity with a sign has errors of any size
            remedy=_REMEDY_OF_DEX * is_logarithmic,
            is_mapped=False,
        )
        errors, filled = errors_of(measured, self.converted.note)
        self.converted.log.extend(filled)
        value = np.where(np.isnan(errors).any(0), np.nan, value)
        self.converted.two_sided[self.name] = np.where(np.isnan(value), 0.0, errors)
        return value

    def _in_own_unit(self, value: np.ndarray) -> np.ndarray:
        stated = unit_in_file(self.table, self.name)
        if stated is None:
            return value
        own = self.scale
        if own.unit == u.dimensionless_unscaled:
            return value
        scale = read_unit(stated, self.name, own.unit)
        if scale == own:
            return value
        try:
            factor = conversion_factor(scale.unit, own.unit)
        except u.UnitConversionError as error:
            hint = "correct the file, or map it (--mapping)"
            subject, expected = f"unit of '{self.name}'", f"one that converts to {own}"
            raise DataError(subject, expected, f"'{stated}'", "", hint) from error
        self.converted.log.append(f"{self.name}: {scale} to {own}")
        linear = scale.linear(value) * factor
        if own.is_log:
            return Scale(own.unit).logarithm(linear)
        return linear
