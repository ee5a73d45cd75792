"""Wrong values and wrong units, whatever column they hit, are found and named.

What no table can tell: a factor in fewer than 20 rows (no median is judged), a factor small enough
to leave the median within its typical limits (about 3 for the masses of histories), and a common
factor in M500 with its radius to match."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.checks import (
    MIN_ROWS_FOR_MEDIAN,
    demand_no_problem,
    demand_typical,
    problems,
)
from cinn_clusters.errors import DataError
from support import Command

NAMES = (*schema.DEFAULT_OBSERVABLES, *schema.DEFAULT_TARGETS)
Frames = tuple[pd.DataFrame, pd.DataFrame]


def is_log10(name: str) -> bool:
    return schema.column(name).unit.startswith("log10")


def ten_times(name: str, values: pd.Series) -> pd.Series:
    return values + 1 if is_log10(name) else values * 10


def a_tenth(name: str, values: pd.Series) -> pd.Series:
    return values - 1 if is_log10(name) else values / 10


def log_for_linear(name: str, values: pd.Series) -> pd.Series:
    return (
        pd.Series(10.0**values)
        if is_log10(name)
        else np.log10(values.where(values > 0))
    )


def natural_log(name: str, values: pd.Series) -> pd.Series:
    return values * np.log(10) if is_log10(name) else np.log(values.where(values > 0))


ERRORS = {
    "x10": ten_times,
    "x0.1": a_tenth,
    "log10 for linear or back": log_for_linear,
    "ln": natural_log,
}


def demand_found(
    name: str, error: str, frames: Frames, folder: Path, command: Command
) -> None:
    changed = [frame.copy() for frame in frames]
    frame = changed[name in schema.DEFAULT_TARGETS]
    frame[name] = ERRORS[error](name, frame[name])
    for table, file in zip(
        changed, ("observables1.csv", "unobservables1.csv"), strict=True
    ):
        table.to_csv(folder / file, index=False)
    before = sorted(folder.rglob("*"))
    files = f"--observables {folder / 'observables1.csv'} --targets {folder / 'unobservables1.csv'}"
    command(f"prepare {files} --out {folder / 'run'} --drop-incomplete").demand_error(
        name, "unit"
    )
    assert sorted(folder.rglob("*")) == before


NOT_TOLD = {("last_T_coll", "ln")}
"""ln(8 Gyr) = 2.1 is an age that a table may have."""


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (name, error)
        for name in NAMES
        for error in ERRORS
        if (name, error) not in NOT_TOLD
    ],
)
def test_a_wrong_unit_is_refused_and_the_column_named(
    name: str, error: str, tables: Frames, tmp_path: Path, command: Command
) -> None:
    demand_found(name, error, tables, tmp_path, command)


@pytest.fixture(scope="module")
def joined(tables: Frames) -> pd.DataFrame:
    frame = (
        tables[0]
        .merge(tables[1].drop(columns="HaloOrigID"), on=list(schema.KEYS))
        .dropna()
    )
    return frame[frame[schema.COLLISION_MASS] > 0].reset_index(drop=True)


def test_a_right_table_has_no_problem(joined: pd.DataFrame) -> None:
    assert problems(joined, NAMES) == []
    demand_no_problem(joined, NAMES)
    demand_typical(joined, NAMES)


@pytest.mark.parametrize(
    ("value", "fault"),
    [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite"), (1e9, "outside")],
)
@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_value_is_found_in_its_row(
    name: str, value: float, fault: str, joined: pd.DataFrame
) -> None:
    frame = joined.copy()
    frame.loc[11, name] = value
    found = [problem for problem in problems(frame, NAMES) if problem.column == name]
    assert fault in {problem.fault for problem in found}
    assert all(np.flatnonzero(problem.rows).tolist() == [11] for problem in found)
    where = f"HaloID {frame['HaloID'][11]}, Snapshot {frame['Snapshot'][11]}"
    with pytest.raises(
        DataError,
        match=f"column '{name}': expected .*; got 1 {fault}; first at {where}",
    ):
        demand_no_problem(frame, NAMES)


@pytest.mark.parametrize(
    ("name", "value"), [(schema.COLLISION_MASS, 0.0), ("last_Subcluster_mass", -1.0)]
)
def test_a_mass_is_positive(name: str, value: float, joined: pd.DataFrame) -> None:
    frame = joined.copy()
    frame.loc[2, name] = value
    with pytest.raises(DataError, match=f"'{name}'.*1 outside"):
        demand_no_problem(frame, NAMES)


def test_marks_pass_only_when_asked_and_only_where_the_schema_knows_one(
    joined: pd.DataFrame,
) -> None:
    frame = joined.copy()
    frame.loc[2, schema.COLLISION_MASS] = -1.0
    assert problems(frame, NAMES, keep_marks=True) == []
    assert len(problems(frame, NAMES)) == 1
    frame.loc[2, "last_d_peri"] = -4.0
    assert [problem.column for problem in problems(frame, NAMES, keep_marks=True)] == [
        "last_d_peri"
    ]


@pytest.mark.parametrize(
    ("later", "is_fine"),
    [(-1.0, True), (0.0, True), (0.019, True), (0.021, False), (0.5, False)],
)
def test_a_collision_is_not_later_than_its_observation(
    later: float, is_fine: bool, joined: pd.DataFrame
) -> None:
    frame = joined.copy()
    frame.loc[5, schema.COLLISION_TIME] = (
        age_at_lookback(frame[schema.LOOKBACK].to_numpy())[5] + later
    )
    assert (problems(frame, [schema.COLLISION_TIME]) == []) == is_fine


def change_mass(frame: pd.DataFrame) -> None:
    frame["Group_M_Crit500"] += 0.1


def change_radius(frame: pd.DataFrame) -> None:
    frame["Group_R_Crit500"] += np.log10(0.6774)  # kpc/h taken for kpc


def physical_radius(frame: pd.DataFrame) -> None:
    frame["Group_R_Crit500"] -= np.log10(1 + frame["redshift"])


@pytest.mark.parametrize("change", [change_mass, change_radius, physical_radius])
def test_mass_and_radius_must_agree(
    change: Callable[[pd.DataFrame], None], joined: pd.DataFrame
) -> None:
    frame = joined.copy()
    change(frame)
    with pytest.raises(
        DataError,
        match=r"'Group_M_Crit500', 'Group_R_Crit500' and 'lookback_time_Gyr'.*off by .* dex",
    ):
        demand_typical(frame, NAMES)


def test_few_rows_say_nothing_of_the_unit(joined: pd.DataFrame) -> None:
    frame = joined.assign(bcg_SubhaloBHMass=joined["bcg_SubhaloBHMass"] * 10)
    demand_typical(frame.head(MIN_ROWS_FOR_MEDIAN - 1), NAMES)
    with pytest.raises(DataError, match="'bcg_SubhaloBHMass': expected a median in"):
        demand_typical(frame.head(MIN_ROWS_FOR_MEDIAN), NAMES)
