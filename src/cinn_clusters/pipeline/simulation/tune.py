"""Search for settings inside training clusters: what will be judged is never looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.diagnostics.scores import crps, energy_score
from cinn_clusters.errors import ConfigError
from cinn_clusters.files import atomic_directory, demand_free, write_json
from cinn_clusters.pipeline.simulation.evaluate import score_scales, scored_truth
from cinn_clusters.posterior.fit import fit
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.settings.config import Config, FlowName, read_config
from cinn_clusters.settings.sections import to_toml
from cinn_clusters.storage.run import csv_text, open_run
from cinn_clusters.storage.run_paths import TunePaths

NUM_DRAWS = 200
NUM_STARTUP_TRIALS = 8
Objective = Literal["crps", "energy", "nll"]
OBJECTIVES = ("crps", "energy", "nll")
FLOW_NAMES = get_args(FlowName)

SPACE: dict[str, Sequence[Any]] = {
    "model.flow": ("glow", "spline", "autoregressive", "mixture"),
    "autoregressive.blocks": (1, 2, 3, 4),
    "autoregressive.hidden": (16, 24, 32, 48, 64),
    "autoregressive.layers": (1, 2),
    "autoregressive.bins": (4, 5, 8),
    "glow.blocks": (2, 3, 4, 6, 8),
    "glow.hidden": (16, 24, 32, 48, 64),
    "glow.layers": (1, 2),
    "spline.blocks": (1, 2, 3, 4, 6),
    "spline.hidden": (16, 24, 32, 48, 64),
    "spline.layers": (1, 2),
    "spline.bins": (4, 5, 8),
    "mixture.components": (4, 8, 12),
    "mixture.hidden": (16, 24, 32, 48, 64),
    "mixture.layers": (1, 2),
    "model.mixing": ("permutation", "rotation", "lu"),
    "model.dropout": (0.0, 0.05, 0.1),
    "train.batch": (16, 32, 64, 128),
    "train.learning_rate": (1e-3, 2e-3, 3e-3, 5e-3),
    "train.weight_decay": (0.01, 0.1, 0.3, 1.0),
    "train.noise": (0.0, 0.05, 0.1, 0.2),
    "train.dequantise": (True, False),
}
"""What is searched, unless it is set; sections of flows with the flow they belong to."""


@dataclass(frozen=True)
class Tuned:
    """What a search came to.

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


def tune(
    path: str | Path,
    changes: Sequence[str] = (),
    *,
    config_path: str | Path | None = None,
    num_trials: int = 40,
    objective: Objective = "crps",
    fold: int | None = None,
    num_folds: int = 5,
    inner_folds: int = 4,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    on_trial: Callable[[float], None] | None = None,
) -> Tuned:
    """Search with a tree-structured Parzen estimator; writes tune/best.toml and tune/trials.csv.

    Test clusters take no part. The others are dealt into inner folds; each trial trains on all but
    one of them and is judged on that one, in turn, and is given up early when it does worse than
    half of those before it.

    Args:
        path: A prepared run.
        changes: ``section.key=value``: settings that are fixed, not searched.
        config_path: TOML file whose settings are fixed.
        num_trials: Settings to try.
        objective: Mean score to lower: ``crps``, ``energy`` or ``nll``.
        fold: Leave out this fold of the cross-validation instead of the test clusters of the run.
        num_folds: Folds of that cross-validation.
        inner_folds: Folds inside what is left.
        seed: Seed of the search, of the inner folds and of the draws.
        device: See ``fit``.
        overwrite: Replace a search that stands there.
        on_trial: Called after each trial with the best value so far.

    Returns:
        What it came to.

    Raises:
        ConfigError: If optuna is not installed, a setting or an option is wrong, or nothing is left
            to search.
        DataError: If there are fewer clusters than folds.
        OutputError: If a search stands there already.
    """
    optuna = _optuna()
    base = read_config(config_path, changes)
    fixed = _named(read_config(config_path, changes).model_dump(exclude_unset=True))
    space = {key: values for key, values in SPACE.items() if key not in fixed}
    _demand_sensible(space, objective, num_trials)
    run = open_run(path)
    demand_free(run.paths.tune.root, overwrite)
    catalogue = _training_clusters(run.catalogue, run.split.test, fold, num_folds)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=NUM_STARTUP_TRIALS)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=NUM_STARTUP_TRIALS)
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)

    preset = _named(base.model_dump())  # what is to be beaten is tried first
    study.enqueue_trial(
        {key: preset[key] for key, values in space.items() if preset[key] in values}
    )

    def judged(trial: Any) -> float:
        config = _with(base, _suggested(trial, base, space))
        scores: list[np.ndarray] = []
        for step, split in enumerate(folds_by_cluster(catalogue.clusters, inner_folds, seed)):
            posterior = fit(catalogue, split, config, device=device)
            scores.append(_scores(posterior, catalogue, split.test, objective, seed))
            trial.report(float(np.concatenate(scores).mean()), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.concatenate(scores).mean())

    def told(study: Any, trial: Any) -> None:
        if on_trial is not None:
            done = [t.value for t in study.trials if t.state.name == "COMPLETE"]
            on_trial(min(done) if done else float("nan"))

    study.optimize(judged, n_trials=num_trials, callbacks=[told])
    trials = _table(study)
    best = _with(base, study.best_params)
    record = {
        "objective": objective,
        "value": study.best_value,
        "num_trials": num_trials,
        "seed": seed,
        "fold": fold,
        "num_folds": num_folds,
        "inner_folds": inner_folds,
        "fixed": fixed,
    }
    with atomic_directory(run.paths.tune.root, overwrite=overwrite) as scratch:
        (TunePaths(scratch).trials).write_text(csv_text(trials), encoding="utf-8")
        (TunePaths(scratch).best).write_text(to_toml(best), encoding="utf-8")
        write_json(TunePaths(scratch).search, record)
    return Tuned(best, study.best_value, trials, run.paths.tune.root)


