"""Marks of absence (-99, 0, 99.99) in catalogues and tables: told, and never taken for values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from cinn_clusters import schema
from cinn_clusters.catalogues.by_name import read_by_name
from cinn_clusters.catalogues.convert import convert
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.mapping import Mapping, read_mapping
from cinn_clusters.data.catalogue import read_catalogue
from cinn_clusters.data.reading.absence import are_known_marks, find_marks
from support import Command

MASS, GAS, TIME = schema.MASS, "GroupGasMass", schema.LOOKBACK
MASSES = np.array([4.1, 5.3, 7.7, 3.2, 9.4, 6.6])
REDSHIFTS = [0.11, 0.23, 0.31, 0.42, 0.53, 0.64]
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=200)


def converted(
    columns: dict[str, object] | None = None, **keys: object
) -> ConvertedCatalogue:
    """Convert six clusters."""
    columns = {"z": REDSHIFTS, "m": MASSES, **(columns or {})}
    mass = {"column": "m", "unit": "1e14 Msun"}
    mapping = {"redshift": {"column": "z"}, "mass": mass, **keys}
    return convert(Table(columns), Mapping.model_validate(mapping))


def test_case_30c_a_redshift_of_zero_is_none() -> None:
    found = converted({"z": [0.0, 0.23, 0.0, 0.42, 0.53, 0.64]})
    assert found.has_time.tolist() == [False, True, False, True, True, True]
    assert found.reasons[0][0].startswith("z: no redshift (0;")
    assert any(
        "z: 0 in 2 of 6 rows stands for no redshift" in line for line in found.log
    )


def test_case_30c_on_the_command_line(tmp_path: Path, command: Command) -> None:
    table, mapping = tmp_path / "spt.csv", tmp_path / "spt.toml"
    pd.DataFrame({"z": [0.0, 0.4, -1.0], "m": [4.0, 5.0, 6.0]}).to_csv(table)
    mapping.write_text(
        '[redshift]\ncolumn = "z"\n[mass]\ncolumn = "m"\nunit = "1e14 Msun"'
    )
    line = f"infer --catalogue {table} --mapping {mapping} --samples 20"
    result = command(f"{line} --out {tmp_path}/p.nc")
    assert result.code == 0, result.err
    assert "stands for no redshift" in result.err
    answered = pd.read_csv(tmp_path / "p_table.csv")
    assert answered.cinn_status.tolist() == ["unusable", "ok", "unusable"]


def test_a_redshift_of_zero_is_one_where_the_mapping_says_so() -> None:
    stated = {"column": "z", "missing": []}
    assert converted({"z": [0.0] * 6}, redshift=stated).has_time.all()
    time = {"column": "t"}
    own = Mapping.model_validate({"lookback_time": time})
    assert convert(Table({"t": [0.0, 0.0, 1.3]}), own).has_time.all()


@pytest.mark.parametrize(
    "mark", [-1.0, -9.0, -99.0, -999.0, -9999.0, -1e30, 99.0, 99.99, 1e20]
)
@pytest.mark.parametrize("is_log", [True, False])
def test_a_mark_is_no_mass(mark: float, is_log: bool) -> None:
    values = np.log10(MASSES) + 14.0 if is_log else MASSES
    values = np.where(np.arange(6) < 2, mark, values)
    mass = {"column": "m", "unit": "dex(Msun)" if is_log else "1e14 Msun"}
    found = converted({"m": values}, mass=mass)
    assert np.isnan(found.values[MASS]).tolist() == [True] * 2 + [False] * 4
    note = f"m: {mark:.7g} in 2 of 6 rows stands for no value, taken as missing"
    assert note in found.log
    assert not found.reasons, "what is absent is nothing wrong"


def test_marks_that_a_mapping_names(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'missing = [-5.5]\n[redshift]\ncolumn = "z"\n'
        '[mass]\ncolumn = "m"\nunit = "1e14 Msun"\nmissing = [5.3, "---"]\n'
    )
    columns = {"z": [0.1, -5.5, 0.3], "m": ["5.3", "6.0", "---"]}
    found = convert(Table(columns), read_mapping(path))
    assert found.has_time.tolist() == [True, False, True]
    assert np.isnan(found.values[MASS]).tolist() == [True, False, True]
    assert "m: '---' in 1 of 3 rows stands for no value, taken as missing" in found.log
    path.write_text('[redshift]\ncolumn = "z"\nmissing = -5.5\n')
    assert read_mapping(path).quantities["redshift"].missing == (-5.5,)


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.0, 0.0, 0.3, 1.7],  # a floor
        np.maximum(NORMAL, -1.0),  # a floor of a quantity with a sign
        [1, -1, 1, 1, -1, -1, 1],  # classes
        [0, 1, 2, -1, -1, 0, 1, 2],
        [45.0, 60.0, 99.0],  # percent
        [99.0, 99.0, 99.0],
        [14.1, 14.2, 14.2, 14.3],
        [-0.9, -1.0, -1.0, -1.1, -0.8],  # rounded
        [1e44, 3e44, 1e45],
    ],
)
def test_values_that_repeat_are_no_marks(values: list[float]) -> None:
    assert find_marks(np.array(values, dtype=float)) == ()


@pytest.mark.parametrize(
    ("others", "marks", "is_mark"),
    [
        (NORMAL, [-99.0], True),
        (NORMAL, [-9.0, -9.0], True),
        (NORMAL, [-1.0] * 3, True),  # a continuous quantity never repeats
        (NORMAL, [0.0] * 3, False),
        (np.exp(NORMAL), [-1.0] * 2, True),
        (np.arange(1.0, 31.0), [99.0] * 2, True),
        (np.exp(NORMAL).astype("f4"), [np.float32(-99.99)], True),
        (10.0 ** (44.0 + NORMAL), [1e20], True),
        ([0.0, 1.0] * 5, [-9.0] * 2, True),
    ],
)
def test_marks_are_apart_from_the_others(
    others: np.ndarray, marks: list[float], is_mark: bool
) -> None:
    values = np.concatenate([others, marks]).astype(float)
    rows = np.zeros(len(values), dtype=bool)
    rows[len(others) :] = is_mark
    found = find_marks(values)
    assert len(found) == is_mark
    for mark in found:
        np.testing.assert_array_equal(mark.rows, rows)


def test_the_simulator_own_table(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path, command: Command
) -> None:
    observables, targets = (frame.copy() for frame in tables)
    observables["slope"] = RNG.normal(size=len(observables))
    observables.loc[:6, "slope"] = -99.0
    observables.loc[:3, GAS] = -1.0
    targets.loc[:2, "last_M_Crit500_coll"] = -1.0  # its declared mark
    for name, frame in (("x", observables), ("y", targets)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    paths = f"--observables {tmp_path}/x.csv --targets {tmp_path}/y.csv"
    columns = f"slope,{MASS},{GAS},lookback_time_Gyr"
    result = command(f"prepare {paths} --x-columns {columns} --out {tmp_path}/run")
    assert result.code == 0, result.err
    total = len(observables)
    assert f"note: slope: -99 in 7 of {total} rows stands for no value" in result.err
    assert f"note: {GAS}: -1 in 4 of {total} rows stands for no value" in result.err
    assert "missing-value mark -1" in result.out


def test_the_original_protocol_keeps_what_stands_in_the_file(
    files: tuple[Path, Path],
) -> None:
    table = pd.read_csv(files[0])
    table["slope"] = np.where(
        np.arange(len(table)) < 7, -99.0, RNG.normal(size=len(table))
    )
    table.to_csv(files[0], index=False)
    own = schema.DEFAULT.choose(["slope", "lookback_time_Gyr"])
    assert read_catalogue(*files, own).table.slope.isna().sum() > 0
    targets = pd.read_csv(files[1]).dropna()
    targets.to_csv(files[1], index=False)
    original = read_catalogue(*files, own, original=True)
    assert not original.table.slope.isna().any()


def test_columns_by_name() -> None:
    masses, times = [14.2, -99.0, 14.9, 14.4], [0.0, 1.3, -1.0, -1.0]
    found = read_by_name(Table({MASS: masses, TIME: times}), [MASS, TIME])
    assert np.isnan(found.values[MASS]).tolist() == [False, True, False, False]
    note = f"{MASS}: -99 in 1 of 4 rows stands for no value, taken as missing"
    assert note in found.log
    assert found.has_time.tolist() == [True, True, False, False]
    assert found.reasons[2] == [f"{TIME}: no time, no answer"]


def test_marks_are_known_among_numbers_of_any_size() -> None:
    marks = [0.0, -1.0, -9.0, 99.0, -99.9, 9.9, 999999.9, -32768.0, 1e20]
    marks += [9.969209968386869e36, float(np.float32(-1.6375e30)), np.finfo("f8").max]
    numbers = [1.0, 9.0, 14.2, 98.99, 10.0, 99.001, 0.99, 5e-324, 1e19, 1.7e308]
    values = np.array([*marks, *numbers])
    is_known = are_known_marks(values)
    assert values[is_known].tolist() == marks
