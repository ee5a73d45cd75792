"""Scores of posterior samples against ground truth, next to those of reference posteriors.

CRPS and energy score are in units of the fixed scales of the schema, so that they compare between
models and runs; every standard error and band resamples clusters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    bootstrap_weights,
    central_coverage,
    contraction,
    is_one_cluster,
    scaled_scores,
)
from cinn_clusters.evaluation.ground_truth import is_marked, score_scales, unphysical
from cinn_clusters.evaluation.json_model import ByName, JsonModel, Number, by_name
from cinn_clusters.files import JsonObject
from cinn_clusters.moments import binary_units, deviation

_SMALLEST_REFERENCE = 1e-6
"""Score of a reference, a part of the model's, below which it is zero: all its samples are right."""


class MeanScore(JsonModel):
    """Mean of a score over rows, and its standard error over clusters."""

    mean: Number
    se: Number


class LogScore(MeanScore):
    """Negative log-likelihood; without a mean where a ground truth has no density."""

    median: Number
    rows_outside: int


class ReferenceSkill(JsonModel):
    """Scores of a reference posterior, and the share of each that the model saves."""

    crps: Number
    energy_score: Number
    crps_skill: Number
    energy_skill: Number


class ScoresWithoutMaps(JsonModel):
    """Scores of the same model asked without the image embeddings."""

    energy_score: MeanScore
    crps: MeanScore
    crps_per_target: ByName
    calibration_error: Number


class Scores(JsonModel):
    """Content of ``scores.json``.

    ``mae`` is the mean absolute error of each point estimate by target, in catalogue units;
    ``unphysical`` is the share of samples that break a declared bound, None without any.
    """

    model_sha256: str = ""
    summary_sha256: str = ""
    rows: int
    clusters: int
    draws: int
    energy_score: MeanScore
    crps: MeanScore
    crps_per_target: ByName
    nll: LogScore
    mae: dict[str, ByName] = Field(default_factory=dict)
    calibration_error: Number
    calibration_error_per_target: ByName
    coverage_68: ByName
    coverage_outside_99_band: Number
    contraction: ByName
    unphysical: float | None
    skill: dict[str, ReferenceSkill] = Field(default_factory=dict)
    without_maps: ScoresWithoutMaps | None = None
    folds: int | None = None
    config: JsonObject = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SampledObjects:
    """Posterior samples of objects whose histories are known.

    Args:
        objects: The objects with their ground truth, N rows.
        samples: Posterior samples, (S, N, D).
        dequantised: Ground truth with times spread over their resolution, (N, D): likelihood and
            coverage are of it, the scores of the recorded one.
        log_prob: Log-density of the dequantised ground truth in physical units, (N,).
        references: Samples of each reference posterior, (S, N, D).
        estimates: Further point estimates by name, such as the mode, (N, D).
    """

    objects: Catalogue
    samples: np.ndarray
    dequantised: np.ndarray
    log_prob: np.ndarray
    references: Mapping[str, np.ndarray] = field(default_factory=dict)
    estimates: Mapping[str, np.ndarray] = field(default_factory=dict)

    def rows(self, index: np.ndarray) -> SampledObjects:
        """Return some of the objects."""
        return SampledObjects(
            self.objects.rows(index),
            self.samples[:, index],
            self.dequantised[index],
            self.log_prob[index],
            {name: samples[:, index] for name, samples in self.references.items()},
            {name: theta[index] for name, theta in self.estimates.items()},
        )


