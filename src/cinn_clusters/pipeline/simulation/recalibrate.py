"""Recalibration that has to earn its place.

It is fitted on clusters held out from training and kept only where it helps clusters that it was
not fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.diagnostics.coverage import hpd_ranks
from cinn_clusters.diagnostics.ranks import pit
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    central_coverage,
    crps,
    energy_score,
)
from cinn_clusters.errors import ConfigError
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth, score_scales
from cinn_clusters.files import JsonObject
from cinn_clusters.posterior.fit import Fold, fit_catalogue_transforms, fit_folds
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.recalibration import Recalibration, fit_recalibration
from cinn_clusters.settings.config import Config

_NUM_SAMPLES = 1000
_NUM_DENSITIES = 100


@dataclass(frozen=True, eq=False)
class HeldOutPosteriors:
    """Answers for all training clusters by models that have not seen them.

    Args:
        objects: The rows, N.
        fold: Fold of each row, (N,).
        samples: Samples of the model that has not seen the row, (S, N, D).
        truth: Dequantised ground truth, (N, D).
        hpd: Joint HPD ranks, (N,).
    """

    objects: Catalogue
    fold: np.ndarray
    samples: np.ndarray
    truth: np.ndarray
    hpd: np.ndarray


def recalibrated(
    posterior: Posterior,
    catalogue: Catalogue,
    split: Split,
    config: Config,
    device: str,
) -> tuple[Posterior, JsonObject]:
    """Recalibrate a posterior if clusters that it was not fitted on say that this helps.

    A model like this one is trained without each fold of the training clusters. Its answers for
    the fold it has not seen give the maps; folds that they were not fitted on decide.

    Args:
        posterior: Trained on ``split``.
        catalogue: Validated rows.
        split: Test rows are not touched.
        config: Settings; ``train.recalibration_folds`` of 0 leaves everything as it is.
        device: See ``fit``.

    Returns:
        The posterior, recalibrated where the calibration error falls and neither CRPS nor energy
        score rises; and these before and after, empty if nothing was tried.

    Raises:
        ConfigError: If a single fold is asked for, or the targets are not kept inside their bounds.
    """
    num_folds = config.train.recalibration_folds
    if not num_folds:
        return posterior, {}
    if num_folds == 1 or not posterior.transforms.is_bounded:
        expected = "0 or at least 2 folds, and a run prepared with --protocol cluster"
        raise ConfigError("train.recalibration_folds", expected, str(num_folds))
    objects = catalogue.rows(np.concatenate([split.train, split.validation]))
    held_out = predict_held_out(objects, config, device)
    before = _scores(held_out, held_out.samples)
    after = _scores(held_out, _cross_fitted(held_out))
    is_better = after["calibration_error"] < before["calibration_error"]
    helps = is_better and all(
        after[name] <= before[name] for name in ("crps", "energy_score")
    )
    table = {"before": before, "after": after, "is_used": helps}
    if not helps:
        return posterior, table
    all_rows = np.ones(len(held_out.fold), bool)
    return replace(posterior, recalibration=_fit(held_out, all_rows)), table


def predict_held_out(
    objects: Catalogue, config: Config, device: str
) -> HeldOutPosteriors:
    """Answer for each fold of clusters by a model trained without it."""
    num_rows, num_targets = len(objects.table), len(objects.targets)
    samples = np.empty((0, num_rows, num_targets))
    hpd, fold = np.empty(num_rows), np.empty(num_rows, int)
    truth = dequantised_ground_truth(objects, np.arange(num_rows))
    num_folds = config.train.recalibration_folds
    without = config.train.model_copy(update={"recalibration_folds": 0})
    plain = config.model_copy(update={"train": without})
    splits = list(folds_by_cluster(objects.clusters, num_folds, config.seed))
    folds = [
        Fold(split, fit_catalogue_transforms(objects, split, seed=config.seed))
        for split in splits
    ]
    posteriors = fit_folds(objects, folds, plain, device)
    for k, (split, posterior) in enumerate(zip(splits, posteriors, strict=True)):
        inputs = objects.inputs(posterior.inputs)[split.test]
        answers = posterior.sample(inputs, _NUM_SAMPLES, seed=config.seed)
        if not len(samples):
            shape = (_NUM_SAMPLES, num_rows, num_targets)
            samples = np.empty(shape, answers.dtype)
        log_prob = posterior.log_prob(answers[:_NUM_DENSITIES], inputs)
        log_prob_truth = posterior.log_prob(truth[split.test], inputs)
        hpd[split.test] = hpd_ranks(log_prob, log_prob_truth)
        samples[:, split.test], fold[split.test] = answers, k
    return HeldOutPosteriors(objects, fold, samples, truth, hpd)


def _fit(held_out: HeldOutPosteriors, is_used: np.ndarray) -> Recalibration:
    ranks = pit(held_out.samples[:, is_used], held_out.truth[is_used])
    clusters = held_out.objects.clusters[is_used]
    return fit_recalibration(ranks, held_out.hpd[is_used], clusters)


def _cross_fitted(held_out: HeldOutPosteriors) -> np.ndarray:
    """Samples (S, N, D) of each fold, repaired by what the other folds have shown."""
    repaired = np.empty_like(held_out.samples)
    for k in np.unique(held_out.fold):
        is_fold = held_out.fold == k
        recalibration = _fit(held_out, ~is_fold)
        repaired[:, is_fold] = recalibration.repair(held_out.samples[:, is_fold])
    return repaired


def _scores(held_out: HeldOutPosteriors, samples: np.ndarray) -> dict[str, float]:
    theta = held_out.objects.theta
    scale = score_scales(held_out.objects, samples)
    coverage = central_coverage(samples, held_out.truth).mean(axis=1)
    scaled, truth = samples / scale, theta / scale
    return {
        "calibration_error": float(np.abs(coverage - COVERAGE_LEVELS[:, None]).mean()),
        "crps": float(crps(scaled, truth).mean()),
        "energy_score": float(energy_score(scaled, truth).mean()),
    }
