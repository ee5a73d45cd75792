"""One command for all, and each of its stages: what they write, what they skip, what they
refuse."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cinn_clusters import schema
from cinn_clusters.pipeline import stage as stage_table
from cinn_clusters.pipeline.report import draw
from cinn_clusters.pipeline.report.captions import CAPTIONS
from cinn_clusters.pipeline.report.draw import SENSITIVITY_FIGURES
from cinn_clusters.pipeline.simulation.baseline import load_baseline
from cinn_clusters.pipeline.stage import Inputs
from cinn_clusters.pipeline.workflow import run_workflow
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.progress import Progress
from cinn_clusters.settings.config import read_config
from cinn_clusters.storage.run import model_hash, open_run
from support import TINY, Command

Files = tuple[Path, Path]
Tables = tuple[pd.DataFrame, pd.DataFrame]
ANY = TINY.replace("train.augment=false", "train.augment=true")
"""Settings of a model that accepts missing values."""
CONFIG = read_config(changes=[part for part in ANY.split() if part != "--set"])
SIX = (
    "1.posterior_distribution",
    "2.prediction_performance1",
    "2.prediction_performance2",
    "3.uncertainties",
    "4.cross_correlations",
    "5.sensitivity_analysis",
)
STAGES = [
    "prepare",
    "train",
    "evaluate",
    "diagnose",
    "baseline",
    "sensitivity",
    "figures",
    "report",
]


def made_from(files: Files, **changes: object) -> Inputs:
    return Inputs(
        *files, config=CONFIG, sampling=Sampling(60), refit_members=1, **changes
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with embeddings of maps; do not write into it."""
    folder = tmp_path_factory.mktemp("everything")
    files = folder / "observables1.csv", folder / "unobservables1.csv"
    for frame, path in zip(tables, files, strict=True):
        frame.to_csv(path, index=False)
    rows = [
        (row.Snapshot, row.HaloID, side)
        for row in tables[0].itertuples()
        for side in (0, 1)
    ]
    names = [
        f"snap_{snapshot:03d}_halo_{halo}_proj_{side}.jpg"
        for snapshot, halo, side in rows
    ]
    np.save(
        folder / "embeddings.npy", np.random.default_rng(0).normal(size=(len(names), 3))
    )
    np.save(folder / "filenames.npy", np.array(names))
    inputs = made_from(
        files, embeddings=(folder / "embeddings.npy", folder / "filenames.npy")
    )
    told = run_workflow(inputs, folder / "run")
    assert told == {str(folder / "run"): dict.fromkeys(STAGES, "made")}
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, but not turned into pixels, which takes most of their time."""
    monkeypatch.setattr(
        draw, "rendered", lambda figure, kind: b"\x89PNG" if kind == "png" else b"%PDF"
    )


def inputs_of(done: Path, **changes: object) -> Inputs:
    files = done / "observables1.csv", done / "unobservables1.csv"
    return made_from(
        files, embeddings=(done / "embeddings.npy", done / "filenames.npy"), **changes
    )


# --- all stages ------------------------------------------------------------------------------------------------------


def test_every_result_of_the_original_is_there(done: Path) -> None:
    run = done / "run"
    for figure in (
        *SIX,
        *SENSITIVITY_FIGURES,
        "corner",
        "sbc_ecdf",
        "coverage",
        "tarp",
        "conditional",
        "skill",
        "learning_curves",
    ):
        assert (run / "figures" / f"{figure}.png").read_bytes()[1:4] == b"PNG"
        assert (run / "figures" / f"{figure}.pdf").read_bytes()[:4] == b"%PDF"
    assert (run / "report.html").is_file()
    predicted, truth = (
        np.load(run / f"baseline/mlp_test_{what}.npy") for what in ("pred", "true")
    )
    opened = open_run(run)
    np.testing.assert_array_equal(truth, opened.catalogue.theta[opened.split.test])
    told = json.loads((run / "baseline/mae.json").read_text())["targets"]
    np.testing.assert_allclose(
        [of["mae"] for of in told.values()], np.abs(predicted - truth).mean(0)
    )


def test_what_is_unchanged_is_not_made_again(done: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns
        for path in (done / "run").rglob("*")
        if path.is_file()
    }
    left = done / "run/.stages.json.claim"
    left.write_text("of a run that was killed in the end")
    told = run_workflow(inputs_of(done), done / "run")
    assert {state for stages in told.values() for state in stages.values()} == {
        "unchanged"
    }
    assert before == {
        path: path.stat().st_mtime_ns
        for path in (done / "run").rglob("*")
        if path.is_file()
    }


def test_what_changes_is_made_again_and_what_follows_from_it(
    done: Path, tmp_path: Path, undrawn: None
) -> None:
    shutil.copytree(done, tmp_path / "copy")
    run = tmp_path / "copy/run"
    fewer = Inputs(**{**vars(inputs_of(done)), "sampling": Sampling(61)})
    told = run_workflow(fewer, run)[str(run)]
    made = [name for name, state in told.items() if state == "made"]
    assert made == ["evaluate", "diagnose", "figures", "report"]
    (run / "baseline/mlp_test_pred.npy").unlink()
    told = run_workflow(fewer, run)[str(run)]
    assert told["baseline"] == "made"
    assert told["evaluate"] == told["train"] == "unchanged"


def test_a_killed_training_goes_on(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None
) -> None:
    inputs = inputs_of(done)

    def kill(progress: Progress) -> None:
        if progress.what == "train" and progress.share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_workflow(inputs, tmp_path / "run", on_progress=kill)
    assert (tmp_path / "run/checkpoint.safetensors").is_file()
    told: list[dict[str, object]] = []
    train = stage_table.train
    monkeypatch.setattr(
        stage_table,
        "train",
        lambda *args, **how: (told.append(how), train(*args, **how))[1],
    )
    run_workflow(inputs, tmp_path / "run")
    assert told[0]["resume"] is True
    weights = [
        (folder / "run/model/weights.safetensors").read_bytes()
        for folder in (done, tmp_path)
    ]
    assert weights[0] == weights[1]


def test_a_prepared_folder_is_gone_on_in(
    done: Path, tmp_path: Path, command: Command, undrawn: None
) -> None:
    run, tables = (
        tmp_path / "run",
        f"--observables {done}/observables1.csv --targets {done}/unobservables1.csv",
    )
    assert command(f"prepare {tables} --out {run}").code == 0
    before = (run / "split.json").read_bytes()
    line = f"run {tables} --out {run} {TINY} --draws 60 --refit-members 0"
    command(f"{line} --seed 7").demand_error("seed 42", "seed 7", "--overwrite")
    result = command(f"{line} --json")
    assert result.code == 0, result.err
    states = json.loads(result.out)[str(run)]
    assert states == dict.fromkeys(STAGES, "made") | {"prepare": "unchanged"}
    assert (run / "split.json").read_bytes() == before


def test_products_of_two_models_are_never_joined(
    done: Path, tmp_path: Path, command: Command, undrawn: None
) -> None:
    run = tmp_path / "run"
    shutil.copytree(done / "run", run)
    scores = json.loads((run / "scores.json").read_text())
    assert scores["model_sha256"] == model_hash(run / "model")
    assert command(f"train {run} {ANY} --set seed=8 --overwrite").code == 0
    command(f"figures {run} --overwrite").demand_error(
        "another model", f"sensitivity {run} --overwrite"
    )
    command(f"report {run} --overwrite").demand_error(
        "another model", f"evaluate {run} --overwrite"
    )
    assert command(f"sensitivity {run} --repeats 1 --overwrite").code == 0
    command(f"figures {run} --overwrite").demand_error(f"evaluate {run} --overwrite")
    assert command(f"evaluate {run} --draws 40 --overwrite").code == 0
    command(f"report {run} --overwrite").demand_error(
        f"diagnose {run}/posterior.nc --overwrite"
    )
    assert command(f"diagnose {run}/posterior.nc --overwrite").code == 0
    assert command(f"figures {run} --overwrite").code == 0
    assert command(f"report {run} --overwrite").code == 0


def test_maps_are_optional_inputs_of_one_model(done: Path) -> None:
    scores = json.loads((done / "run/scores.json").read_text())
    without = scores["without_maps"]
    assert set(without) == {
        "energy_score",
        "crps",
        "crps_per_target",
        "calibration_error",
    }
    assert without["crps"] != scores["crps"]
    with xr.open_dataset(
        done / "run/posterior_without_maps.nc", group="posterior"
    ) as data:
        keys = data[["HaloID", "Snapshot"]].to_dataframe()
    assert not keys.duplicated(["HaloID", "Snapshot"]).any()
    assert set(scores["mae"]) == set(schema.DEFAULT_TARGETS)
    assert set(scores["mae"]["last_d_peri"]) == {"median", "mean"}


def test_a_folder_of_somebody_else_is_not_touched(
    files: Files, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.tex").write_text("years of work")
    line = (
        f"run --observables {files[0]} --targets {files[1]} --out {tmp_path}/run {TINY}"
    )
    command(line).demand_error("one that this command or prepare made")
    command(f"{line} --overwrite").demand_error("not ours to replace")
    assert (tmp_path / "run/thesis.tex").read_text() == "years of work"


def test_the_command_tells_what_it_did(
    done: Path, tmp_path: Path, command: Command, undrawn: None
) -> None:
    files = f"--observables {done}/observables1.csv --targets {done}/unobservables1.csv"
    line = f"run {files} --out {tmp_path}/run {TINY} --draws 60 --refit-members 0"
    first, again = command(f"{line} --json"), command(line)
    assert first.code == again.code == 0, first.err
    assert json.loads(first.out) == {f"{tmp_path}/run": dict.fromkeys(STAGES, "made")}
    assert again.out.splitlines() == [
        f"unchanged   {', '.join(STAGES)}",
        f"report      {tmp_path}/run/report.html",
    ]
    assert command(f"{line} --embeddings e.npy").code == 2


# --- baseline and sensitivity ----------------------------------------------------------------------------------------


def test_a_stored_baseline_predicts_what_it_wrote(done: Path) -> None:
    run = open_run(done / "run")
    test = run.catalogue.rows(run.split.test)
    predicted = load_baseline(run)[0].predict(test.inputs(run.catalogue.observables))
    np.testing.assert_allclose(
        predicted,
        np.load(done / "run/baseline/mlp_test_pred.npy"),
        rtol=1e-5,
        atol=1e-5,
    )


def test_matrices_stand_by_observables_and_targets(done: Path) -> None:
    singles = [*schema.DEFAULT_OBSERVABLES, "embedding"]
    groups = list(
        schema.DEFAULT.grouped([*schema.DEFAULT_OBSERVABLES, "embedding_000"])
    )
    both = list(dict.fromkeys([*singles, *groups]))
    asked = [
        name for name in both if name != schema.RADIUS
    ]  # a function of mass and time
    maskable = [name for name in asked if name not in (schema.LOOKBACK, "time")]
    for kind, rows in {
        "sensitivity": singles,
        "grouped": groups,
        "shapley": groups,
        "ablation": maskable,
        "crps_sensitivity": asked,
    }.items():
        matrix, errors = (
            pd.read_csv(done / f"run/sensitivity/{kind}_{what}.csv", index_col=0)
            for what in ("matrix", "errors")
        )
        assert list(matrix.index) == list(errors.index) == rows, kind
        assert list(matrix) == list(schema.DEFAULT_TARGETS)
        assert np.isfinite(matrix).all(axis=None)
        assert (errors >= 0).all(axis=None)


def test_a_model_that_needs_every_observable_is_refitted_without_one(
    trained: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    assert command(f"baseline {run} --members 2").code == 0
    assert command(f"sensitivity {run} --repeats 1 --refit-members 1").code == 0
    ablation = pd.read_csv(run / "sensitivity/ablation_matrix.csv", index_col=0)
    assert {schema.LOOKBACK, schema.RADIUS} <= set(ablation.index)


def test_time_matters_for_the_time_of_a_collision(done: Path) -> None:
    matrix = pd.read_csv(done / "run/sensitivity/sensitivity_matrix.csv", index_col=0)
    assert matrix["last_T_coll"].idxmax() == schema.LOOKBACK


def test_stages_name_what_they_lack(
    trained: Path, tmp_path: Path, command: Command, undrawn: None
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    command(f"sensitivity {run}").demand_error("cinn-clusters baseline")
    command(f"figures {run}").demand_error("posterior.nc")
    command(f"report {run}").demand_error("cinn-clusters evaluate")
    assert command(f"evaluate {run} --draws 40").code == 0
    command(f"report {run}").demand_error("cinn-clusters figures")
    drawn = command(f"figures {run}")
    assert drawn.code == 0
    assert "5.sensitivity_analysis: run cinn-clusters baseline" in drawn.err
    assert "cinn-clusters diagnose" in drawn.err
    command(f"figures {run}").demand_error("--overwrite")
    assert command(f"report {run}").code == 0
    command(f"report {run}").demand_error("--overwrite")
    history = run / "history.csv"
    history.write_text(history.read_text().replace("\n", "0\n", 2))
    stale = command(f"report {run} --overwrite")
    stale.demand_error(
        "one of another history.csv", "cinn-clusters figures --overwrite"
    )


def test_a_baseline_of_another_split_is_refused(
    done: Path, tmp_path: Path, command: Command
) -> None:
    run = tmp_path / "run"
    line = f"prepare --observables {done}/observables1.csv --targets {done}/unobservables1.csv --out {run} --seed 7"
    assert command(line).code == 0
    shutil.copytree(done / "run/baseline", run / "baseline")
    command(f"sensitivity {run}").demand_error("another's")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figure_one_shows_the_halos_that_are_asked_for(
    done: Path, tmp_path: Path, command: Command, undrawn: None
) -> None:
    run = open_run(done / "run")
    row = run.catalogue.table.iloc[run.split.test[3]]
    line = f"figures {done}/run --out {tmp_path}/figures"
    assert command(f"{line} --halo {row.Snapshot:.0f}:{row.HaloID:.0f}").code == 0
    command(f"{line}2 --halo 987654321").demand_error(
        "--halo", "987654321", "summary.csv"
    )
    command(f"{line}2 --halo everything").demand_error("Snapshot:HaloID")
    train = run.catalogue.table.iloc[run.split.train[0]]
    command(f"{line}2 --halo {train.Snapshot:.0f}:{train.HaloID:.0f}").demand_error(
        "a halo of the test rows"
    )


def test_figures_of_a_crossval_need_no_summary(
    trained: Path, tmp_path: Path, command: Command, undrawn: None
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert command(f"crossval {run} {TINY} --folds 2 --draws 40").code == 0
    assert command(f"figures {run} --posterior {run}/crossval/posterior.nc").code == 0
    assert (run / "crossval/figures/4.cross_correlations.pdf").is_file()


# --- report ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Counts what a page holds and remembers what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_report_loads_nothing_and_shows_everything(done: Path) -> None:
    text = (done / "run" / "report.html").read_text(encoding="utf-8")
    assert text.count("prior given M500, z, drawn from the training clusters") >= 2, (
        "in short, and in the table"
    )
    assert (
        "References of this figure are drawn from all clusters outside the fold" in text
    )
    page = Page()
    page.feed(text)
    assert all(
        source.startswith(("data:image/png;base64,", "#")) for source in page.sources
    )
    assert not re.search(r"https?://|@import|url\(", text)
    drawn = {path.stem for path in (done / "run" / "figures").glob("*.png")}
    assert page.tags.count("img") == len(drawn)
    assert page.tags.count("script") == 0
    told = " ".join(" ".join(page.text).split())
    scores = json.loads((done / "run" / "scores.json").read_text())
    assert f"{scores['energy_score']['mean']:.3f}" in told
    run = open_run(done / "run")
    for fact in (
        run.record["files"][0]["sha256"],
        "test clusters",
        "prior given M500, z",
        "last_d_peri",
        "Mean absolute error of point estimates",
    ):
        assert fact in told, fact
    for figure in drawn:
        caption = CAPTIONS[figure]
        assert caption.title in told
        words = caption.filled({"estimate": "posterior median"})
        assert words.split(". ")[0] in told


def test_every_figure_has_a_caption() -> None:
    assert set(SIX) | set(SENSITIVITY_FIGURES) <= set(CAPTIONS)
    for caption in CAPTIONS.values():
        assert caption.title
        words = caption.filled({"estimate": "posterior median"})
        assert len(words.split()) > 10
        assert "{" not in words


def test_a_leaking_run_is_reported_as_such(
    files: Files, tmp_path: Path, command: Command, undrawn: None
) -> None:
    run = tmp_path / "run"
    prepare = f"prepare --observables {files[0]} --targets {files[1]} --out {run} --protocol original"
    for line in (
        prepare,
        f"train {run} {TINY}",
        f"evaluate {run} --draws 40",
        f"figures {run}",
        f"report {run}",
    ):
        assert command(line).code == 0, line
    assert "This split leaks" in (run / "report.html").read_text(encoding="utf-8")
