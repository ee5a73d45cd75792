"""The original's benchmark: an ensemble of MLPs that predicts a point, judged on the test rows
of a run.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.diagnostics.scores import bootstrap_weights
from cinn_clusters.errors import BundleError
from cinn_clusters.evaluation.mlp_ensemble import (
    Ensemble,
    EnsembleOptions,
    fit_ensemble,
    make_network,
)
from cinn_clusters.files import atomic_directory, demand_free, write_json
from cinn_clusters.pipeline.simulation.evaluate import unphysical
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.storage.run import Run, csv_text, open_run, split_hash, versions
from cinn_clusters.storage.run_paths import BaselinePaths


def baseline(
    path: str | Path,
    options: EnsembleOptions | None = None,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> dict[str, Any]:
    """Train the ensemble on the training rows of a run; writes ``baseline/``.

    Args:
        path: The run.
        options: The published configuration when absent.
        overwrite: Replace a baseline that stands there.
        on_progress: Called after each epoch.

    Returns:
        Content of ``mae.json``: mean absolute error by target with its standard error over
        clusters, beside that of the median of the training rows; share of predictions outside the
        bounds of a target.

    Raises:
        BundleError: If the run is damaged.
        OutputError: If a baseline stands there already.
        TrainingError: If a loss is not finite.
    """
    options = options or EnsembleOptions()
    run = open_run(path)
    demand_free(run.paths.baseline.root, overwrite)
    rows, split = run.catalogue, run.split
    x, theta = rows.inputs(rows.observables), rows.theta
    ensemble = fit_ensemble(
        x, theta, split.train, split.validation, options, on_progress=on_progress
    )
    predicted, truth = ensemble.predict(x[split.test]), theta[split.test]
    report = _report(run, predicted, truth) | {"options": asdict(options)}
    paths = run.paths.baseline
    with atomic_directory(paths.root, overwrite=overwrite, markers=(paths.mae.name,)) as folder:
        paths = BaselinePaths(folder)
        for file, values in ((paths.predictions, predicted), (paths.ground_truth, truth)):
            with file.open("wb") as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(values))
        columns = ["phase", "epoch", "train_loss", "validation_loss"]
        paths.history.write_text(
            csv_text(pd.DataFrame(ensemble.history, columns=columns)), encoding="utf-8"
        )
        write_bundle(paths.model, _info(run, ensemble, options), ensemble.network.state_dict())
        write_json(paths.mae, report)
    return report


def load_baseline(run: Run) -> Ensemble:
    """Load the ensemble of a run.

    Raises:
        BundleError: If there is none, it is damaged, or it was trained on another split.
    """
    path = run.paths.baseline.model
    if not path.is_dir():
        raise BundleError(
            str(run.path), "a baseline", "none", "", "run cinn-clusters baseline first"
        )
    bundle = read_bundle(path)
    if bundle.info.get("split_sha256") != split_hash(run.record):
        raise BundleError(
            str(path),
            "the ensemble of this run's split",
            "another's",
            "",
            "run cinn-clusters baseline",
        )
    x_moments, theta_moments = (
        np.array(bundle.info["x_moments"]),
        np.array(bundle.info["theta_moments"]),
    )
    network = make_network(
        x_moments.shape[1], theta_moments.shape[1], options_of(bundle.info["options"])
    )
    network.load_state_dict(bundle.tensors)
    return Ensemble(network.eval().requires_grad_(False), x_moments, theta_moments)


def options_of(values: dict[str, Any]) -> EnsembleOptions:
    """Options as JSON keeps them, back again."""
    kept: Any = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    return EnsembleOptions(**kept)


def _report(run: Run, predicted: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    test, targets = run.catalogue.rows(run.split.test), run.catalogue.targets
    weights = bootstrap_weights(test.clusters)
    error = np.abs(predicted - truth)
    median = np.abs(np.median(run.catalogue.theta[run.split.train], axis=0) - truth)
    by_target = {
        name: {
            "mae": float(error[:, d].mean()),
            "se": float((weights @ error[:, d]).std()),
            "mae_of_the_median": float(median[:, d].mean()),
            "unit": unit_of(name),
        }
        for d, name in enumerate(targets)
    }
    outside = float(unphysical(predicted[None], test).mean())
    return {
        "rows": len(truth),
        "clusters": len(np.unique(test.clusters)),
        "targets": by_target,
        "unphysical": outside,
    }


def unit_of(name: str) -> str:
    """Unit of an error of a target: that of its values, a logarithm's being dex."""
    unit = schema.column(name).unit
    return "dex" if unit.startswith("log10") else unit


def _info(run: Run, ensemble: Ensemble, options: EnsembleOptions) -> dict[str, Any]:
    best = [entry for entry in ensemble.history if entry[0] == 2]
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
        "validation_mae": min((entry[3] for entry in best), default=math.nan),
    }
