"""Train the model of a run; killed at any moment, it can be resumed to the same weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.errors import OutputError
from cinn_clusters.files import atomic_file, demand_free
from cinn_clusters.pipeline.simulation.recalibrate import recalibrated
from cinn_clusters.posterior.fit import Job, prepare_job
from cinn_clusters.posterior.trained import add_checks
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.model import describe_bundle, save_model
from cinn_clusters.storage.run import Run, csv_text, open_run, split_hash
from cinn_clusters.storage.training_checkpoint import read_checkpoint, write_checkpoint


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Args:
        model: Folder of the bundle.
        epochs: Epochs run.
        best_loss: Mean held-out NLL of the members at their best, in standardised units.
        resumed_at: Epoch of the checkpoint it went on from; 0 for a fresh start.
        num_incomplete: Rows that were left out because an observable is missing.
    """

    model: Path
    epochs: int
    best_loss: float
    resumed_at: int
    num_incomplete: int = 0


def train(
    path: str | Path,
    config: Config | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Trained:
    """Train on a prepared run and write its bundle and history.

    Args:
        path: The run.
        config: Settings; the default preset when absent.
        device: See ``fit``.
        resume: Go on from the checkpoint of a killed training, if there is one.
        overwrite: Replace a model that stands there.
        on_progress: Called after each epoch.

    Returns:
        What it came to.

    Raises:
        BundleError: If the run or its checkpoint is damaged or another's.
        OutputError: If there is a model or a checkpoint already.
        TrainingError: If the loss is not finite.
    """
    config = config or Config()
    run = open_run(path)
    checkpoint = run.paths.checkpoint
    if resume and not checkpoint.exists() and (run.paths.model).exists():
        return _already_trained(run, config)
    _demand_startable(run, resume, overwrite)
    job = prepare_job(run.catalogue, run.split, run.transforms, config, device)
    identity = _identity(run, config)
    if resume and checkpoint.exists():
        read_checkpoint(checkpoint, job.flow, job.state, identity)
    resumed_at = job.state.epoch
    for state in job.epochs():
        if state.epoch % config.train.checkpoint_every == 0:
            write_checkpoint(checkpoint, job.flow, state, identity)
        on_progress(state.progress(config.train.epochs, "train"))
    _write_results(run, job, config)
    checkpoint.unlink(missing_ok=True)
    for scratch in run.path.glob(
        f".{checkpoint.name}.*"
    ):  # of a training that was killed while it wrote
        scratch.unlink(missing_ok=True)
    best_loss = float(job.state.best_loss.mean())
    return Trained(run.paths.model, job.state.epoch, best_loss, resumed_at, job.num_incomplete)


def _demand_startable(run: Run, resume: bool, overwrite: bool) -> None:
    checkpoint = run.paths.checkpoint
    if checkpoint.exists():
        if not (resume or overwrite):
            hint = "pass --resume to go on, or --overwrite to start anew"
            raise OutputError(
                str(checkpoint), "no training under way", "the checkpoint of one", "", hint
            )
    else:
        demand_free(run.paths.model, overwrite)


def _already_trained(run: Run, config: Config) -> Trained:
    """Return what a finished training came to, if it is this one."""
    info = describe_bundle(run.paths.model)
    told = info["provenance"]
    expected = {"table_sha256": run.record["table_sha256"], "split_sha256": split_hash(run.record)}
    if info["config"] != config.model_dump() or any(
        told.get(key) != value for key, value in expected.items()
    ):
        raise OutputError(
            str(run.paths.model),
            "the model of these settings to be complete",
            "one of other settings",
            "",
            "resume with the settings it was started with, or pass --overwrite to start anew",
        )
    losses = told["best_validation_nll"]
    return Trained(run.paths.model, told["epochs"], sum(losses) / len(losses), told["epochs"])


def _write_results(run: Run, job: Job, config: Config) -> None:
    state = job.state
    posterior, table = recalibrated(job.posterior(), run.catalogue, run.split, config, job.device)
    history = pd.DataFrame(state.history, columns=["epoch", "train_nll", "validation_nll"])
    provenance: dict[str, Any] = {
        "protocol": run.record["protocol"],
        "table_sha256": run.record["table_sha256"],
        "split_sha256": split_hash(run.record),
        "files": run.record["files"],
        "num_clusters": run.record["num_clusters"],
        "num_rows": {part: len(rows) for part, rows in run.record["rows"].items()},
        "seed": config.seed,
        "epochs": state.epoch,
        "best_epoch": state.best_epoch.tolist(),
        "best_validation_nll": [round(value, 6) for value in state.best_loss.tolist()],
    }
    if table:
        provenance["recalibration"] = table
    with atomic_file(run.paths.history) as scratch:  # both or none
        scratch.write_text(csv_text(history), encoding="utf-8")
        model = add_checks(posterior, config, *rows_for_checks(run), provenance)
        save_model(model, run.paths.model, overwrite=True)


def rows_for_checks(run: Run) -> tuple[Catalogue, pd.DataFrame | None]:
    """Rows of training and validation, and rows without a usable history, without test clusters."""
    rows = run.catalogue.rows(np.concatenate([run.split.train, run.split.validation]))
    left_out = run.left_out()
    if left_out is None:
        return rows, None
    test = run.catalogue.clusters[run.split.test]
    is_test = left_out[run.catalogue.cluster_column].isin(test)
    return rows, left_out[~is_test].reset_index(drop=True)


def _identity(run: Run, config: Config) -> str:
    what = [
        run.record["table_sha256"],
        split_hash(run.record),
        run.transforms.to_dict(),
        config.model_dump(),
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
