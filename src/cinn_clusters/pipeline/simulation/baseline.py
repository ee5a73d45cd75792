"""The original's benchmark on the test rows of a run: an ensemble of MLPs that predicts a point."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.claims import reserving
from cinn_clusters.diagnostics.scores import bootstrap_weights, is_one_cluster
from cinn_clusters.errors import BundleError
from cinn_clusters.evaluation.ground_truth import unphysical
from cinn_clusters.evaluation.json_model import JsonModel, Number
from cinn_clusters.evaluation.mlp_ensemble import (
    Ensemble,
    EnsembleOptions,
    fit_ensemble,
    make_network,
)
from cinn_clusters.files import JsonObject, atomic_directory, demand_free
from cinn_clusters.moments import deviation
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.storage.run import Run, csv_text, open_run, split_hash, versions
from cinn_clusters.storage.run_paths import BaselinePaths


class TargetError(JsonModel):
    """Mean absolute error of one target, beside that of the median of the training rows."""

    mae: Number
    se: Number
    mae_of_the_median: Number
    unit: str


class BaselineReport(JsonModel):
    """Content of ``mae.json``; ``unphysical`` is the share of predictions outside the bounds."""

    rows: int
    clusters: int
    targets: dict[str, TargetError]
    unphysical: float | None
    options: JsonObject


@reserving()
def baseline(
    path: str | Path,
    options: EnsembleOptions | None = None,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> BaselineReport:
    """Train the ensemble on the training rows of a run; writes ``baseline/``.

    Args:
        path: The run.
        options: The published configuration when absent.
        overwrite: Replace a baseline that stands there.
        on_progress: Called after each epoch.

    Returns:
        Mean absolute error by target with its standard error over clusters.

    Raises:
        BundleError: If the run is damaged.
        OutputError: If a baseline stands there already.
        TrainingError: If a loss is not finite.

    Examples:
        >>> import cinn_clusters as cc
        >>> options = EnsembleOptions(members=2, epochs=(1, 1))
        >>> report = cc.baseline("run", options, overwrite=True)
        >>> report.targets["last_V_coll"].unit
        'dex'
    """
    options = options or EnsembleOptions()
    run = open_run(path)
    home = run.paths.baseline
    demand_free(home.root, overwrite)
    catalogue, test = run.catalogue, run.split.test
    x, theta = catalogue.inputs(catalogue.observables), catalogue.theta
    ensemble = fit_ensemble(x, theta, run.split, options, on_progress=on_progress)
    predictions = ensemble.predict(x[test])
    report = _report(run, predictions, options)
    columns = ["phase", "epoch", "train_loss", "validation_loss"]
    history = pd.DataFrame(ensemble.history, columns=columns)
    with atomic_directory(
        home.root, overwrite=overwrite, markers=(home.mae.name,)
    ) as folder:
        paths = BaselinePaths(folder)
        _write_array(paths.predictions, predictions)
        _write_array(paths.ground_truth, theta[test])
        paths.history.write_text(csv_text(history), encoding="utf-8")
        info = _bundle_info(run, ensemble, options)
        write_bundle(paths.model, info, ensemble.network.state_dict())
        report.write(paths.mae)
    return report


def load_baseline(run: Run) -> tuple[Ensemble, EnsembleOptions]:
    """Load the ensemble of a run and what it was trained with.

    Raises:
        BundleError: If there is none, it is damaged, or it was trained on another split.
    """
    path = run.paths.baseline.model
    if not path.is_dir():
        hint = "run cinn-clusters baseline first"
        raise BundleError(run.path, "a folder baseline", "none", "", hint)
    bundle = read_bundle(path)
    if bundle.info.get("split_sha256") != split_hash(run.record):
        hint = "run cinn-clusters baseline"
        raise BundleError(
            path, "the ensemble of this run's split", "another's", "", hint
        )
    options = EnsembleOptions.from_json(bundle.info["options"])
    x_moments, theta_moments = (
        np.array(bundle.info[name]) for name in ("x_moments", "theta_moments")
    )
    network = make_network(x_moments.shape[1], theta_moments.shape[1], options)
    network.load_state_dict(bundle.tensors)
    network.eval().requires_grad_(False)
    return Ensemble(network, x_moments, theta_moments), options


def _report(
    run: Run, predictions: np.ndarray, options: EnsembleOptions
) -> BaselineReport:
    test, train_theta = (
        run.catalogue.rows(run.split.test),
        run.catalogue.theta[run.split.train],
    )
    truth, weights = test.theta, bootstrap_weights(test.clusters)
    error = np.abs(predictions - truth)
    se = _errors_of_means(weights, error)
    of_median = np.abs(np.median(train_theta, axis=0) - truth)
    is_outside = unphysical(predictions[None], test)
    return BaselineReport(
        rows=len(truth),
        clusters=len(np.unique(test.clusters)),
        targets={
            name: TargetError(
                mae=error[:, d].mean(),
                se=se[d],
                mae_of_the_median=of_median[:, d].mean(),
                unit=_unit_of_error(test.schema.column(name).unit),
            )
            for d, name in enumerate(test.targets)
        },
        unphysical=None if is_outside is None else is_outside.mean(),
        options=asdict(options),
    )


def _errors_of_means(weights: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Standard error (D,) of the mean of errors (N, D); NaN of a single cluster."""
    spread = [deviation(weights @ of_target) for of_target in error.T]
    if is_one_cluster(weights):
        return np.full(len(spread), np.nan)
    return np.array(spread)


def _unit_of_error(unit: str) -> str:
    """Unit of an error of a value in some unit; that of a logarithm is dex."""
    return "dex" if unit.startswith("log10") else unit


def _bundle_info(run: Run, ensemble: Ensemble, options: EnsembleOptions) -> JsonObject:
    losses = [validation for phase, _, _, validation in ensemble.history if phase == 2]
    return {
        "package": "cinn-clusters",
        "kind": "mlp ensemble",
        "versions": versions(),
        "options": asdict(options),
        "observables": list(run.catalogue.observables),
        "targets": list(run.catalogue.targets),
        "x_moments": ensemble.x_moments.tolist(),
        "theta_moments": ensemble.theta_moments.tolist(),
        "table_sha256": run.record["table_sha256"],
        "split_sha256": split_hash(run.record),
        "validation_mae": min(losses, default=math.nan),
    }


def _write_array(path: Path, values: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(values))
