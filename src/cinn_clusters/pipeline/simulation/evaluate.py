"""How good is the model: scores on clusters it has never seen, next to references without a
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import TIME_FLOOR, off_bounds
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    bootstrap_weights,
    central_coverage,
    contraction,
    crps,
    energy_score,
)
from cinn_clusters.evaluation.reference_posteriors import forest_samples, prior_samples
from cinn_clusters.files import atomic_file, demand_free, write_json
from cinn_clusters.pipeline.inference.write_posterior import (
    PosteriorContent,
    describe_ensemble,
    write_posterior,
)
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.storage.model import demand_own_model, load_posterior
from cinn_clusters.storage.posterior_file import read_samples
from cinn_clusters.storage.run import open_run
from cinn_clusters.storage.summary import write_summary

JITTER_SEED = 0
REFERENCES = ("prior", "prior given M500, z")


@dataclass(frozen=True)
class Evaluation:
    """Posterior samples of some rows, and what they are judged against.

    Args:
        rows: The rows, catalogue units.
        samples: (S, N, D).
        log_prob: Log-density of the dequantised truths, physical units, (N,).
        references: Samples of the reference posteriors, each (S, N, D).
    """

    rows: Catalogue
    samples: np.ndarray
    log_prob: np.ndarray
    references: dict[str, np.ndarray]


def evaluate(
    path: str | Path,
    *,
    num_draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> dict[str, Any]:
    """Judge the model of a run on its test clusters; writes posterior.nc, summary.csv and scores.json.

    Args:
        path: A run with a model.
        num_draws: Draws a row.
        seed: Seed of the draws.
        device: See ``fit``.
        overwrite: Replace results that stand there.
        on_progress: Called with the number of rows done.

    Returns:
        The scores, as in ``scores.json``.

    Raises:
        BundleError: If the run or its model is missing or damaged.
        OutputError: If results stand there already.
    """
    run = open_run(path)
    results = (run.paths.posterior, run.paths.summary, run.paths.scores)
    for file in results:
        demand_free(file, overwrite)
    demand_own_model(run)
    posterior = load_posterior(run.paths.model, device=device)
    test = run.catalogue.rows(run.split.test)
    query = posterior.query(test.table, (run.catalogue.cluster_column, *schema.ROW_KEYS))
    keys = [name for name in (run.catalogue.cluster_column, *schema.ROW_KEYS) if name in test.table]
    with ExitStack() as stack:  # all three or none
        samples, lines, numbers = (
            stack.enter_context(atomic_file(file, overwrite=overwrite)) for file in results
        )
        truth = scored_truth(run.catalogue, run.split.test)
        summary = write_posterior(
            posterior,
            query,
            samples,
            Sampling(num_draws, seed),
            content=PosteriorContent(ground_truth=test.theta, dequantised=truth),
            on_progress=on_progress,
        )
        summary = summary.join(describe_ensemble(posterior, query, seed))
        write_summary(pd.concat([test.table[keys], summary], axis=1), lines, test.schema)
        scores = score_report(
            Evaluation(
                test,
                read_samples(samples, posterior.targets),
                posterior.log_prob(truth, query),
                reference_samples(run.catalogue, run.split.train, run.split.test, num_draws, seed),
            )
        )
        write_json(numbers, scores)
    return scores


def scored_truth(catalogue: Catalogue, rows: np.ndarray) -> np.ndarray:
    """Truths for a dequantised likelihood, the same jitter for every model: science protocol,
    one stream, seed 0.
    """
    theta = catalogue.theta
    rng = np.random.default_rng(JITTER_SEED)
    for d, column in enumerate(catalogue.target_columns):
        if column.bijection == "age" and column.resolution:
            jitter = rng.uniform(-0.5, 0.5, len(theta)) * column.resolution
            theta[:, d] = np.minimum(theta[:, d] + jitter, catalogue.age - TIME_FLOOR)
    return np.asarray(off_bounds(theta, catalogue.target_columns, catalogue.age)[rows])


def reference_samples(
    catalogue: Catalogue, train: np.ndarray, test: np.ndarray, num_draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Draw the references for test rows from training rows: prior, and prior given mass and
    redshift.
    """
    theta = catalogue.theta[train]
    samples = {REFERENCES[0]: prior_samples(theta, len(test), num_draws, seed=seed)}
    context = [name for role in ("mass", "time") if (name := catalogue.having(role))]
    if len(context) == 2:
        samples[REFERENCES[1]] = forest_histories(catalogue, context, train, test, num_draws, seed)
    return samples


def forest_histories(
    catalogue: Catalogue,
    names: Sequence[str],
    train: np.ndarray,
    test: np.ndarray,
    num_draws: int,
    seed: int,
) -> np.ndarray:
    """Draw histories of test rows from training rows by the leaves of a forest on some observables, (S, N, D).

    A history is carried over with its time since collision, not its cosmic age: it is to lie before
    the observation.
    """
    times = [d for d, column in enumerate(catalogue.target_columns) if column.bijection == "age"]
    x, theta, age = catalogue.inputs(names), catalogue.theta, catalogue.age[:, None]
    theta[:, times] = age - theta[:, times]
    samples = forest_samples(x[train], theta[train], x[test], num_draws, seed=seed)
    samples[..., times] = np.maximum(age[test] - samples[..., times], 0.0)
    return samples


