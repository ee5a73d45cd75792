"""Which observable matters for which target: the original's matrix, and what it hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.diagnostics.importance import permutation_importance, sage_values
from cinn_clusters.diagnostics.scores import bootstrap_weights, crps
from cinn_clusters.evaluation.mlp_ensemble import EnsembleOptions, fit_ensemble
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.pipeline.origin import write_origin
from cinn_clusters.pipeline.simulation.baseline import load_baseline
from cinn_clusters.pipeline.simulation.evaluate import answerable_rows, mask_columns
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.storage.model import demand_own_model, load_posterior
from cinn_clusters.storage.run import Run, csv_text, open_run
from cinn_clusters.storage.run_paths import SensitivityPaths

_NUM_MATRICES = 5
_NUM_SAMPLES = 100
"""Posterior samples a row behind each CRPS."""
_NUM_ABLATION_SAMPLES = 300
"""Posterior samples a row behind each median."""
Columns = dict[str, tuple[str, ...]]
"""Columns that are taken away together, by what to call them."""


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
    """
    run = open_run(path)
    home = run.paths.sensitivity
    demand_free(home.root, overwrite)
    ensemble, options = load_baseline(run)
    test, names = run.catalogue.rows(run.split.test), run.catalogue.observables
    x, truth = test.inputs(names), test.theta
    singles, groups = _singles(names), test.schema.grouped(names)
    matrices = _Matrices(run.catalogue.targets, on_progress)

    def error(observables: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(ensemble.predict(observables) - truth))

    def importance(columns: Columns) -> np.ndarray:
        places = _places(columns, names)
        return permutation_importance(
            error, x, places, num_repeats=num_repeats, seed=seed
        )

    weights = bootstrap_weights(test.clusters)
    matrices.put("sensitivity", singles, importance(singles), weights)
    matrices.put("grouped", groups, importance(groups), weights)
    shares = sage_values(
        error, x, _places(groups, names), num_repeats=num_repeats, seed=seed
    )
    matrices.put("shapley", groups, shares, weights)
    if run.paths.model.is_dir():
        demand_own_model(run)
        asked = _AskedModel.of(run, load_posterior(run.paths.model), seed)
        columns = asked.known(singles | groups)
        if asked.posterior.transforms.accepts_missing:
            refit_members = 0
            ablated = asked.maskable(columns)
            matrices.put("ablation", ablated, asked.ablation(ablated), asked.weights)
        increase = asked.crps_importance(columns, num_repeats=-(-num_repeats // 4))
        matrices.put("crps_sensitivity", columns, increase, asked.weights)
    if refit_members:
        columns, fewer = singles | groups, replace(options, members=refit_members)
        matrices.put(
            "ablation", columns, _refitted_ablation(run, columns, fewer), weights
        )
    markers = (home.matrix("sensitivity").name,)
    with atomic_directory(home.root, overwrite=overwrite, markers=markers) as folder:
        matrices.write(SensitivityPaths(folder))
        write_origin(folder, run.paths)
    return matrices.frames()


@dataclass(frozen=True, eq=False)
class _Matrices:
    """Mean increases by kind, and their standard errors over clusters."""

    targets: tuple[str, ...]
    on_progress: OnProgress
    values: dict[str, pd.DataFrame] = field(default_factory=dict)
    errors: dict[str, pd.DataFrame] = field(default_factory=dict)

    def put(
        self, kind: str, columns: Columns, increase: np.ndarray, weights: np.ndarray
    ) -> None:
        """Reduce the increase of each row (G, N, D) to a matrix (G, D)."""
        spread = np.stack([(weights @ by_row).std(axis=0) for by_row in increase])
        self.values[kind] = self._frame(increase.mean(axis=1), columns)
        self.errors[kind] = self._frame(spread, columns)
        self.on_progress(Progress(len(self.values), _NUM_MATRICES, "sensitivity", kind))

    def frames(self) -> dict[str, pd.DataFrame]:
        """All of them, by the names of their files."""
        frames = {f"{kind}_matrix": frame for kind, frame in self.values.items()}
        return frames | {f"{kind}_errors": frame for kind, frame in self.errors.items()}

    def write(self, paths: SensitivityPaths) -> None:
        for kind, frame in self.values.items():
            _write(paths.matrix(kind), frame)
            _write(paths.errors(kind), self.errors[kind])

    def _frame(self, values: np.ndarray, columns: Columns) -> pd.DataFrame:
        index = pd.Index(list(columns), name="observable")
        return pd.DataFrame(values, index=index, columns=list(self.targets))


def _write(path: Path, frame: pd.DataFrame) -> None:
    path.write_text(csv_text(frame.reset_index()), encoding="utf-8")


def _singles(names: Sequence[str]) -> Columns:
    """Every observable by itself; an embedding, whose columns mean nothing alone, as one."""
    columns: Columns = {
        name: (name,) for name in names if not schema.is_embedding(name)
    }
    embedding = tuple(name for name in names if schema.is_embedding(name))
    return {**columns, schema.EMBEDDING: embedding} if embedding else columns


def _places(columns: Columns, names: Sequence[str]) -> list[list[int]]:
    return [[names.index(member) for member in members] for members in columns.values()]


@dataclass(frozen=True, eq=False)
class _AskedModel:
    """The posterior of a run and the test rows that it is asked about."""

    posterior: Posterior
    inputs: np.ndarray  # (N, L)
    truth: np.ndarray  # (N, D)
    weights: np.ndarray  # (R, N)
    seed: int

    @classmethod
    def of(cls, run: Run, posterior: Posterior, seed: int) -> _AskedModel:
        test = run.catalogue.rows(
            answerable_rows(posterior, run.catalogue, run.split.test)
        )
        inputs, weights = (
            test.inputs(posterior.inputs),
            bootstrap_weights(test.clusters),
        )
        return cls(posterior, inputs, test.theta, weights, seed)

    def known(self, columns: Columns) -> Columns:
        """Those that are inputs of the model, each with its measurement error."""
        inputs = self.posterior.inputs
        known: Columns = {}
        for name, members in columns.items():
            errors = [schema.ERROR_PREFIX + member for member in members]
            if names := tuple(
                entry for entry in (*members, *errors) if entry in inputs
            ):
                known[name] = names
        return known

    def maskable(self, columns: Columns) -> Columns:
        """Those that may be missing: the time of the observation is always known."""
        time = self.posterior.transforms.time
        return {
            name: members for name, members in columns.items() if time not in members
        }

    def ablation(self, columns: Columns) -> np.ndarray:
        """Increase (G, N, D) of the absolute error of the median with columns missing."""
        query = Query.from_inputs(self.inputs)
        with_all = self._absolute_error(query)
        return np.stack(
            [
                self._absolute_error(mask_columns(self.posterior, query, list(members)))
                - with_all
                for members in columns.values()
            ]
        )

    def crps_importance(self, columns: Columns, *, num_repeats: int) -> np.ndarray:
        """Increase (G, N, D) of the CRPS when columns are shuffled."""

        def loss(inputs: np.ndarray) -> np.ndarray:
            samples = self.posterior.sample(inputs, _NUM_SAMPLES, seed=self.seed)
            return crps(samples.astype(float), self.truth)

        places = _places(columns, self.posterior.inputs)
        return permutation_importance(
            loss, self.inputs, places, num_repeats=num_repeats, seed=self.seed
        )

    def _absolute_error(self, query: Query) -> np.ndarray:
        samples = self.posterior.sample(query, _NUM_ABLATION_SAMPLES, seed=self.seed)
        return np.asarray(np.abs(np.median(samples, axis=0) - self.truth))


def _refitted_ablation(
    run: Run, columns: Columns, options: EnsembleOptions
) -> np.ndarray:
    """Increase (G, N, D) of the absolute error of ensembles that are trained without columns."""
    names, split, theta = run.catalogue.observables, run.split, run.catalogue.theta

    def error(observables: list[str]) -> np.ndarray:
        if not observables:  # all that is left to say is the median
            median = np.median(theta[split.train], axis=0)
            return np.asarray(np.abs(median - theta[split.test]))
        x = run.catalogue.inputs(observables)
        ensemble = fit_ensemble(x, theta, split, options)
        return np.asarray(np.abs(ensemble.predict(x[split.test]) - theta[split.test]))

    with_all = error(list(names))
    increase: dict[tuple[str, ...], np.ndarray] = {}
    for members in columns.values():
        if members not in increase:
            without = [name for name in names if name not in members]
            increase[members] = error(without) - with_all
    return np.stack([increase[members] for members in columns.values()])
