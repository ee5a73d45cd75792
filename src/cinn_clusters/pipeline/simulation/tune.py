"""Search for settings inside training clusters: the clusters of later tests take no part."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from cinn_clusters.claims import reserving
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.diagnostics.scores import crps, energy_score
from cinn_clusters.errors import ConfigError
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth, score_scales
from cinn_clusters.files import JsonObject, atomic_directory, demand_free, write_json
from cinn_clusters.posterior.fit import fit
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.settings.config import Config, FlowName, read_config
from cinn_clusters.settings.sections import to_toml
from cinn_clusters.storage.run import csv_text, open_run
from cinn_clusters.storage.run_paths import TunePaths

_NUM_SAMPLES = 200
_NUM_STARTUP_TRIALS = 8
_OBJECTIVES = ("crps", "energy", "nll")
Space = dict[str, Sequence[Any]]


def _flattened(nested: JsonObject) -> JsonObject:
    """Flatten sections: {"glow": {"hidden": 8}} is {"glow.hidden": 8}."""
    flat = {}
    for section, values in nested.items():
        if not isinstance(values, dict):
            flat[section] = values
            continue
        flat |= {f"{section}.{key}": value for key, value in values.items()}
    return flat


SPACE: Space = _flattened(
    tomllib.loads(
        Path(__file__).with_name("search_space.toml").read_text(encoding="utf-8")
    )
)
"""What is searched, unless it is set; the section of a flow only with the flow it belongs to."""


@dataclass(frozen=True)
class Search:
    """How to search.

    Args:
        num_trials: Settings to try.
        objective: Mean score to lower: ``crps``, ``energy`` or ``nll``.
        fold: Leave out this fold of the cross-validation instead of the test clusters of the run.
        num_folds: Folds of that cross-validation.
        inner_folds: Folds inside the remaining clusters.
        seed: Seed of the search, of the inner folds and of the samples.

    Raises:
        ConfigError: If one is out of range.
    """

    num_trials: int = 40
    objective: Literal["crps", "energy", "nll"] = "crps"
    fold: int | None = None
    num_folds: int = 5
    inner_folds: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in _OBJECTIVES:
            expected = f"one of {', '.join(_OBJECTIVES)}"
            raise ConfigError("--objective", expected, repr(self.objective))
        if self.num_trials < 1:
            raise ConfigError("--trials", "at least 1", str(self.num_trials))
        if self.fold is not None and not 0 <= self.fold < self.num_folds:
            raise ConfigError("--fold", f"0 to {self.num_folds - 1}", str(self.fold))


@dataclass(frozen=True, eq=False)
class Tuned:
    """Result of a search.

    Args:
        best: The settings that did best.
        value: Their mean score.
        trials: One row a trial: state, value, seconds and the settings searched.
        path: Folder with ``best.toml`` and ``trials.csv``.
    """

    best: Config
    value: float
    trials: pd.DataFrame
    path: Path


@reserving()
def tune(
    path: str | Path,
    changes: Sequence[str] = (),
    *,
    config_path: str | Path | None = None,
    search: Search | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Tuned:
    """Search with a tree-structured Parzen estimator; writes tune/best.toml and tune/trials.csv.

    Test clusters take no part. The others are split into inner folds; each trial trains on all but
    one of them and is scored on that one, in turn, and is given up early when it does worse than
    half of the trials before it.

    Args:
        path: A prepared run.
        changes: ``section.key=value``: settings that are fixed, not searched.
        config_path: TOML file whose settings are fixed.
        search: How to search.
        device: See ``fit``.
        overwrite: Replace an earlier search.
        on_progress: Called after each trial with the best value so far.

    Returns:
        The best settings and all trials.

    Raises:
        ConfigError: If optuna is not installed, a setting is wrong, or nothing is left to search.
        DataError: If there are fewer clusters than folds.
        OutputError: If there is a search already.
    """
    optuna = _optuna()
    search = search or Search()
    base = read_config(config_path, changes)
    fixed = _flattened(base.model_dump(exclude_unset=True))
    space = {key: values for key, values in SPACE.items() if key not in fixed}
    if not space:
        hint = f"leave one free: {', '.join(SPACE)}"
        raise ConfigError("tune", "a setting to search", "all of them set", "", hint)
    run = open_run(path)
    demand_free(run.paths.tune.root, overwrite)
    catalogue = _training_clusters(run.catalogue, run.split.test, search)
    sampler = optuna.samplers.TPESampler(
        seed=search.seed, n_startup_trials=_NUM_STARTUP_TRIALS
    )
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_NUM_STARTUP_TRIALS)
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    preset = _flattened(base.model_dump())  # the first trial is the one to beat
    study.enqueue_trial(
        {key: preset[key] for key in space if preset[key] in space[key]}
    )

    def objective(trial: Any) -> float:
        config = _changed(base, _suggested(trial, base, space))
        scores = np.empty(0)
        for step, fold_scores in enumerate(
            _inner_scores(catalogue, config, search, device)
        ):
            scores = np.concatenate([scores, fold_scores])
            trial.report(float(scores.mean()), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(scores.mean())

    def report(study: Any, trial: Any) -> None:
        values = [
            trial.value for trial in study.trials if trial.state.name == "COMPLETE"
        ]
        note = f"best {search.objective} {min(values, default=np.nan):.4f}"
        on_progress(Progress(len(study.trials), search.num_trials, "tune", note))

    study.optimize(objective, n_trials=search.num_trials, callbacks=[report])
    best, trials = _changed(base, study.best_params), _table(study)
    record = {**asdict(search), "value": study.best_value, "fixed": fixed}
    with atomic_directory(run.paths.tune.root, overwrite=overwrite) as scratch:
        files = TunePaths(scratch)
        files.trials.write_text(csv_text(trials), encoding="utf-8")
        files.best.write_text(to_toml(best), encoding="utf-8")
        write_json(files.search, record)
    return Tuned(best, study.best_value, trials, run.paths.tune.root)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        hint = "pip install 'cinn-clusters[tune]'"
        raise ConfigError("tune", "optuna to be installed", "none", "", hint) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _suggested(trial: Any, base: Config, space: Space) -> JsonObject:
    """Suggest settings that all flows share, and then those of the flow that was suggested."""
    flow_keys = [key for key in space if key.partition(".")[0] in get_args(FlowName)]
    suggested = {
        key: trial.suggest_categorical(key, list(values))
        for key, values in space.items()
        if key not in flow_keys
    }
    flow = suggested.get("model.flow", base.model.flow)
    for key in flow_keys:
        if key.startswith(f"{flow}."):
            suggested[key] = trial.suggest_categorical(key, list(space[key]))
    return suggested


def _changed(base: Config, settings: JsonObject) -> Config:
    values = base.model_dump()
    for key, value in settings.items():
        section, _, name = key.partition(".")
        values[section][name] = value
    return Config.model_validate(values)


def _training_clusters(
    catalogue: Catalogue, test: np.ndarray, search: Search
) -> Catalogue:
    """Rows that a search may see."""
    if search.fold is not None:
        folds = list(folds_by_cluster(catalogue.clusters, search.num_folds))
        test = folds[search.fold].test
    rows = np.arange(len(catalogue.table))
    return catalogue.rows(np.setdiff1d(rows, test))


def _inner_scores(
    catalogue: Catalogue, config: Config, search: Search, device: str
) -> Iterator[np.ndarray]:
    """Scores of the rows of each inner fold by the model of the others."""
    for split in folds_by_cluster(catalogue.clusters, search.inner_folds, search.seed):
        posterior = fit(catalogue, split, config, device=device)
        yield _scores(posterior, catalogue, split.test, search)


def _scores(
    posterior: Posterior, catalogue: Catalogue, rows: np.ndarray, search: Search
) -> np.ndarray:
    inputs = catalogue.inputs(posterior.inputs)[rows]
    if search.objective == "nll":
        return -posterior.log_prob(dequantised_ground_truth(catalogue, rows), inputs)
    samples = posterior.sample(inputs, _NUM_SAMPLES, seed=search.seed)
    scale = score_scales(catalogue, samples)
    samples = samples / scale
    theta = catalogue.theta[rows] / scale
    if search.objective == "crps":
        return np.asarray(crps(samples, theta).mean(1))
    return energy_score(samples, theta)


def _table(study: Any) -> pd.DataFrame:
    """One row a trial, best first; a trial that was given up has the value it had reached."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "inner_folds": len(trial.intermediate_values),
            "seconds": round(trial.duration.total_seconds(), 1),
            **trial.params,
        }
        for trial in study.trials
    ]
    order = ["inner_folds", "value"]
    return pd.DataFrame(rows).sort_values(
        order, ascending=[False, True], ignore_index=True
    )
