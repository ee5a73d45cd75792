"""A training stopped after any epoch ends, resumed, in the same bytes; results are replaced
whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cinn_clusters.errors import BundleError, OutputError
from cinn_clusters.pipeline.simulation.train import train
from cinn_clusters.progress import Progress
from cinn_clusters.settings.config import Config, read_config
from cinn_clusters.storage.run import decision_hash, open_run, table_hash
from cinn_clusters.storage.run_paths import RunPaths
from support import TINY, Command

RESULTS = (
    "model/weights.safetensors",
    "model/bundle.json",
    "model/manifest.json",
    "history.csv",
)
EPOCHS = 6


def settings(*changes: str) -> Config:
    return read_config(
        changes=[
            *(part for part in TINY.split() if part != "--set"),
            f"train.epochs={EPOCHS}",
            *changes,
        ]
    )


def fresh(trained: Path, folder: Path) -> Path:
    return Path(
        shutil.copytree(
            trained, folder, ignore=shutil.ignore_patterns("model", "history.csv")
        )
    )


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class Stopped(BaseException):
    """Stands for a kill: nobody catches it."""


def stop_after(run: Path, config: Config, epoch: int, *, resume: bool) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == epoch:
            raise Stopped

    with pytest.raises(Stopped):
        train(run, config, resume=resume, on_progress=stop)


VARIANTS = {
    "every epoch": (),
    "every second epoch": ("train.checkpoint_every=2",),
    "never": ("train.checkpoint_every=99",),
    "stops early": (
        "train.patience=1",
        "train.learning_rate=0.02",
        "train.schedule=constant",
        "train.noise=0.05",
    ),
    "steered by the validation clusters": ("train.held_out_groups=0",),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_after_any_epoch_it_ends_the_same(
    variant: str, trained: Path, tmp_path: Path
) -> None:
    config = settings(*VARIANTS[variant])
    whole = fresh(trained, tmp_path / "whole")
    done = train(whole, config)
    assert (done.epochs < EPOCHS) == (variant == "stops early")
    for epoch in range(1, done.epochs + 1):
        run = fresh(trained, tmp_path / str(epoch))
        stop_after(run, config, epoch, resume=False)
        assert not (run / "model").exists()
        resumed = train(run, config, resume=True)
        assert (
            resumed.resumed_at
            == epoch // config.train.checkpoint_every * config.train.checkpoint_every
        )
        assert content(run) == content(whole)


def test_stopped_after_every_epoch_it_ends_the_same(
    trained: Path, tmp_path: Path
) -> None:
    config, whole, run = (
        settings(),
        fresh(trained, tmp_path / "whole"),
        fresh(trained, tmp_path / "run"),
    )
    train(whole, config)
    for epoch in range(1, EPOCHS + 1):
        stop_after(run, config, epoch, resume=True)
    train(run, config, resume=True)
    assert content(run) == content(whole)


def test_a_checkpoint_of_anything_else_is_refused_and_kept(
    trained: Path, tmp_path: Path
) -> None:
    run = fresh(trained, tmp_path / "run")
    stop_after(run, settings(), 2, resume=False)
    before = content(run)
    for change in (
        "seed=1",
        "train.epochs=7",
        "autoregressive.hidden=9",
        "train.noise=0.06",
        "train.checkpoint_every=2",
    ):
        with pytest.raises(
            BundleError,
            match="the checkpoint of this table and these settings; got another run's",
        ):
            train(run, settings(change), resume=True)
        with pytest.raises(BundleError, match="another run's"):
            train(run, settings(change))
    (run / "X.csv").write_text((run / "X.csv").read_text().replace("1", "2", 1))
    with pytest.raises(
        BundleError, match="the tables that were split; got changed ones"
    ):
        train(run, settings(), resume=True)
    (run / "X.csv").write_bytes(before["X.csv"])
    assert content(run) == before


def test_starting_anew_forgets_the_checkpoint(trained: Path, tmp_path: Path) -> None:
    run, whole = fresh(trained, tmp_path / "run"), fresh(trained, tmp_path / "whole")
    stop_after(run, settings("seed=5"), 2, resume=False)
    train(run, settings(), overwrite=True)
    train(whole, settings())
    assert content(run) == content(whole)


def test_a_finished_training_says_so(
    trained: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    before = content(run)
    result = command(f"train {run} --resume {TINY}")
    assert result.code == 0
    assert "already complete" in result.err
    assert content(run) == before
    for other in ("--set seed=3", "--set train.epochs=4"):
        command(f"train {run} --resume {TINY} {other}").demand_error(
            "other settings", "--overwrite"
        )
    assert content(run) == before
    assert "already complete" not in command(f"train {run} --overwrite {TINY}").err


@pytest.mark.parametrize("failing", ["save_model", "csv_text"])
def test_model_and_history_are_replaced_both_or_none(
    failing: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    before = content(run)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"cinn_clusters.pipeline.simulation.train.{failing}", fail)
    with pytest.raises((OutputError, OSError), match="No space left"):
        train(run, settings("seed=8"), overwrite=True)
    after = content(run)
    assert after.pop("checkpoint.safetensors"), "the work is not lost"
    assert after == before


def test_the_untouched_model_of_before_is_not_written_over(
    trained: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    before = content(run)
    with pytest.raises(
        OutputError,
        match=r"model: expected a path that does not exist yet; .*--overwrite",
    ):
        train(run, settings("seed=8"))
    assert content(run) == before


@pytest.mark.parametrize("damage", ["a row less", "a row without key"])
def test_keys_that_do_not_fit_the_tables_are_refused_whatever_the_hash_says(
    trained: Path, tmp_path: Path, damage: str
) -> None:
    run = fresh(trained, tmp_path / "run")
    lines = (run / "meta.csv").read_text().splitlines()
    lines.pop()
    if damage == "a row without key":
        lines.append("," * lines[0].count(","))
    (run / "meta.csv").write_text("\n".join(lines) + "\n")
    record = json.loads((run / "split.json").read_text())
    record["table_sha256"] = table_hash(RunPaths(run))
    maps = json.loads((run / "transforms.json").read_text())
    record["sha256"] = decision_hash(record, maps)
    (run / "split.json").write_text(json.dumps(record))
    with pytest.raises(BundleError, match="tables of as many rows, with keys"):
        open_run(run)
