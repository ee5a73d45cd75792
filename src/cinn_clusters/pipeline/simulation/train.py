"""Train the model of a run; killed at any moment, it can be resumed to the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.claims import reserving
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.embeddings import DEAD_FEATURES, ENCODER_HASH
from cinn_clusters.errors import OutputError
from cinn_clusters.files import JsonObject, atomic_file, demand_free, discard
from cinn_clusters.pipeline.simulation.recalibrate import recalibrated
from cinn_clusters.posterior.fit import Fold, Job, prepare_job
from cinn_clusters.posterior.trained import add_checks
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.model import describe_bundle, save_model
from cinn_clusters.storage.run import Run, csv_text, json_hash, open_run, split_hash
from cinn_clusters.storage.training_checkpoint import read_checkpoint, write_checkpoint


@dataclass(frozen=True)
class Training:
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


@reserving()
def train(
    path: str | Path,
    config: Config | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Training:
    """Train on a prepared run and write its bundle and history.

    Args:
        path: The run.
        config: Settings; the default preset when absent.
        device: See ``fit``.
        resume: Go on from the checkpoint of a killed training even if ``overwrite`` is set, and
            take a finished training as it is.
        overwrite: Replace a model that stands there, and start anew; else a killed training of
            these settings is gone on with.
        on_progress: Called after each epoch.

    Returns:
        What it came to.

    Raises:
        BundleError: If the run or its checkpoint is damaged or another's.
        OutputError: If there is a model already, or another process trains.
        TrainingError: If the loss is not finite.

    Examples:
        >>> import cinn_clusters as cc
        >>> changes = ["train.epochs=1", "model.members=2", "train.held_out_groups=2"]
        >>> config = cc.read_config(changes=changes)
        >>> cc.train("run", config, overwrite=True).epochs
        1
    """
    config = config or Config()
    run = open_run(path)
    paths = run.paths
    checkpoint = paths.checkpoint
    is_killed = checkpoint.exists()
    goes_on = is_killed and (resume or not overwrite)
    if resume and _is_complete(run):
        return _already_trained(run, config)
    demand_free(paths.model, overwrite or is_killed)
    fold = Fold(run.split, run.transforms)
    job = prepare_job(run.catalogue, fold, config, device)
    identity = _identity(run, config)
    if goes_on:
        read_checkpoint(checkpoint, job.flow, job.state, identity)
    resumed_at = job.state.epoch
    for state in job.epochs():
        if state.epoch % config.train.checkpoint_every == 0:
            write_checkpoint(checkpoint, job.flow, state, identity)
        on_progress(state.progress(config.train.epochs, "train"))
    _write_results(run, job)
    discard(checkpoint)
    best_loss = float(job.state.best_loss.mean())
    num_incomplete = fold.num_rows - job.folds[0].num_rows
    return Training(paths.model, job.state.epoch, best_loss, resumed_at, num_incomplete)


def _is_complete(run: Run) -> bool:
    return run.paths.model.exists() and not run.paths.checkpoint.exists()


def _already_trained(run: Run, config: Config) -> Training:
    """Return what a finished training came to, if it is this one."""
    model = run.paths.model
    info = describe_bundle(model)
    provenance = info["provenance"]
    is_same_run = all(
        provenance.get(key) == value for key, value in _run_hashes(run).items()
    )
    if info["config"] != config.model_dump() or not is_same_run:
        expected = "the model of these settings to be complete"
        hint = "resume with the settings it was started with, or pass --overwrite to start anew"
        raise OutputError(model, expected, "one of other settings", "", hint)
    losses, num_epochs = provenance["best_validation_nll"], provenance["epochs"]
    return Training(model, num_epochs, sum(losses) / len(losses), num_epochs)


def _write_results(run: Run, job: Job) -> None:
    """Recalibrate if that helps, and write history and model, both or none."""
    config, state, record = job.config, job.state, run.record
    posterior, table = recalibrated(
        job.posterior(), run.catalogue, run.split, config, job.device
    )
    provenance: JsonObject = {
        "protocol": record["protocol"],
        **_run_hashes(run),
        "files": record["files"],
        "num_clusters": record["num_clusters"],
        "num_rows": {part: len(rows) for part, rows in record["rows"].items()},
        "seed": config.seed,
        "epochs": state.epoch,
        "best_epoch": state.best_epoch.tolist(),
        "best_validation_nll": [round(loss, 6) for loss in state.best_loss.tolist()],
    }
    for key in {ENCODER_HASH, DEAD_FEATURES} & set(record):
        provenance[key] = record[key]
    if table:
        provenance["recalibration"] = table
    model = add_checks(posterior, config, *rows_for_checks(run), provenance)
    history = pd.DataFrame(
        state.history, columns=["epoch", "train_nll", "validation_nll"]
    )
    with atomic_file(run.paths.history) as scratch:
        scratch.write_text(csv_text(history), encoding="utf-8")
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


def _run_hashes(run: Run) -> dict[str, str]:
    return {
        "table_sha256": run.record["table_sha256"],
        "split_sha256": split_hash(run.record),
    }


def _identity(run: Run, config: Config) -> str:
    """Hash of all that decides the weights."""
    return json_hash(
        [*_run_hashes(run).values(), run.transforms.to_dict(), config.model_dump()]
    )
