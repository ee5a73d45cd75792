"""What a value may be: finite, inside its bounds, in the unit the schema says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback, log_radius_crit500, redshift_at_lookback
from cinn_clusters.errors import DataError

AGE_TOLERANCE = 0.02
"""A collision may seem this much [Gyr] later than its snapshot: 5 Myr between cosmologies, and
rounding."""
RADIUS_TOLERANCE = 0.03
"""R500 and M500 contradict each other when their median differs by more [dex]; in the simulation
it is 0.00003."""
MIN_ROWS_FOR_MEDIAN = 20
"""A median of fewer rows tells nothing of the unit of a table."""


@dataclass(frozen=True)
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
    frame: pd.DataFrame, names: Sequence[str], *, keep_marks: bool = False
) -> list[Problem]:
    """Look at every value of the named columns.

    Args:
        frame: Numbers.
        names: Columns to check.
        keep_marks: Let missing-value marks pass.

    Returns:
        One entry a column and kind of fault; empty when all is well.
    """
    found = [problem for name in names for problem in _column_problems(frame[name], keep_marks)]
    if schema.COLLISION_TIME in names and schema.LOOKBACK in frame:
        late = (
            frame[schema.COLLISION_TIME]
            > age_at_lookback(frame[schema.LOOKBACK].to_numpy(float)) + AGE_TOLERANCE
        )
        hint = f"check the units of {schema.COLLISION_TIME} (cosmic age) and {schema.LOOKBACK}"
        found.append(
            Problem(
                schema.COLLISION_TIME,
                "at most the age at observation",
                "later",
                late.to_numpy(),
                hint,
            )
        )
    return [problem for problem in found if problem.rows.any()]


def demand_no_problem(
    frame: pd.DataFrame, names: Sequence[str], *, keep_marks: bool = False
) -> None:
    """Refuse a table with a wrong value.

    Raises:
        DataError: For the first problem found.
    """
    for problem in problems(frame, names, keep_marks=keep_marks):
        row = frame[problem.rows].iloc[0]
        where = ", ".join(f"{key} {row[key]:.0f}" for key in schema.KEYS if key in frame)
        value = row[problem.column]
        got = f"{int(problem.rows.sum())} {problem.fault}"
        first = f"first at {where}" + (f" with {value:g}" if np.isfinite(value) else "")
        raise DataError(f"column '{problem.column}'", problem.expected, got, first, problem.hint)


def demand_typical(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a table whose medians tell of another unit (a factor 10 in a mass, ln for log10).

    Raises:
        DataError: For the first column whose median lies outside its typical limits, or if R500
            contradicts M500.
    """
    if len(frame) < MIN_ROWS_FOR_MEDIAN:
        return
    hint = "check the unit; if the sample really is so, pass --allow-atypical"
    for name in names:
        known = schema.column(name)
        lower, upper = known.typical
        reference = known.relative_to
        if reference is not None and reference not in frame:
            continue
        relative = frame[name] - frame[reference] if reference is not None else frame[name]
        median = float(relative.median())
        if not lower <= median <= upper:
            what = f" minus {reference}" if reference is not None else ""
            expected = f"a median{what} in [{lower:g}, {upper:g}] [{known.unit}]"
            raise DataError(f"column '{name}'", expected, f"{median:g}", "", hint)
    _demand_radius(frame, names, hint)


def _demand_radius(frame: pd.DataFrame, names: Sequence[str], hint: str) -> None:
    if not {schema.RADIUS, schema.MASS} <= set(names) or schema.LOOKBACK not in frame:
        return
    redshift = redshift_at_lookback(frame[schema.LOOKBACK].to_numpy(float))
    expected = log_radius_crit500(frame[schema.MASS].to_numpy(float), redshift)
    offset = float(np.median(frame[schema.RADIUS].to_numpy(float) - expected))
    if abs(offset) > RADIUS_TOLERANCE:
        raise DataError(
            f"columns '{schema.MASS}', '{schema.RADIUS}' and '{schema.LOOKBACK}'",
            "M500 = 500 rho_crit(z) 4/3 pi R500^3 (log10 Msun, log10 comoving kpc, Gyr)",
            f"radii off by {offset:+.2f} dex in the median",
            "",
            hint,
        )


def _column_problems(values: pd.Series, keep_marks: bool) -> list[Problem]:
    name = str(values.name)
    known = schema.column(name)
    number = values.to_numpy(float)
    lower, upper = known.bounds
    expected = f"finite values [{known.unit}]" if known.unit else "finite values"
    in_unit = f"values in [{lower:g}, {upper:g}]" + (f" [{known.unit}]" if known.unit else "")
    is_marked = np.isin(
        number, [known.missing_mark] if keep_marks and known.missing_mark is not None else []
    )
    outside = ((number < lower) | (number > upper)) & np.isfinite(number) & ~is_marked
    # a logarithm needs more than zero; a floor stands in for the zero of an observable
    outside |= (number <= 0) & known.is_log & (known.floor == 0) & np.isfinite(number) & ~is_marked
    return [
        Problem(name, expected, "NaN", np.isnan(number), "pass --drop-incomplete or fill them"),
        Problem(
            name,
            expected,
            "infinite",
            np.isinf(number),
            "a logarithm of zero? remove or mend these rows",
        ),
        Problem(name, in_unit, "outside", outside, "check the unit (log10 or linear?)"),
    ]
