"""Recalibration: kept where it helps held-out clusters, left out where it does not, part of the
bundle."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.errors import ConfigError
from cinn_clusters.pipeline.simulation import recalibrate as room
from cinn_clusters.pipeline.simulation.crossval import crossval
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.settings.config import Config, read_config
from cinn_clusters.storage.model import describe_bundle, load_posterior, save_posterior
from cinn_clusters.storage.run import open_run
from support import TINY, Command


def _settings(folds: int) -> Config:
    changes = [change for change in TINY.split() if change != "--set"]
    return read_config(changes=[*changes, f"train.recalibration_folds={folds}"])


@pytest.fixture
def wrong(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Posterior:
    """Held-out clusters say: twice too wide."""
    run = open_run(trained)

    def predict(rows: object, config: Config, device: str) -> room.HeldOutPosteriors:
        kept = run.catalogue.rows(
            np.concatenate([run.split.train, run.split.validation])
        )
        theta, rng = kept.theta, np.random.default_rng(0)
        centre = theta + 0.1 * theta.std(0) * rng.normal(size=theta.shape)
        draws = centre + 0.25 * theta.std(0) * rng.normal(size=(1000, *theta.shape))
        return room.HeldOutPosteriors(
            kept, np.arange(len(theta)) % 3, draws, theta, rng.uniform(size=len(theta))
        )

    monkeypatch.setattr(room, "predict_held_out", predict)
    return load_posterior(trained / "model")


def _recalibrated(
    posterior: Posterior, trained: Path, folds: int = 3
) -> tuple[Posterior, dict[str, object]]:
    run = open_run(trained)
    return room.recalibrated(
        posterior, run.catalogue, run.split, _settings(folds), "cpu"
    )


def test_it_is_off_by_default(trained: Path) -> None:
    posterior = load_posterior(trained / "model")
    assert Config().train.recalibration_folds == 0
    assert _recalibrated(posterior, trained, folds=0) == (posterior, {})


def test_what_helps_is_kept_and_goes_round_the_bundle(
    wrong: Posterior, trained: Path, tmp_path: Path
) -> None:
    posterior, table = _recalibrated(wrong, trained)
    assert table["is_used"] is True
    assert table["after"]["calibration_error"] < table["before"]["calibration_error"]  # type: ignore[index]
    save_posterior(posterior, tmp_path / "model", _settings(3))
    again = load_posterior(tmp_path / "model")
    inputs = open_run(trained).catalogue.inputs(again.inputs)[:5]
    draws, plain = again.sample(inputs, 400), wrong.sample(inputs, 400)
    np.testing.assert_array_equal(draws, posterior.sample(inputs, 400))
    narrower = np.ptp(np.quantile(draws, [0.16, 0.84], axis=0), 0) / np.ptp(
        np.quantile(plain, [0.16, 0.84], axis=0), 0
    )
    assert (narrower < 0.8).all()
    assert np.isfinite(again.log_prob(draws[:20], inputs)).all()
    gained = again.log_prob(draws[:20], inputs) - wrong.log_prob(draws[:20], inputs)
    assert gained.mean() > 1.0, "a narrower density is higher at its centre"


def test_what_does_not_help_is_left_out(
    wrong: Posterior, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = room.predict_held_out

    def calibrated(*arguments: object) -> room.HeldOutPosteriors:
        held_out = narrow(*arguments)  # type: ignore[arg-type]
        rng, width = np.random.default_rng(1), 0.25 * held_out.truth.std(0)
        centre = held_out.truth + width * rng.normal(size=held_out.truth.shape)
        return replace(
            held_out, samples=centre + width * rng.normal(size=held_out.samples.shape)
        )

    monkeypatch.setattr(room, "predict_held_out", calibrated)
    posterior, table = _recalibrated(wrong, trained)
    assert table["is_used"] is False
    assert posterior is wrong


def test_command_trains_the_held_out_models_and_keeps_the_table(
    trained: Path, tmp_path: Path, command: Command
) -> None:
    run = tmp_path / "run"
    table = trained.parent
    command(
        f"prepare --observables {table}/observables1.csv --targets {table}/unobservables1.csv --out {run}"
    )
    assert command(f"train {run} {TINY} --set train.recalibration_folds=2").code == 0
    told = describe_bundle(run / "model")["provenance"]["recalibration"]
    assert set(told) == {"before", "after", "is_used"}
    assert (load_posterior(run / "model").recalibration is not None) == told["is_used"]


@pytest.mark.parametrize("folds", [1])
def test_one_fold_leaves_nothing_to_train_on(trained: Path, folds: int) -> None:
    with pytest.raises(
        ConfigError, match=r"train.recalibration_folds: expected 0 or at least 2 folds"
    ):
        _recalibrated(load_posterior(trained / "model"), trained, folds)


def test_targets_without_bounds_are_not_recalibrated(trained: Path) -> None:
    posterior = load_posterior(trained / "model")
    free = tuple(
        replace(target, bijection="identity", is_log=False)
        for target in posterior.transforms.targets
    )
    posterior = replace(
        posterior, transforms=replace(posterior.transforms, targets=free)
    )
    with pytest.raises(ConfigError, match=r"prepared with --protocol cluster"):
        _recalibrated(posterior, trained)


def test_crossval_recalibrates_on_other_clusters(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cluster of the fold that is judged takes part in its recalibration."""
    run = open_run(shutil.copytree(trained, tmp_path / "run"))
    met: list[set[object]] = []
    real = room.predict_held_out

    def spy(rows: Catalogue, config: Config, device: str) -> room.HeldOutPosteriors:
        met.append(set(rows.clusters.tolist()))
        return real(rows, config, device)

    monkeypatch.setattr(room, "predict_held_out", spy)
    scores = crossval(run.path, _settings(2), sampling=Sampling(50), num_folds=2)
    assert np.isfinite(scores.crps.mean or np.nan)
    tested = [
        set(run.catalogue.clusters[split.test].tolist())
        for split in folds_by_cluster(run.catalogue.clusters, 2)
    ]
    assert [seen & out for seen, out in zip(met, tested, strict=True)] == [set(), set()]