def _suggested(trial: Any, base: Config, space: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """Ask for settings of what all flows share, and then of the flow that was suggested."""
    flows = [key for key in space if key.split(".")[0] in FLOW_NAMES]
    suggested = {
        key: trial.suggest_categorical(key, list(space[key])) for key in space if key not in flows
    }
    flow = suggested.get("model.flow", base.model.flow)
    for key in flows:
        if key.startswith(f"{flow}."):
            suggested[key] = trial.suggest_categorical(key, list(space[key]))
    return suggested


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        hint = "pip install 'cinn-clusters[tune]'"
        raise ConfigError("tune", "optuna to be installed", "none", "", hint) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _named(nested: dict[str, Any]) -> dict[str, Any]:
    """Flatten sections: {"model": {"hidden": 8}} is {"model.hidden": 8}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= (
            {f"{key}.{inner}": v for inner, v in value.items()}
            if isinstance(value, dict)
            else {key: value}
        )
    return flat


def _with(base: Config, chosen: dict[str, Any]) -> Config:
    values = base.model_dump()
    for key, value in chosen.items():
        section, name = key.split(".")
        values[section][name] = value
    return Config.model_validate(values)


def _demand_sensible(space: dict[str, Sequence[Any]], objective: str, num_trials: int) -> None:
    if objective not in OBJECTIVES:
        raise ConfigError("--objective", f"one of {', '.join(OBJECTIVES)}", repr(objective))
    if num_trials < 1:
        raise ConfigError("--trials", "at least 1", str(num_trials))
    if not space:
        raise ConfigError(
            "tune",
            "a setting to search",
            "all of them set",
            "",
            f"leave one free: {', '.join(SPACE)}",
        )


def _training_clusters(
    catalogue: Catalogue, test: np.ndarray, fold: int | None, num_folds: int
) -> Catalogue:
    """Return the rows that a search may see."""
    if fold is not None:
        if not 0 <= fold < num_folds:
            raise ConfigError("--fold", f"0 to {num_folds - 1}", str(fold))
        test = list(folds_by_cluster(catalogue.clusters, num_folds))[fold].test
    return catalogue.rows(np.setdiff1d(np.arange(len(catalogue.table)), test))


def _scores(
    posterior: Posterior, catalogue: Catalogue, rows: np.ndarray, objective: str, seed: int
) -> np.ndarray:
    inputs = catalogue.inputs(posterior.inputs)[rows]
    if objective == "nll":
        return -posterior.log_prob(scored_truth(catalogue, rows), inputs)
    scale = score_scales(catalogue.targets, catalogue.theta)
    samples, truth = (
        posterior.sample(inputs, NUM_DRAWS, seed=seed) / scale,
        catalogue.theta[rows] / scale,
    )
    return crps(samples, truth).mean(1) if objective == "crps" else energy_score(samples, truth)


def _table(study: Any) -> pd.DataFrame:
    """Return one line a trial, best first; a trial that was given up has the value it had
    reached.
    """
    lines = [
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
    return pd.DataFrame(lines).sort_values(
        ["inner_folds", "value"], ascending=[False, True], ignore_index=True
    )
