"""A made-up simulator's table, with names, units and bounds of its own, through every stage."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.table import Table

from cinn_clusters.cosmology import age_at_lookback, lookback_at_redshift
from cinn_clusters.data.declared import read_schema
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.schema import DEFAULT
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.storage.run import open_run
from support import TINY, Command

NUM_CLUSTERS, NUM_SNAPSHOTS = 30, 4
DECLARED = """
observables = ["my_mass", "core", "z_obs"]
targets = ["t_hit", "share", "push", "free"]

[keys]
halo = "halo_num"
snapshot = "snap"
cluster = "tree"

[columns.my_mass]
symbol = 'M_\\mathrm{mine}'
unit = "log10 Msun"
meaning = "mass of mine"
bounds = [12, 16]
role = "mass"

[columns.core]
unit = "keV cm2"
meaning = "entropy of the core"
bounds = [0, 1000]
log = true
relative_to = "my_mass"

[columns.z_obs]
bounds = [0, 2]
role = "redshift"

[columns.t_hit]
unit = "Gyr"
meaning = "age at the hit"
role = "collision_time"
resolution = 0.1

[columns.share]
meaning = "share of the mass"
bounds = [0, 1]

[columns.push]
unit = "km/s"
meaning = "kick of the core"
log = true
"""
Files = tuple[Path, Path]


def make_tables(folder: Path) -> Files:
    """Write observables with gaps and targets, a collision later in time the larger the core."""
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "halo_num": np.arange(NUM_CLUSTERS * NUM_SNAPSHOTS) % NUM_CLUSTERS + 500,
            "snap": np.repeat(np.arange(NUM_SNAPSHOTS), NUM_CLUSTERS),
            "tree": [
                f"t{k % NUM_CLUSTERS}" for k in range(NUM_CLUSTERS * NUM_SNAPSHOTS)
            ],
        }
    )
    redshift = 0.1 + 0.2 * rows.snap.to_numpy()
    age = age_at_lookback(lookback_at_redshift(redshift))
    core, mass = rng.uniform(10, 400, len(rows)), rng.normal(14.5, 0.3, len(rows))
    x = rows.assign(my_mass=mass, core=core, z_obs=redshift)
    x.loc[[3, 40, 77], "my_mass"] = np.nan
    x.loc[[5, 40], "core"] = np.nan
    since = 0.2 + 2.0 * core / 400 + rng.uniform(0, 0.2, len(rows))
    y = rows[["halo_num", "snap"]].assign(
        t_hit=age - since,
        share=rng.beta(2, 3, len(rows)),
        push=rng.lognormal(6, 0.5, len(rows)),
        free=rng.normal(0, 2, len(rows)),
    )
    y.loc[[8, 9], "push"] = np.nan
    y.loc[[10], ["t_hit", "share", "push", "free"]] = np.nan
    for table, name in ((x, "x.csv"), (y, "y.csv")):
        table.to_csv(folder / name, index=False)
    (folder / "mine.toml").write_text(DECLARED, encoding="utf-8")
    return folder / "x.csv", folder / "y.csv"


@pytest.fixture
def own(tmp_path: Path) -> Files:
    return make_tables(tmp_path)


def prepare_line(files: Files, out: Path, more: str = "") -> str:
    columns = files[0].with_name("mine.toml")
    options = f"--targets {files[1]} --columns {columns} --out {out} {more}"
    return f"prepare --observables {files[0]} {options}"


def test_the_declared_table_goes_through_every_stage(
    own: Files, tmp_path: Path, command: Command
) -> None:
    run = tmp_path / "run"
    done = command(prepare_line(own, run))
    assert done.code == 0, done.err
    assert "3 dropped: a target is missing, of 3 clusters" in done.out
    assert "collision" not in done.out
    assert "3 of them without my_mass" in done.out
    opened = open_run(run)
    catalogue = opened.catalogue
    assert catalogue.observables == ("my_mass", "core", "lookback_time_Gyr")
    declared = read_schema(own[0].with_name("mine.toml"))
    assert catalogue.schema == declared.choose(catalogue.observables)
    assert len(catalogue.table) == NUM_CLUSTERS * NUM_SNAPSHOTS - 3
    assert len(catalogue.complete_rows()) == len(catalogue.table) - 4
    redshift = 0.1 + 0.2 * catalogue.table.Snapshot.to_numpy()
    expected = lookback_at_redshift(redshift)
    np.testing.assert_allclose(
        catalogue.table[catalogue.schema.time], expected, rtol=1e-12
    )
    assert catalogue.table.HaloID.min() == 500, "keys have fixed names inside a run"
    assert not set(catalogue.clusters[opened.split.test]) & set(
        catalogue.clusters[opened.split.train]
    )
    augmented = "--set train.augment=true"
    for stage in (f"train {run} {TINY} {augmented}", f"evaluate {run} --draws 200"):
        result = command(stage)
        assert result.code == 0, result.err
    scores = json.loads((run / "scores.json").read_text())
    assert scores["unphysical"] == 0.0
    assert set(scores["crps_per_target"]) == {"t_hit", "share", "push", "free"}
    assert len(scores["skill"]) == 2, (
        "the declared mass and time are what a reference is given"
    )
    posterior = load_posterior(run / "model")
    assert posterior.transforms.schema == catalogue.schema
    _demand_support(posterior)
    out = f"--model {run / 'model'} --out {tmp_path / 'p.nc'} --table {tmp_path / 'p.ecsv'}"
    result = command(
        f"infer --catalogue {own[0]} {out} --samples 50 --analogues {own[0]}"
    )
    assert result.code == 0, result.err
    table = Table.read(tmp_path / "p.ecsv")
    assert len(table) == NUM_CLUSTERS * NUM_SNAPSHOTS, "rows with gaps are answered"
    assert np.isfinite(table["t_hit_median"]).all()
    assert str(table["push_median"].unit) == "km / s"
    assert table["t_hit_median"].description.startswith("age at the hit [Gyr]")
    assert table["time_since_collision_Gyr_median"].min() > 0
    assert re.fullmatch(r"\d:5\d\d( \d:5\d\d){4}", table["analogues"][0])
    with xr.open_dataset(tmp_path / "p.nc", group="posterior") as dataset:
        assert dataset["share"].attrs == {
            "units": "1",
            "long_name": "share of the mass",
        }
        assert dataset["halo_num"].to_numpy().tolist() == table["halo_num"].tolist()


def _demand_support(posterior: Posterior) -> None:
    """Samples keep to the declared bounds, the age and zero, whatever is known of the object."""
    schema = posterior.transforms.schema
    assert schema.bounded(posterior.targets) == ("t_hit", "share")
    lookback = lookback_at_redshift(np.array([0.1, 0.7]))
    values = {
        "my_mass": [14.5, np.nan],
        "core": [390.0, np.nan],
        schema.time: lookback.tolist(),
    }
    inputs = np.array([values.get(name, [0.0, 0.0]) for name in posterior.inputs]).T
    samples = posterior.sample(inputs, 300, seed=1)
    time, share, push, _ = np.moveaxis(samples, -1, 0)
    assert (time > 0).all()
    assert (time < age_at_lookback(lookback)).all()
    assert (share > 0).all()
    assert (share < 1).all()
    assert (push > 0).all(), "a logarithm"


def test_a_model_of_exact_inputs_leaves_incomplete_rows_out(
    own: Files, tmp_path: Path, command: Command
) -> None:
    run = tmp_path / "run"
    assert command(prepare_line(own, run)).code == 0
    result = command(f"train {run} {TINY}")
    assert result.code == 0, result.err
    opened = open_run(run)
    complete = opened.split.within(opened.catalogue.complete_rows())
    num_lost = sum(
        len(getattr(opened.split, part)) - len(getattr(complete, part))
        for part in ("train", "validation")
    )
    assert num_lost > 0
    assert f"{num_lost} rows with a missing observable left out" in result.err


def test_a_table_without_keys_is_numbered(
    own: Files, tmp_path: Path, command: Command
) -> None:
    for file in own:
        frame = pd.read_csv(file).drop(
            columns=["halo_num", "snap", "tree"], errors="ignore"
        )
        frame.to_csv(file, index=False)
    text = DECLARED.replace(
        'halo = "halo_num"\nsnapshot = "snap"\ncluster = "tree"', ""
    )
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    keys = "--halo-column none --snapshot-column none --cluster-column none"
    result = command(prepare_line(own, tmp_path / "run", keys))
    assert result.code == 0, result.err
    catalogue = open_run(tmp_path / "run").catalogue
    kept = np.flatnonzero(pd.read_csv(own[1]).notna().all(axis=1))
    assert catalogue.table.HaloID.tolist() == kept.tolist()
    assert (catalogue.table.Snapshot == 0).all()
    assert catalogue.clusters.tolist() == kept.tolist(), (
        "every row is a cluster of its own"
    )
    frame = pd.read_csv(own[1])
    np.testing.assert_array_equal(catalogue.theta, frame.to_numpy()[kept])
    frame.head(50).to_csv(own[1], index=False)
    command(prepare_line(own, tmp_path / "short", keys)).demand_error(
        "as many rows in both", "120 and 50"
    )


def test_keys_that_are_not_there_are_told(
    own: Files, tmp_path: Path, command: Command
) -> None:
    line = prepare_line(own, tmp_path / "run", "--halo-column number")
    command(line).demand_error("'number'", "--halo-column", "none")
    line = prepare_line(own, tmp_path / "run", "--cluster-column none")
    command(line).demand_error(
        "cluster column", "--cluster-column", "share their history"
    )


def test_without_time_nothing_needs_it(
    own: Files, tmp_path: Path, command: Command
) -> None:
    text = DECLARED.replace('role = "redshift"', "").replace(
        "resolution = 0.1", "resolution = 0.1\nbounds = [0, 13.8]"
    )
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    run = tmp_path / "run"
    result = command(prepare_line(own, run))
    assert result.code == 0, result.err
    catalogue = open_run(run).catalogue
    assert catalogue.having("time") is None
    assert np.isnan(catalogue.age).all()
    assert catalogue.schema.column("t_hit").bijection == "logit"
    augmented = "--set train.augment=true"
    for stage in (f"train {run} {TINY} {augmented}", f"evaluate {run} --draws 100"):
        result = command(stage)
        assert result.code == 0, result.err
    assert json.loads((run / "scores.json").read_text())["unphysical"] == 0.0
    assert DEFAULT.time not in load_posterior(run / "model").inputs