def score_report(evaluation: Evaluation) -> dict[str, Any]:
    """Reduce an evaluation to numbers; every standard error and band resamples clusters.

    Args:
        evaluation: Samples and truths.

    Returns:
        Plain values for JSON. Scores are in units of the fixed scales of the schema.
    """
    rows = evaluation.rows
    keep = ~is_marked(rows)
    truth, names = rows.theta[keep], rows.targets
    scale = score_scales(names, truth)
    samples = evaluation.samples[:, keep].astype(float)
    weights = bootstrap_weights(rows.clusters[keep])
    per_target = crps(samples / scale, truth / scale)
    energy = energy_score(samples / scale, truth / scale)
    inside = central_coverage(samples, truth)
    coverage = inside.mean(1)  # (C, D)
    report: dict[str, Any] = {
        "rows": int(keep.sum()),
        "clusters": len(np.unique(rows.clusters[keep])),
        "draws": len(samples),
        "energy_score": _with_error(energy, weights),
        "crps": _with_error(per_target.mean(1), weights),
        "crps_per_target": _named(names, per_target.mean(0)),
        "nll": _nll(evaluation.log_prob[keep], weights),
        "calibration_error": float(np.abs(coverage - COVERAGE_LEVELS[:, None]).mean()),
        "calibration_error_per_target": _named(
            names, np.abs(coverage - COVERAGE_LEVELS[:, None]).mean(0)
        ),
        "coverage_68": _named(names, central_coverage(samples, truth, np.array([0.68]))[0].mean(0)),
        "coverage_outside_99_band": _outside_band(inside, weights),
        "contraction": _named(names, contraction(samples, truth)),
        "unphysical": float(unphysical(samples, rows.rows(np.flatnonzero(keep))).mean()),
        "skill": {
            name: _skill(
                reference[:, keep] / scale, truth / scale, per_target.mean(), energy.mean()
            )
            for name, reference in evaluation.references.items()
        },
    }
    return report


def score_scales(names: tuple[str, ...], truth: np.ndarray) -> np.ndarray:
    """Units of CRPS and energy score, (D,): fixed by the schema, or the spread of the truths (N,
    D).
    """
    return np.array(
        [
            schema.column(name).score_scale or float(np.std(truth[:, d]))
            for d, name in enumerate(names)
        ]
    )


def unphysical(samples: np.ndarray, rows: Catalogue) -> np.ndarray:
    """Which draws (S, N) hold a value outside its bounds, a collision before the Big Bang or
    after the snapshot.
    """
    bad = np.zeros(samples.shape[:2], bool)
    for d, column in enumerate(rows.target_columns):
        lower, upper = column.bounds
        bad |= (samples[:, :, d] < lower) | (samples[:, :, d] > upper)
        if column.bijection == "age":
            bad |= (samples[:, :, d] < 0) | (samples[:, :, d] > rows.age + 1e-5)
    return bad


def is_marked(rows: Catalogue) -> np.ndarray:
    """Which rows (N,) hold a missing-value mark instead of a history."""
    marks = np.array([column.missing_mark or np.nan for column in rows.target_columns])
    close = np.isclose(rows.theta, marks)  # scaled and back, a mark is no longer exact
    return np.asarray(close.any(axis=1))


def _nll(log_prob: np.ndarray, weights: np.ndarray) -> dict[str, float | int | None]:
    finite = np.isfinite(log_prob)
    if not finite.all():
        return {
            "mean": None,
            "se": None,
            "median": float(np.median(-log_prob)),
            "rows_outside": int((~finite).sum()),
        }
    return {
        **_with_error(-log_prob, weights),
        "median": float(np.median(-log_prob)),
        "rows_outside": 0,
    }


def _with_error(values: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "se": float((weights @ values).std())}


def _named(names: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _outside_band(inside: np.ndarray, weights: np.ndarray) -> float:
    resampled = np.einsum("bn,lnd->bld", weights, inside.astype(float))
    lower, upper = np.percentile(resampled, [0.5, 99.5], axis=0)
    return float(((COVERAGE_LEVELS[:, None] < lower) | (COVERAGE_LEVELS[:, None] > upper)).mean())


def _skill(
    reference: np.ndarray, truth: np.ndarray, our_crps: float, our_energy: float
) -> dict[str, float]:
    their_crps, their_energy = (
        float(crps(reference, truth).mean()),
        float(energy_score(reference, truth).mean()),
    )
    return {
        "crps": their_crps,
        "energy_score": their_energy,
        "crps_skill": 1.0 - float(our_crps) / their_crps,
        "energy_skill": 1.0 - float(our_energy) / their_energy,
    }
