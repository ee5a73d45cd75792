"""The simulation's own table: counts, leaks, units, and scores judged by an independent script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import schema
from cinn_clusters.cosmology import (
    age_at_lookback,
    log_radius_crit500,
    redshift_at_lookback,
)
from cinn_clusters.data.checks import demand_no_problem, demand_typical
from cinn_clusters.errors import DataError
from cinn_clusters.storage.run import open_run
from support import TINY, Command

NAMES = (*schema.DEFAULT_OBSERVABLES, *schema.DEFAULT_TARGETS)


@pytest.fixture
def prepare_line(shared: Path, tmp_path: Path) -> str:
    table = shared / "data/tng_cluster"
    files = f"--observables {table / 'observables1.csv'} --targets {table / 'unobservables1.csv'}"
    return f"prepare {files} --out {tmp_path / 'run'}"


def test_account_and_audit(prepare_line: str, tmp_path: Path, command: Command) -> None:
    account = json.loads(command(f"{prepare_line} --json").out)
    assert account["rows_read"] == 2208
    assert [entry["rows"] for entry in account["dropped"]] == [468, 87]
    assert sum(account["num_rows"].values()) == 1653
    assert sum(account["num_clusters"].values()) == 272
    result = command(f"audit {tmp_path / 'run'} --json")
    assert result.code == 0
    assert {
        entry["shared_with_validation"] for entry in json.loads(result.out).values()
    } == {0}


def test_original_protocol_leaks_as_published(
    prepare_line: str, tmp_path: Path, command: Command
) -> None:
    result = command(f"{prepare_line} --protocol original")
    assert result.code == 0
    assert "leaks" in result.err
    audit = command(f"audit {tmp_path / 'run'} --json")
    assert audit.code == 1
    for share in ("percent", "percent_with_validation"):
        clusters, histories, _ = (
            entry[share] for entry in json.loads(audit.out).values()
        )
        assert clusters == pytest.approx(99.3, abs=2.0)
        assert histories == pytest.approx(59.6, abs=5.5)


def test_prepared_values_are_those_of_the_catalogue(
    prepare_line: str, shared: Path, tmp_path: Path, command: Command
) -> None:
    command(prepare_line)
    run = open_run(tmp_path / "run")
    table = pd.read_csv(shared / "data/tng_cluster/observables1.csv").set_index(
        ["HaloID", "Snapshot"]
    )
    keys = pd.MultiIndex.from_frame(run.catalogue.table[["HaloID", "Snapshot"]])
    for name in run.catalogue.observables:
        assert (
            run.catalogue.table[name].to_numpy() == table.loc[keys, name].to_numpy()
        ).all(), name


def test_units_of_the_schema_are_those_of_the_table(shared: Path) -> None:
    observables = pd.read_csv(shared / "data/tng_cluster/observables1.csv")
    targets = pd.read_csv(shared / "data/tng_cluster/unobservables1.csv")
    redshift = redshift_at_lookback(observables["lookback_time_Gyr"].to_numpy())
    np.testing.assert_allclose(redshift, observables["redshift"], atol=1e-6)
    radius = log_radius_crit500(observables["Group_M_Crit500"].to_numpy(), redshift)
    np.testing.assert_allclose(radius, observables["Group_R_Crit500"], atol=1e-4)
    since = (
        age_at_lookback(observables["lookback_time_Gyr"].to_numpy())
        - targets["last_T_coll"]
    )
    assert since.min() > -1e-9
    assert (since.abs() < 1e-9).sum() == 131


def test_scores_agree_with_the_independent_script(
    prepare_line: str, shared: Path, tmp_path: Path, command: Command
) -> None:
    run, table = tmp_path / "run", shared / "data/tng_cluster"
    command(prepare_line)
    assert command(f"train {run} {TINY}").code == 0
    assert command(f"evaluate {run} --draws 300").code == 0
    assert command(f"crossval {run} --folds 3 --draws 200 {TINY}").code == 0
    for folder in (run, run / "crossval"):
        ours = json.loads((folder / "scores.json").read_text())
        line = [sys.executable, shared / "score.py", folder / "posterior.nc"]
        files = [table / "unobservables1.csv", table / "observables1.csv", "--json"]
        judged = json.loads(
            subprocess.run(
                [*line, *files], capture_output=True, check=True, text=True
            ).stdout
        )
        assert ours["rows"] == judged["rows"]
        assert ours["energy_score"]["mean"] == pytest.approx(
            judged["energy_score"], abs=1e-5
        )
        assert ours["energy_score"]["se"] == pytest.approx(
            judged["energy_score_se"], abs=1e-5
        )
        assert ours["crps"]["mean"] == pytest.approx(judged["crps"], abs=1e-5)
        assert ours["crps_per_target"] == pytest.approx(
            judged["crps_per_target"], abs=1e-5
        )
        assert ours["contraction"] == pytest.approx(judged["contraction"], abs=1e-3)
        assert judged["unphysical"] == 0.0  # of bounds; relations count here, too
        assert ours["unphysical"] < 0.005
    assert json.loads((run / "crossval/scores.json").read_text())["rows"] == 1653
    told = json.loads(command(f"diagnose {run / 'crossval/posterior.nc'} --json").out)
    assert told["rows"] == 1653
    assert told["joint"]["energy_score"]["value"] == pytest.approx(
        judged["energy_score"], abs=1e-6
    )
    for name, of in told["targets"].items():
        assert of["crps"]["value"] == pytest.approx(
            judged["crps_per_target"][name], abs=1e-6
        )
        assert of["contraction"] == pytest.approx(judged["contraction"][name], abs=1e-6)
        expected = judged["calibration_error_per_target"][name]
        if schema.column(name).resolution:  # of dequantised times, as in crossval
            expected = ours["calibration_error_per_target"][name]
        assert of["calibration_error"] == pytest.approx(expected, abs=1e-6)


def x10(name: str, values: pd.Series) -> pd.Series:
    return values + 1 if schema.column(name).unit.startswith("log10") else values * 10


def a_tenth(name: str, values: pd.Series) -> pd.Series:
    return values - 1 if schema.column(name).unit.startswith("log10") else values / 10


def other_scale(name: str, values: pd.Series) -> pd.Series:
    is_log = schema.column(name).unit.startswith("log10")
    return (
        pd.Series(10.0**values) if is_log else np.log10(values.where(values > 0, 1e-5))
    )


@pytest.fixture(scope="module")
def joined(shared: Path) -> pd.DataFrame:
    folder = shared / "data/tng_cluster"
    seen, hidden = (
        pd.read_csv(folder / name)
        for name in ("observables1.csv", "unobservables1.csv")
    )
    frame = seen.merge(
        hidden.drop(columns="HaloOrigID"), on=["HaloID", "Snapshot"]
    ).dropna(subset=list(NAMES))
    return frame[frame[schema.COLLISION_MASS] > 0].reset_index(drop=True)


@pytest.mark.parametrize("error", [x10, a_tenth, other_scale])
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_unit_of_the_real_table_is_found(
    name: str, error: Callable[[str, pd.Series], pd.Series], joined: pd.DataFrame
) -> None:
    demand_no_problem(joined, NAMES)
    demand_typical(joined, NAMES)
    frame = joined.assign(**{name: error(name, joined[name])})
    with pytest.raises(DataError, match=name):  # noqa: PT012 one after the other, as read_catalogue does
        demand_no_problem(frame, NAMES)
        demand_typical(frame, NAMES)
