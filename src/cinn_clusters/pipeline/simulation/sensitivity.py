"""Which observable tells of which target: the original's matrix, and what it hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.bundle import read_bundle
from cinn_clusters.diagnostics.importance import permutation_importance, sage_values
from cinn_clusters.diagnostics.scores import bootstrap_weights, crps
from cinn_clusters.evaluation.mlp_ensemble import fit_ensemble
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.pipeline.simulation.baseline import load_baseline, options_of
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.storage.model import demand_own_model, load_posterior
from cinn_clusters.storage.run import Run, csv_text, open_run

NUM_MATRICES = 5
NUM_DRAWS = 100
"""Posterior draws a row behind each CRPS."""
Rows = dict[str, tuple[str, ...]]
"""Columns that are taken away, by what to call them."""


def sensitivity(
    path: str | Path,
    *,
    num_repeats: int = 20,
    refit_members: int = 3,
    seed: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> dict[str, pd.DataFrame]:
    """Take observables away from the models of a run; writes ``sensitivity/``, a matrix and its errors by kind.

    Args:
        path: A run with a baseline; with a posterior model, CRPS is looked at, too.
        num_repeats: Permutations of the test rows to average over (a quarter of them for CRPS).
        refit_members: Members of the ensembles that are trained anew without an observable; 0
            trains none.
        seed: Seed of permutations and draws.
        overwrite: Replace matrices that stand there.
        on_progress: Called when a matrix is done.

    Returns:
        Observables (or groups of them) by targets, in catalogue units: ``sensitivity`` (each
        shuffled, as the original did), ``grouped`` (what tells of the same thing shuffled
        together), ``shapley`` (its share in what all save), ``ablation`` (left out, ensemble
        trained anew) and ``crps_sensitivity`` (of the posterior).

    Raises:
        BundleError: If the run or its baseline is missing or damaged.
        OutputError: If matrices stand there already.
    """
    run = open_run(path)
    demand_free(run.paths.sensitivity.root, overwrite)
    ensemble = load_baseline(run)
    test = run.catalogue.rows(run.split.test)
    names = run.catalogue.observables
    x, truth = test.inputs(names), test.theta
    weights = bootstrap_weights(test.clusters)
    singles, groups = _singles(names), schema.DEFAULT.grouped(names)

    def error(given: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(ensemble.predict(given) - truth))

    matrices: dict[str, pd.DataFrame] = {}

    def keep(kind: str, rows: Rows, increase: np.ndarray) -> None:
        values = increase.mean(1)
        spread = np.stack([(weights @ of_rows).std(0) for of_rows in increase])
        matrices[f"{kind}_matrix"] = _frame(values, rows, run.catalogue.targets)
        matrices[f"{kind}_errors"] = _frame(spread, rows, run.catalogue.targets)
        on_progress(Progress(len(matrices) // 2, NUM_MATRICES, "sensitivity", kind))

    single, group = _places(singles, names), _places(groups, names)
    keep(
        "sensitivity",
        singles,
        permutation_importance(error, x, single, num_repeats=num_repeats, seed=seed),
    )
    keep(
        "grouped",
        groups,
        permutation_importance(error, x, group, num_repeats=num_repeats, seed=seed),
    )
    keep("shapley", groups, sage_values(error, x, group, num_repeats=num_repeats, seed=seed))
    if refit_members:
        keep("ablation", singles | groups, _ablation(run, singles | groups, refit_members))
    if (run.paths.model).is_dir():
        increase = _crps_increase(
            run, singles | groups, num_repeats=-(-num_repeats // 4), seed=seed
        )
        keep("crps_sensitivity", singles | groups, increase)
    with atomic_directory(
        run.paths.sensitivity.root, overwrite=overwrite, markers=("sensitivity_matrix.csv",)
    ) as scratch:
        for name, matrix in matrices.items():
            (scratch / f"{name}.csv").write_text(csv_text(matrix.reset_index()), encoding="utf-8")
    return matrices


def _singles(names: Sequence[str]) -> Rows:
    """Every observable for itself; an embedding, whose columns mean nothing alone, as one."""
    rows: Rows = {name: (name,) for name in names if not schema.is_embedding(name)}
    embedding = tuple(name for name in names if schema.is_embedding(name))
    return {**rows, schema.EMBEDDING: embedding} if embedding else rows


def _places(rows: Rows, names: Sequence[str]) -> list[list[int]]:
    return [[names.index(member) for member in members] for members in rows.values()]


def _frame(values: np.ndarray, rows: Rows, targets: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        values, index=pd.Index(list(rows), name="observable"), columns=list(targets)
    )


def _ablation(run: Run, rows: Rows, members: int) -> np.ndarray:
    """Increase of the absolute error of each test row without some columns, (G, N, D), ensembles
    trained anew.
    """
    info = read_bundle(run.paths.baseline.model).info
    options = replace(options_of(info["options"]), members=members)
    names, split, theta = run.catalogue.observables, run.split, run.catalogue.theta

    def error(kept: list[str]) -> np.ndarray:
        if not kept:  # all that is left to say is the median
            return np.asarray(np.abs(np.median(theta[split.train], axis=0) - theta[split.test]))
        x = run.catalogue.inputs(kept)
        ensemble = fit_ensemble(x, theta, split.train, split.validation, options)
        return np.asarray(np.abs(ensemble.predict(x[split.test]) - theta[split.test]))

    whole = error(list(names))
    done: dict[tuple[str, ...], np.ndarray] = {}
    for away in rows.values():
        if away not in done:
            done[away] = error([name for name in names if name not in away]) - whole
    return np.stack([done[away] for away in rows.values()])


def _crps_increase(run: Run, rows: Rows, *, num_repeats: int, seed: int) -> np.ndarray:
    """Increase of the CRPS of each test row when columns are shuffled, (G, N, D)."""
    demand_own_model(run)
    posterior = load_posterior(run.paths.model)
    test = run.catalogue.rows(run.split.test)
    names, truth = posterior.inputs, test.theta

    def loss(given: np.ndarray) -> np.ndarray:
        return crps(posterior.sample(given, NUM_DRAWS, seed=seed).astype(float), truth)

    known = {name: members for name, members in rows.items() if set(members) <= set(names)}
    return permutation_importance(
        loss, test.inputs(names), _places(known, names), num_repeats=num_repeats, seed=seed
    )
