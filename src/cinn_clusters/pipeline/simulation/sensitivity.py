"""Which observable matters for which target: the original's matrix, and what it hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.claims import reserving
from cinn_clusters.diagnostics.importance import (
    MAX_GROUPS,
    permutation_importance,
    sage_values,
)
from cinn_clusters.diagnostics.scores import bootstrap_weights, crps
from cinn_clusters.evaluation.mlp_ensemble import fit_ensemble
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.moments import deviation
from cinn_clusters.pipeline.origin import write_origin
from cinn_clusters.pipeline.simulation.baseline import load_baseline
from cinn_clusters.pipeline.simulation.evaluate import answerable_rows, mask_columns
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.schema import EMBEDDING, ERROR_PREFIX, is_embedding
from cinn_clusters.storage.model import demand_own_model, load_posterior
from cinn_clusters.storage.run import Run, csv_text, open_run

_NUM_MATRICES = 5
_NUM_SAMPLES = 100
"""Posterior samples a row behind each CRPS."""
_NUM_ABLATION_SAMPLES = 300
"""Posterior samples a row behind each median."""
_Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of samples (S, N, D) against the ground truth (N, D), (N, D)."""
Columns = dict[str, tuple[str, ...]]
"""Columns that are taken away together, by what to call them."""


@reserving()
def sensitivity(
    path: str | Path,
    *,
    num_repeats: int = 20,
    refit_members: int = 3,
    seed: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> dict[str, pd.DataFrame]:
    """Take observables away from the models of a run; writes ``sensitivity/``.

    Args:
        path: A run with a baseline; with a posterior model, its CRPS is looked at, too.
        num_repeats: Permutations of the test rows to average over (a quarter of them for CRPS).
        refit_members: Members of the ensembles that are trained anew without an observable; 0
            trains none. A model that accepts missing values is asked without it instead.
        seed: Seed of permutations and samples.
        overwrite: Replace matrices that stand there.
        on_progress: Called when a matrix is done.

    Returns:
        Observables (or groups of them) by targets, in catalogue units, each with its standard
        errors: ``sensitivity`` (permutation importance, as in the original), ``grouped`` (what
        tells of the same thing shuffled together), ``shapley`` (SAGE values), ``ablation`` (left
        out) and ``crps_sensitivity`` (permutation importance for the posterior).

    Raises:
        BundleError: If the run or its baseline is missing or damaged.
        OutputError: If matrices stand there already.

    Examples:
        >>> import cinn_clusters as cc
        >>> from cinn_clusters.evaluation.mlp_ensemble import EnsembleOptions
        >>> _ = cc.baseline("run", EnsembleOptions(members=2, epochs=(1, 1)), overwrite=True)
        >>> matrices = cc.sensitivity("run", num_repeats=1, refit_members=0, overwrite=True)
        >>> matrices["sensitivity_matrix"].shape
        (7, 6)
    """
    run = open_run(path)
    paths = run.paths.sensitivity
    demand_free(paths.root, overwrite)
    importances = list(_ensemble_importances(run, num_repeats, seed))
    if run.paths.model.is_dir():
        importances += _model_importances(run, -(-num_repeats // 4), seed)
    if refit_members and "ablation" not in [
        importance.kind for importance in importances
    ]:
        importances.append(_refitted_ablation(run, refit_members))
    frames: dict[str, pd.DataFrame] = {}
    for importance in importances:
        frames |= importance.frames(run.catalogue.targets)
        on_progress(
            Progress(len(frames) / 2, _NUM_MATRICES, "sensitivity", importance.kind)
        )
    markers = (paths.matrix("sensitivity").name,)
    with atomic_directory(paths.root, overwrite=overwrite, markers=markers) as folder:
        for name, frame in frames.items():
            text = csv_text(frame.reset_index())
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        write_origin(folder, run.paths)
    return frames


@dataclass(frozen=True, eq=False)
class _Importance:
    """Increase of a loss when columns are taken away.

    Args:
        kind: Name of its files.
        columns: G groups of columns.
        increase: Increase of the loss of each row, (G, N, D).
        clusters: Cluster of each row, (N,).
    """

    kind: str
    columns: Columns
    increase: np.ndarray
    clusters: np.ndarray

    def frames(self, targets: Sequence[str]) -> dict[str, pd.DataFrame]:
        """Mean increase and its standard error over clusters, columns by targets."""
        weights = bootstrap_weights(self.clusters)
        errors = np.stack([_errors_of_means(weights, rows) for rows in self.increase])
        index = pd.Index(list(self.columns), name="observable")
        mean = pd.DataFrame(self.increase.mean(axis=1), index, list(targets))
        spread = pd.DataFrame(errors, index, list(targets))
        return {f"{self.kind}_matrix": mean, f"{self.kind}_errors": spread}


def _errors_of_means(weights: np.ndarray, increase: np.ndarray) -> np.ndarray:
    """Standard error (D,) of the mean increase of rows (N, D) over clusters."""
    return np.array([deviation(weights @ of_target) for of_target in increase.T])


def _ensemble_importances(
    run: Run, num_repeats: int, seed: int
) -> Iterator[_Importance]:
    """Permutation importance and SAGE values for the absolute error of the MLP ensemble."""
    ensemble, _ = load_baseline(run)
    test, names = run.catalogue.rows(run.split.test), run.catalogue.observables
    x, truth, clusters = test.inputs(names), test.theta, test.clusters

    def error(copies: np.ndarray) -> np.ndarray:
        predicted = [ensemble.predict(observables) for observables in copies]
        return np.asarray(np.abs(np.stack(predicted) - truth))

    methods = [("sensitivity", _singles(names), permutation_importance)]
    groups = test.schema.grouped(names)
    methods.append(("grouped", groups, permutation_importance))
    if len(groups) <= MAX_GROUPS:  # SAGE asks every coalition
        methods.append(("shapley", groups, sage_values))
    for kind, columns, importance in methods:
        indices = _indices(columns, names)
        increase = importance(error, x, indices, num_repeats=num_repeats, seed=seed)
        yield _Importance(kind, columns, increase, clusters)


def _model_importances(run: Run, num_repeats: int, seed: int) -> Iterator[_Importance]:
    """Ablation by masking, where the model accepts missing values, and importance for its CRPS."""
    demand_own_model(run)
    posterior = load_posterior(run.paths.model)
    test = run.catalogue.rows(answerable_rows(posterior, run.catalogue, run.split.test))
    truth, clusters = test.theta, test.clusters
    query = Query.from_inputs(test.inputs(posterior.inputs))
    names = run.catalogue.observables
    columns = _of_model(_singles(names) | test.schema.grouped(names), posterior.inputs)

    def losses(copies: np.ndarray, num_samples: int, score: _Score) -> np.ndarray:
        """Scores (C, N, D) of the posteriors of copies (C, N, L) of the rows."""
        objects = Query.from_inputs(copies.reshape(-1, copies.shape[2]))
        truths = np.tile(truth, (len(copies), 1))
        scores = np.empty(truths.shape)
        sampling = Sampling(num_samples, seed)
        for rows, samples in posterior.sample_batches(objects, sampling):
            scores[rows] = score(samples.astype(float), truths[rows])
        return scores.reshape(len(copies), *truth.shape)

    if posterior.transforms.accepts_missing:
        time = posterior.transforms.time  # always known
        masked = {
            name: members for name, members in columns.items() if time not in members
        }
        without = [
            mask_columns(posterior, query, list(members)) for members in masked.values()
        ]
        copies = np.stack([objects.inputs for objects in [query, *without]])
        intact, *errors = losses(copies, _NUM_ABLATION_SAMPLES, _median_error)
        yield _Importance("ablation", masked, np.stack(errors) - intact, clusters)
    increase = permutation_importance(
        lambda copies: losses(copies, _NUM_SAMPLES, crps),
        query.inputs,
        _indices(columns, posterior.inputs),
        num_repeats=num_repeats,
        seed=seed,
    )
    yield _Importance("crps_sensitivity", columns, increase, clusters)


def _median_error(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute error (N, D) of the median of samples (S, N, D)."""
    return np.asarray(np.abs(np.median(samples, axis=0) - truth))


def _refitted_ablation(run: Run, num_members: int) -> _Importance:
    """Absolute error of ensembles that are trained without columns, less that with all."""
    catalogue, split, theta = run.catalogue, run.split, run.catalogue.theta
    names, test = catalogue.observables, run.catalogue.rows(run.split.test)
    options = replace(load_baseline(run)[1], members=num_members)

    def error(observables: list[str]) -> np.ndarray:
        if observables:
            inputs = catalogue.inputs(observables)
            ensemble = fit_ensemble(inputs, theta, split, options)
            predicted = ensemble.predict(test.inputs(observables))
        else:  # the median is all that is left to predict
            predicted = np.median(theta[split.train], axis=0)
        return np.asarray(np.abs(predicted - test.theta))

    columns = _singles(names) | test.schema.grouped(names)
    without = {}
    for members in set(columns.values()):
        remaining = [name for name in names if name not in members]
        without[members] = error(remaining)
    errors = np.stack([without[members] for members in columns.values()])
    increase = errors - error(list(names))
    return _Importance("ablation", columns, increase, test.clusters)


def _singles(names: Sequence[str]) -> Columns:
    """Every observable by itself; an embedding, whose columns mean nothing alone, as one."""
    columns: Columns = {name: (name,) for name in names if not is_embedding(name)}
    embedding = tuple(filter(is_embedding, names))
    return {**columns, EMBEDDING: embedding} if embedding else columns


def _of_model(columns: Columns, inputs: Sequence[str]) -> Columns:
    """Those columns that are inputs of a model, each with its measurement error."""
    chosen: Columns = {}
    for name, members in columns.items():
        candidates = [*members, *(ERROR_PREFIX + member for member in members)]
        if common := tuple(
            candidate for candidate in candidates if candidate in inputs
        ):
            chosen[name] = common
    return chosen


def _indices(columns: Columns, names: Sequence[str]) -> list[list[int]]:
    return [[names.index(member) for member in members] for members in columns.values()]
