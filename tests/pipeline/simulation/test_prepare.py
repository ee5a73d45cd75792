"""What prepare writes, read back without any of our readers."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import schema
from cinn_clusters.data.split import split_by_cluster
from cinn_clusters.pipeline.simulation.prepare import Preparation, TableFiles, prepare
from cinn_clusters.pipeline.simulation.train import train
from cinn_clusters.settings.config import read_config
from cinn_clusters.storage.run import open_run
from support import TINY

Files = tuple[Path, Path]
KEYS, TARGETS, OBSERVABLES = (
    list(schema.KEYS),
    list(schema.DEFAULT_TARGETS),
    list(schema.DEFAULT_OBSERVABLES),
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_files_hold_catalogue_values_to_the_last_bit(
    files: Files, tmp_path: Path
) -> None:
    prepare(TableFiles(*files), tmp_path / "run")
    x, y, meta = (
        rows_of(tmp_path / "run" / name) for name in ("X.csv", "Y.csv", "meta.csv")
    )
    assert list(x[0]) == OBSERVABLES
    assert list(y[0]) == TARGETS
    assert list(meta[0])[:3] == [*KEYS, "HaloOrigID"]
    seen, hidden = (
        {(row["HaloID"], row["Snapshot"]): row for row in rows_of(path)}
        for path in files
    )
    used = {
        key
        for key in seen
        if hidden[key]["last_T_coll"]
        and float(hidden[key]["last_M_Crit500_coll"]) != -1
    }
    keys = [(row["HaloID"], row["Snapshot"]) for row in meta]
    assert set(keys) == used
    assert len(keys) == len(used)
    for key, its_x, its_y, its_meta in zip(keys, x, y, meta, strict=True):
        assert {name: float(its_x[name]) for name in OBSERVABLES} == {
            n: float(seen[key][n]) for n in OBSERVABLES
        }
        assert {name: float(its_y[name]) for name in TARGETS} == {
            n: float(hidden[key][n]) for n in TARGETS
        }
        assert its_meta["HaloOrigID"] == seen[key]["HaloOrigID"]


def test_split_says_where_it_comes_from(files: Files, tmp_path: Path) -> None:
    prepare(TableFiles(*files), tmp_path / "run", options=Preparation(seed=3))
    record = json.loads((tmp_path / "run/split.json").read_text())
    hashes = [
        hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest()
        for name in ("X.csv", "Y.csv", "meta.csv")
    ]
    assert (
        record["table_sha256"] == hashlib.sha256("".join(hashes).encode()).hexdigest()
    )
    assert record["files"] == [
        {"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in files
    ]
    assert (record["protocol"], record["seed"], record["cluster_column"]) == (
        "cluster",
        3,
        "HaloOrigID",
    )
    assert {"cinn-clusters", "torch", "numpy", "pandas"} <= set(record["versions"])
    clusters = np.array(
        [int(row["HaloOrigID"]) for row in rows_of(tmp_path / "run/meta.csv")]
    )
    expected = split_by_cluster(clusters, 3)
    assert record["rows"] == {
        name: getattr(expected, name).tolist()
        for name in ("train", "validation", "test")
    }
    assert record["num_clusters"] == {
        name: len({clusters[row] for row in rows})
        for name, rows in record["rows"].items()
    }


def test_same_input_same_bytes_other_seed_other_split(
    files: Files, tmp_path: Path
) -> None:
    for name, seed in (("one", 42), ("again", 42), ("other", 43)):
        prepare(TableFiles(*files), tmp_path / name, options=Preparation(seed=seed))
    names = ("X.csv", "Y.csv", "meta.csv", "split.json", "transforms.json")
    one, again, other = (
        [(tmp_path / run / name).read_bytes() for name in names]
        for run in ("one", "again", "other")
    )
    assert one == again
    assert one[:3] == other[:3]
    assert one[3] != other[3]
    assert one[4] != other[4]


@pytest.mark.parametrize("changed", ["unseen", "validation"])
def test_nothing_trained_depends_on_rows_it_must_not_see(
    changed: str, files: Files, tmp_path: Path
) -> None:
    """Move every observable and target of the test rows: transforms and weights stay the same
    bits."""
    run = prepare(TableFiles(*files), tmp_path / "run")
    rows = run.split.test if changed == "unseen" else run.split.validation
    keys = pd.MultiIndex.from_frame(run.catalogue.table.loc[rows, KEYS])
    for file, names in zip(files, (OBSERVABLES, TARGETS), strict=True):
        frame = pd.read_csv(file).set_index(KEYS)
        for name in set(names) - {schema.LOOKBACK, schema.COLLISION_TIME}:
            frame.loc[keys, name] += (
                0.02 if schema.column(name).unit.startswith("log10") else 0.0
            )
            frame.loc[keys, name] *= (
                1.0 if schema.column(name).unit.startswith("log10") else 0.9
            )
        if schema.COLLISION_TIME in names:
            begin = schema.column(schema.COLLISION_TIME).record_begin
            since_begin = frame.loc[keys, schema.COLLISION_TIME] - begin
            frame.loc[keys, schema.COLLISION_TIME] -= 0.1 * since_begin
        frame.reset_index().to_csv(file, index=False)
    other = prepare(TableFiles(*files), tmp_path / "other")
    assert (run.catalogue.theta[rows] != other.catalogue.theta[rows]).all()
    assert [part.tolist() for part in (other.split.train, other.split.test)] == [
        part.tolist() for part in (run.split.train, run.split.test)
    ]
    one, two = (tmp_path / name / "transforms.json" for name in ("run", "other"))
    assert one.read_bytes() == two.read_bytes()
    groups = "2" if changed == "unseen" else "0"
    settings = read_config(
        changes=[p for p in TINY.split() if p != "--set"]
        + [f"train.held_out_groups={groups}"]
    )
    for name in ("run", "other"):
        train(tmp_path / name, settings)
    weights = [
        (tmp_path / name / "model/weights.safetensors").read_bytes()
        for name in ("run", "other")
    ]
    history = [
        pd.read_csv(tmp_path / name / "history.csv") for name in ("run", "other")
    ]
    pd.testing.assert_series_equal(
        history[0]["train_nll"], history[1]["train_nll"], check_exact=True
    )
    if changed == "unseen":
        assert weights[0] == weights[1]
    else:
        assert (history[0]["validation_nll"] != history[1]["validation_nll"]).all(), (
            "they steer"
        )


def test_the_original_protocol_comes_back_in_catalogue_units(
    files: Files, tmp_path: Path
) -> None:
    run = prepare(
        TableFiles(*files), tmp_path / "run", options=Preparation(protocol="original")
    )
    again = open_run(tmp_path / "run")
    assert again.is_original
    np.testing.assert_allclose(
        again.catalogue.theta, run.catalogue.theta, rtol=1e-12, atol=1e-12
    )
    assert (pd.read_csv(tmp_path / "run/Y.csv").mean().abs() < 1e-9).all()
    scalers = json.loads((tmp_path / "run/transforms.json").read_text())
    assert [entry["name"] for entry in scalers["observables"]] == OBSERVABLES
    assert scalers["targets"][0]["shift"] == pytest.approx(
        run.catalogue.theta[:, 0].mean()
    )
    assert scalers["targets"][0]["scale"] == pytest.approx(
        run.catalogue.theta[:, 0].std()
    )