def score_report(sampled: SampledObjects) -> Scores:
    """Score posteriors; objects with a missing-value mark take no part."""
    is_scored = ~is_marked(sampled.objects)
    sampled = sampled.rows(np.flatnonzero(is_scored))
    objects = sampled.objects
    samples = sampled.samples.astype(float)
    truth, targets = objects.theta, objects.targets
    weights = bootstrap_weights(objects.clusters)
    scale = score_scales(objects, samples)

    crps_by_target, energy = scaled_scores(samples, truth, scale)
    mean_crps = crps_by_target.mean(axis=1)  # over targets
    skill = {
        name: _skill(
            scaled_scores(reference, truth, scale), crps_by_target.mean(), energy.mean()
        )
        for name, reference in sampled.references.items()
    }

    inside = central_coverage(samples, sampled.dequantised)
    coverage = inside.mean(axis=1)  # (C, D)
    errors = np.abs(coverage - COVERAGE_LEVELS[:, None])
    (inside_68,) = central_coverage(samples, sampled.dequantised, np.array([0.68]))
    return Scores(
        rows=len(truth),
        clusters=len(np.unique(objects.clusters)),
        draws=len(samples),
        energy_score=_mean_score(energy, weights),
        crps=_mean_score(mean_crps, weights),
        crps_per_target=by_name(targets, crps_by_target.mean(axis=0)),
        nll=_log_score(sampled.log_prob, weights),
        mae=_absolute_errors(sampled),
        calibration_error=float(errors.mean()),
        calibration_error_per_target=by_name(targets, errors.mean(axis=0)),
        coverage_68=by_name(targets, inside_68.mean(axis=0)),
        coverage_outside_99_band=_share_outside_band(inside, weights),
        contraction=by_name(targets, _contraction(samples, truth, scale)),
        unphysical=_unphysical_share(samples, objects),
        skill=skill,
    )


def _contraction(
    samples: np.ndarray, truth: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Contraction (D,) by numbers whose squares do not overflow."""
    unit = binary_units(scale)
    return contraction(samples / unit, truth / unit)


def _unphysical_share(samples: np.ndarray, objects: Catalogue) -> float | None:
    is_outside = unphysical(samples, objects)
    if is_outside is None:
        return None
    return float(is_outside.mean())


def _mean_score(score: np.ndarray, weights: np.ndarray) -> MeanScore:
    error = float(deviation(weights @ score))
    if is_one_cluster(weights):
        error = math.nan
    return MeanScore(mean=float(score.mean()), se=error)


def _log_score(log_prob: np.ndarray, weights: np.ndarray) -> LogScore:
    num_outside = int((~np.isfinite(log_prob)).sum())
    median = float(np.median(-log_prob))
    if num_outside:
        return LogScore(mean=None, se=None, median=median, rows_outside=num_outside)
    score = _mean_score(-log_prob, weights)
    return LogScore(mean=score.mean, se=score.se, median=median, rows_outside=0)


def _absolute_errors(sampled: SampledObjects) -> dict[str, ByName]:
    """Mean absolute error of each point estimate, by target."""
    estimates = {
        "median": np.median(sampled.samples, axis=0),
        "mean": sampled.samples.mean(axis=0, dtype=float),
        **sampled.estimates,
    }
    truth = sampled.objects.theta
    errors = {
        name: np.abs(theta - truth).mean(axis=0) for name, theta in estimates.items()
    }
    return {
        target: {name: float(error[d]) for name, error in errors.items()}
        for d, target in enumerate(sampled.objects.targets)
    }


def _share_outside_band(inside: np.ndarray, weights: np.ndarray) -> float:
    """Share of levels and targets whose bootstrap band of coverage misses the level."""
    resampled = np.einsum("bn,lnd->bld", weights, inside.astype(float))
    lower, upper = np.percentile(resampled, [0.5, 99.5], axis=0)
    levels = COVERAGE_LEVELS[:, None]
    is_outside = (levels < lower) | (levels > upper)
    return float(is_outside.mean())


def _skill(
    reference: tuple[np.ndarray, np.ndarray], model_crps: float, model_energy: float
) -> ReferenceSkill:
    """Compare the mean scores of a model with CRPS and energy score of a reference by object."""
    crps_by_target, energy = reference
    reference_crps = float(crps_by_target.mean())
    reference_energy = float(energy.mean())
    return ReferenceSkill(
        crps=reference_crps,
        energy_score=reference_energy,
        crps_skill=_saving(float(model_crps), reference_crps),
        energy_skill=_saving(float(model_energy), reference_energy),
    )


def _saving(score: float, reference: float) -> float:
    """Share of the score of a reference that is saved; NaN where it has nothing to lose."""
    if reference <= _SMALLEST_REFERENCE * abs(score):
        return math.nan
    return 1.0 - score / reference
