"""Scores are those of the independent script; no row is judged by a model that has seen its
cluster."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cinn_clusters import schema
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.errors import OutputError
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth
from cinn_clusters.evaluation.reference_posteriors import forest_histories
from cinn_clusters.pipeline.simulation.crossval import crossval
from cinn_clusters.pipeline.simulation.evaluate import evaluate
from cinn_clusters.pipeline.simulation.prepare import Preparation, TableFiles, prepare
from cinn_clusters.pipeline.simulation.train import train
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.settings.config import Config, read_config
from cinn_clusters.storage.run import open_run
from cinn_clusters.storage.run_paths import RunPaths
from support import SHARED, TINY

KEYS, TARGETS = list(schema.KEYS), list(schema.DEFAULT_TARGETS)
Files = tuple[Path, Path]
Judge = Callable[[Path, Path], dict[str, Any]]
COVERAGE = (
    "calibration_error",
    "calibration_error_per_target",
    "coverage_outside_99_band",
)


@pytest.fixture
def settings() -> Config:
    return read_config(changes=[part for part in TINY.split() if part != "--set"])


@pytest.fixture(scope="module")
def judge() -> Judge:
    if not (SHARED / "score.py").is_file():
        pytest.skip(
            f"needs the independent scorer: no {SHARED}/score.py (set CINN_CLUSTERS_SHARED)"
        )
    score = runpy.run_path(str(SHARED / "score.py"))["score"]

    def run(posterior: Path, folder: Path) -> dict[str, Any]:
        """Scores of recorded histories, coverage of dequantised ones."""
        targets, observables = (
            pd.read_csv(folder / name)
            for name in ("unobservables1.csv", "observables1.csv")
        )
        with xr.open_dataset(posterior, group="posterior") as data:
            judged = dict(score(data, targets, observables))
            spread = dequantised(targets, posterior)
            of_spread = score(data, spread, observables)
        judged["broken"] = broken_relations(posterior)
        return judged | {name: of_spread[name] for name in COVERAGE}

    return run


def dequantised(targets: pd.DataFrame, posterior: Path) -> pd.DataFrame:
    """The table with the histories that likelihood and coverage are of."""
    paths = RunPaths.around(posterior)
    assert paths is not None
    catalogue = open_run(paths.root).catalogue
    table = catalogue.table[KEYS].copy()
    table[list(catalogue.targets)] = dequantised_ground_truth(catalogue)
    return targets[[*KEYS, schema.CLUSTER_COLUMN]].merge(table, on=KEYS)


def broken_relations(posterior: Path) -> float:
    """Share of samples with a subcluster above the main cluster, or M500 then above 4 times now."""
    with (
        xr.open_dataset(posterior, group="posterior") as data,
        xr.open_dataset(posterior, group="constant_data") as inputs,
    ):
        then, now = data.last_M_Crit500_coll, 10.0 ** (inputs.Group_M_Crit500 - 14.0)
        return float(((data.last_Subcluster_mass > then) | (then > 4.0 * now)).mean())


def demand_agreement(ours: dict[str, Any], judged: dict[str, Any]) -> None:
    exact = {"abs": 1e-6, "rel": 0}
    assert [ours[name] for name in ("rows", "clusters", "draws")] == [
        judged[name] for name in ("rows", "clusters", "draws")
    ]
    for name in ("crps", "energy_score"):
        assert ours[name]["mean"] == pytest.approx(judged[name], **exact)
        assert ours[name]["se"] == pytest.approx(judged[f"{name}_se"], **exact)
    for name in ("crps_per_target", *COVERAGE):
        assert ours[name] == pytest.approx(judged[name], **exact)
    assert ours["contraction"] == pytest.approx(judged["contraction"], **exact)
    assert judged["unphysical"] == 0.0  # of bounds
    assert ours["unphysical"] == pytest.approx(judged["broken"], abs=1e-6)
    assert judged["broken"] > 0.0


def test_evaluate_agrees_with_the_independent_script(
    trained: Path, tmp_path: Path, judge: Judge
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    scores = evaluate(run, Sampling(200)).to_json()
    assert json.loads((run / "scores.json").read_text()) == scores
    demand_agreement(scores, judge(run / "posterior.nc", trained.parent))


def test_crossval_agrees_with_the_independent_script(
    trained: Path, tmp_path: Path, judge: Judge, settings: Config
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    scores = crossval(run, settings, Sampling(100), num_folds=2).to_json()
    assert json.loads((run / "crossval/scores.json").read_text()) == scores
    demand_agreement(scores, judge(run / "crossval/posterior.nc", trained.parent))


def test_marks_are_answered_but_not_scored_under_the_original_protocol(
    files: Files, tmp_path: Path, judge: Judge, settings: Config
) -> None:
    seed = next(seed for seed in range(50) if _marks_in_test(files, seed))
    run = prepare(
        TableFiles(*files),
        tmp_path / "run",
        options=Preparation(protocol="original", seed=seed),
    )
    marks = int((run.catalogue.theta[run.split.test, 2] < 0).sum())
    train(run.path, settings)
    scores = evaluate(run.path, Sampling(50)).to_json()
    assert scores["rows"] == len(run.split.test) - marks
    with xr.open_dataset(run.path / "posterior.nc", group="posterior") as data:
        assert data.sizes["cluster"] == len(run.split.test)
    judged = judge(run.path / "posterior.nc", files[0].parent)
    assert scores["rows"] == judged["rows"]
    assert scores["crps"]["mean"] == pytest.approx(judged["crps"], abs=1e-6)
    assert scores["energy_score"]["mean"] == pytest.approx(
        judged["energy_score"], abs=1e-6
    )


def _marks_in_test(files: Files, seed: int) -> bool:
    from cinn_clusters.data.split import split_by_row

    marks = pd.read_csv(files[1])[schema.COLLISION_MASS].dropna().to_numpy() == -1
    return bool(marks[split_by_row(len(marks), seed).test].any())


def out_of_fold(run: Path, settings: Config) -> np.ndarray:
    crossval(run, settings, Sampling(20), num_folds=2)
    with xr.open_dataset(run / "crossval/posterior.nc", group="posterior") as data:
        table = open_run(run).catalogue.table
        assert data["HaloID"].to_numpy().tolist() == table["HaloID"].tolist()
        assert data["Snapshot"].to_numpy().tolist() == table["Snapshot"].tolist()
        return np.stack([data[name].to_numpy()[0] for name in TARGETS], -1)


def test_no_history_of_a_fold_reaches_its_own_posterior(
    files: Files, tmp_path: Path, settings: Config
) -> None:
    """Move the histories of one fold's clusters: its posteriors stay the same bits, the other fold's do not.

    Not just exchanged, which scalers would not notice.
    """
    run = prepare(TableFiles(*files), tmp_path / "run")
    fold = next(folds_by_cluster(run.catalogue.clusters, 2, 0))
    frame = pd.read_csv(files[1]).set_index(KEYS)
    keys = pd.MultiIndex.from_frame(run.catalogue.table.loc[fold.test, KEYS])
    frame.loc[keys, TARGETS] *= 0.95
    frame.reset_index().to_csv(files[1], index=False)
    other = prepare(TableFiles(*files), tmp_path / "other")
    assert (other.catalogue.theta[fold.test] != run.catalogue.theta[fold.test]).any(
        1
    ).mean() > 0.9
    one, two = (out_of_fold(tmp_path / name, settings) for name in ("run", "other"))
    np.testing.assert_array_equal(one[:, fold.test], two[:, fold.test])
    rest = np.concatenate([fold.train, fold.validation])
    assert (one[:, rest] != two[:, rest]).any(axis=(0, 2)).all()


@pytest.mark.parametrize("failing", ["write_summary", "score_report", "Scores.write"])
def test_three_results_are_written_or_none(
    failing: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    evaluate(run, Sampling(5))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"cinn_clusters.pipeline.simulation.evaluate.{failing}", fail)
    with pytest.raises(OutputError, match="No space left"):
        evaluate(run, Sampling(5, seed=1), overwrite=True)
    assert {
        path: path.read_bytes() for path in run.rglob("*") if path.is_file()
    } == before


def test_histories_of_a_forest_lie_before_the_observation(trained: Path) -> None:
    """A history is carried over with its time since collision: cosmic ages of later snapshots
    would be unphysical."""
    run = open_run(trained)
    catalogue, split = run.catalogue, run.split
    names = ("Group_M_Crit500", "lookback_time_Gyr")
    samples = forest_histories(catalogue, names, split.train, split.test, 50, 0)
    d = catalogue.targets.index("last_T_coll")
    assert (samples[..., d] <= catalogue.age[split.test]).all()
    assert (samples[..., d] >= 0).all()
    others = [i for i in range(len(catalogue.targets)) if i != d]
    known = {tuple(row) for row in catalogue.theta[split.train][:, others]}
    assert {
        tuple(row) for row in samples[..., others].reshape(-1, len(others))
    } <= known
