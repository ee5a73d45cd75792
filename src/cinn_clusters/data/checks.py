"""What a value may be: finite, inside its bounds, in the unit the schema says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cinn_clusters.cosmology import (
    age_at_lookback,
    log_radius_crit500,
    redshift_at_lookback,
)
from cinn_clusters.errors import DataError
from cinn_clusters.schema import DEFAULT, KEYS, Column, Schema

AGE_TOLERANCE = 0.02
"""A collision may seem this much [Gyr] later than its snapshot: 5 Myr between cosmologies, and
rounding."""
RADIUS_TOLERANCE = 0.03
"""R500 and M500 contradict each other when their median differs by more [dex]; in the simulation
it is 0.00003."""
MIN_ROWS_FOR_MEDIAN = 20
"""A median of fewer rows tells nothing of the unit of a table."""
_ATYPICAL_HINT = "check the unit; if the sample really is so, pass --allow-atypical"


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows of one column that are wrong in one way.

    Args:
        column: Name.
        expected: What a right value would be.
        fault: What the values are instead, e.g. ``NaN``.
        rows: Which rows, (N,) bool.
        hint: What to do.
    """

    column: str
    expected: str
    fault: str
    rows: np.ndarray
    hint: str = ""


def problems(
    frame: pd.DataFrame,
    names: Sequence[str],
    schema: Schema = DEFAULT,
    *,
    optional: Collection[str] = (),
    keep_marks: bool = False,
) -> list[Problem]:
    """Look at every value of the named columns.

    Args:
        frame: Numbers.
        names: Columns to check.
        schema: What they are.
        optional: Those that may be missing.
        keep_marks: Let missing-value marks pass.

    Returns:
        One entry a column and kind of fault; empty when all is well.
    """
    faults = [
        problem
        for name in names
        for problem in _column_problems(frame[name], schema.column(name), keep_marks)
        if problem.fault != "NaN" or name not in optional
    ]
    time, collision = schema.time, schema.collision_time
    if collision in names and time in frame:
        age = age_at_lookback(frame[time].to_numpy(float))
        is_late = (frame[collision] > age + AGE_TOLERANCE).to_numpy()
        hint = f"check the units of {collision} (cosmic age) and {time}"
        expected = "at most the age at observation"
        faults.append(Problem(str(collision), expected, "later", is_late, hint))
    return [problem for problem in faults if problem.rows.any()]


def demand_no_problem(
    frame: pd.DataFrame,
    names: Sequence[str],
    schema: Schema = DEFAULT,
    *,
    optional: Collection[str] = (),
    keep_marks: bool = False,
) -> None:
    """Refuse a table with a wrong value; arguments as for ``problems``.

    Raises:
        DataError: For the first problem.
    """
    for problem in problems(
        frame, names, schema, optional=optional, keep_marks=keep_marks
    ):
        wrong = frame[problem.rows]
        value = wrong[problem.column].iloc[0]
        first = "first at " + ", ".join(
            f"{key} {wrong[key].iloc[0]}" for key in KEYS if key in frame
        )
        if np.isfinite(value):
            first += f" with {value:g}"
        got = f"{int(problem.rows.sum())} {problem.fault}"
        raise DataError(
            f"column '{problem.column}'", problem.expected, got, first, problem.hint
        )


def demand_typical(
    frame: pd.DataFrame, names: Sequence[str], schema: Schema = DEFAULT
) -> None:
    """Refuse a table whose medians tell of another unit (a factor 10 in a mass, ln for log10).

    Raises:
        DataError: For the first column whose median lies outside its typical limits, or if R500
            contradicts M500.
    """
    if len(frame) < MIN_ROWS_FOR_MEDIAN:
        return
    for column in map(schema.column, names):
        reference = column.relative_to
        if reference is None or reference in frame:
            _demand_typical_median(frame, column)
    _demand_radius(frame, names, schema)


def _demand_typical_median(frame: pd.DataFrame, column: Column) -> None:
    values, relation = frame[column.name], ""
    if column.relative_to is not None:
        values = values - frame[column.relative_to]
        relation = f" minus {column.relative_to}"
    median, (lower, upper) = float(values.median()), column.typical
    if median < lower or median > upper:
        expected = f"a median{relation} in [{lower:g}, {upper:g}] [{column.unit}]"
        raise DataError(
            f"column '{column.name}'", expected, f"{median:g}", "", _ATYPICAL_HINT
        )


def _demand_radius(frame: pd.DataFrame, names: Sequence[str], schema: Schema) -> None:
    columns = (schema.mass, schema.radius, schema.time)
    if not {schema.mass, schema.radius} <= set(names) or schema.time not in frame:
        return
    mass, radius, time = (frame[name].to_numpy(float) for name in columns)
    expected_radius = log_radius_crit500(mass, redshift_at_lookback(time))
    offset = float(np.nanmedian(radius - expected_radius))
    if abs(offset) > RADIUS_TOLERANCE:
        raise DataError(
            "columns '{}', '{}' and '{}'".format(*columns),
            "M500 = 500 rho_crit(z) 4/3 pi R500^3 (log10 Msun, log10 comoving kpc, Gyr)",
            f"radii off by {offset:+.2f} dex in the median",
            "",
            _ATYPICAL_HINT,
        )


def _column_problems(
    values: pd.Series, column: Column, keep_marks: bool
) -> list[Problem]:
    number, (lower, upper) = values.to_numpy(float), column.bounds
    unit = f" [{column.unit}]".replace(" []", "")
    marks = [column.missing_mark] * keep_marks
    is_outside = (number < lower) | (number > upper)
    # A floor stands in for the zero of an observable.
    if column.is_log and column.floor == 0:
        is_outside |= number <= 0
    is_outside &= np.isfinite(number) & ~np.isin(number, np.array(marks, dtype=float))
    is_missing, is_infinite = np.isnan(number), np.isinf(number)
    finite, inside = f"finite values{unit}", f"values in [{lower:g}, {upper:g}]{unit}"
    zero_hint = "a logarithm of zero? remove or mend these rows"
    fill_hint = "pass --drop-incomplete or fill them"
    unit_hint = "check the unit (log10 or linear?)"
    return [
        Problem(column.name, finite, "NaN", is_missing, fill_hint),
        Problem(column.name, finite, "infinite", is_infinite, zero_hint),
        Problem(column.name, inside, "outside", is_outside, unit_hint),
    ]
