"""The search sees training clusters only, keeps its record, and what it writes is a
configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters.errors import ConfigError, OutputError
from cinn_clusters.files import read_json
from cinn_clusters.pipeline.simulation import tune as room
from cinn_clusters.pipeline.simulation.tune import Search, tune
from cinn_clusters.progress import Progress
from cinn_clusters.settings.config import Config, GlowConfig, read_config
from cinn_clusters.settings.sections import to_toml
from cinn_clusters.storage.run import open_run
from support import TINY, Command

pytest.importorskip(
    "optuna", reason="optuna is not installed (pip install -e '.[tune]')"
)
FIXED = [change for change in TINY.split() if change != "--set"]


@pytest.fixture
def run(trained: Path, tmp_path: Path, command: Command) -> Path:
    table = trained.parent
    path = tmp_path / "run"
    command(
        f"prepare --observables {table}/observables1.csv --targets {table}/unobservables1.csv --out {path}"
    )
    return path


def test_a_search_keeps_its_record(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {
        "train.batch": (32, 128),
        "autoregressive.hidden": (4, 8),
        "model.flow": ("autoregressive", "glow", "mixture"),
    }
    monkeypatch.setattr(room, "SPACE", space)
    seen: list[Progress] = []
    search = Search(num_trials=3, inner_folds=2)
    found = tune(run, FIXED, search=search, on_progress=seen.append)
    assert [progress.done for progress in seen] == [1, 2, 3]
    assert found.value == found.trials["value"].min()
    assert seen[-1].note == f"best crps {found.value:.4f}"
    assert set(found.trials) >= {
        "trial",
        "state",
        "value",
        "seconds",
        "train.batch",
        "model.flow",
    }
    assert "autoregressive.hidden" not in found.trials, "what is set is not searched"
    preset = found.trials[found.trials["trial"] == 0].iloc[0]
    assert (preset["train.batch"], preset["model.flow"]) == (32, "autoregressive"), (
        "the preset to beat is tried first"
    )
    kept = read_config(run / "tune/best.toml")
    assert kept == found.best
    assert kept.autoregressive.hidden == 8
    assert pd.read_csv(run / "tune/trials.csv").shape == found.trials.shape
    assert read_json(run / "tune/search.json")["objective"] == "crps"
    again = tune(run, FIXED, search=search, overwrite=True)
    columns = ["trial", "value", "train.batch", "model.flow"]
    pd.testing.assert_frame_equal(again.trials[columns], found.trials[columns])


@pytest.mark.parametrize("fold", [None, 1])
def test_what_is_judged_later_is_never_seen(
    run: Path, fold: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SPACE", {"train.batch": (32, 64)})
    opened = open_run(run)
    clusters = opened.catalogue.clusters
    aside = clusters[opened.split.test]
    if fold is not None:
        aside = np.array_split(
            np.random.default_rng(0).permutation(np.unique(clusters)), 5
        )[fold]
    met: set[object] = set()
    real = room.fit

    def spy(catalogue: object, *arguments: object, **options: object) -> object:
        met.update(catalogue.clusters.tolist())  # type: ignore[attr-defined]
        return real(catalogue, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "fit", spy)
    tune(run, FIXED, search=Search(1, inner_folds=2, fold=fold))
    assert met == set(clusters.tolist()) - set(aside.tolist())


@pytest.mark.parametrize("objective", ["energy", "nll"])
def test_other_objectives(
    run: Path, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SPACE", {"train.batch": (32, 64)})
    found = tune(run, FIXED, search=Search(1, objective, inner_folds=2))  # type: ignore[arg-type]
    assert np.isfinite(found.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_trials": 0}, r"--trials: expected at least 1; got 0"),
        (
            {"objective": "mse"},
            r"--objective: expected one of crps, energy, nll; got 'mse'",
        ),
        ({"fold": 5}, r"--fold: expected 0 to 4; got 5"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Search(**options)  # type: ignore[arg-type]


def test_a_search_of_nothing_is_refused(run: Path) -> None:
    changes = [f"{key}={str(values[0]).lower()}" for key, values in room.SPACE.items()]
    with pytest.raises(ConfigError, match="a setting to search; got all of them set"):
        tune(run, changes)


def test_only_the_section_of_the_flow_is_searched() -> None:
    class Trial:
        def suggest_categorical(self, key: str, values: list[object]) -> object:
            return {"model.flow": "glow"}.get(key, values[0])

    suggested = room._suggested(Trial(), Config(), room.SPACE)
    assert {key.partition(".")[0] for key in suggested} == {"model", "train", "glow"}
    assert room._changed(Config(), suggested).flow == GlowConfig(blocks=2, hidden=16)


def test_a_search_that_stands_there_is_kept(run: Path) -> None:
    (run / "tune").mkdir()
    (run / "tune/trials.csv").touch()
    with pytest.raises(OutputError, match="tune"):
        tune(run, FIXED, search=Search(1))


def test_command(run: Path, command: Command) -> None:
    some = [
        key
        for key in room.SPACE
        if key not in ("autoregressive.hidden", "autoregressive.blocks", "train.noise")
    ]
    wide = " ".join(f"--set {key}={str(room.SPACE[key][0]).lower()}" for key in some)
    done = command(f"tune {run} --trials 1 --inner-folds 2 {TINY} {wide} --json")
    assert done.code == 0, done.err
    assert (run / "tune/best.toml").is_file()


def test_settings_go_round_as_toml(tmp_path: Path) -> None:
    config = read_config(
        changes=[
            "model.flow=flow_matching",
            "train.noise=0.125",
            "train.dequantise=false",
            "seed=7",
        ]
    )
    (tmp_path / "a.toml").write_text(to_toml(config), encoding="utf-8")
    assert read_config(tmp_path / "a.toml") == config
    assert config != Config()
