"""Recalibration that has to earn its place: fitted on clusters held out from training, kept only
where it helps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.diagnostics.coverage import hpd_ranks
from cinn_clusters.diagnostics.ranks import pit
from cinn_clusters.diagnostics.scores import COVERAGE_LEVELS, central_coverage, crps, energy_score
from cinn_clusters.errors import ConfigError
from cinn_clusters.pipeline.simulation.evaluate import score_scales, scored_truth
from cinn_clusters.posterior.fit import fit
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.recalibration import Recalibration, fit_recalibration
from cinn_clusters.settings.config import Config

NUM_DRAWS = 1000
NUM_DENSITIES = 100


@dataclass(frozen=True)
class HeldOut:
    """What models trained without them say of all training clusters.

    Args:
        rows: The rows.
        fold: Fold of each row, (N,).
        samples: Draws of the model that has not seen the row, (S, N, D).
        truth: Histories, times within their resolution, (N, D).
        hpd: Joint HPD ranks, (N,).
    """

    rows: Catalogue
    fold: np.ndarray
    samples: np.ndarray
    truth: np.ndarray
    hpd: np.ndarray


def recalibrated(
    posterior: Posterior, catalogue: Catalogue, split: Split, config: Config, device: str
) -> tuple[Posterior, dict[str, Any]]:
    """Recalibrate a posterior if clusters that it was not fitted on say that this helps.

    The training clusters are dealt into folds; a model like this one is trained without each. What
    these models say of the clusters they have not seen gives the maps; whether maps help is asked
    of folds they were not fitted on.

    Args:
        posterior: Trained on ``split``.
        catalogue: Validated rows.
        split: Test rows are not touched.
        config: Settings; ``train.recalibration_folds`` of 0 leaves everything as it is.
        device: See ``fit``.

    Returns:
        The posterior, recalibrated where the calibration error falls and neither CRPS nor energy
        score rises; and a table of these before and after, empty if nothing was tried.

    Raises:
        ConfigError: If a single fold is asked for, or the targets are not kept inside their bounds.
    """
    num_folds = config.train.recalibration_folds
    if not num_folds:
        return posterior, {}
    if num_folds == 1 or not posterior.transforms.is_bounded:
        expected = "0 or at least 2 folds, and a run prepared with --protocol cluster"
        raise ConfigError("train.recalibration_folds", expected, str(num_folds))
    seen = catalogue.rows(np.concatenate([split.train, split.validation]))
    held_out = predict_held_out(seen, config, device)
    before, after = _judge(held_out, held_out.samples), _judge(held_out, _cross_fitted(held_out))
    helps = after["calibration_error"] < before["calibration_error"] and all(
        after[score] <= before[score] for score in ("crps", "energy_score")
    )
    table = {"before": before, "after": after, "is_used": helps}
    fitted = _fit(held_out, np.ones(len(held_out.fold), bool))
    return (replace(posterior, recalibration=fitted) if helps else posterior), table


def predict_held_out(rows: Catalogue, config: Config, device: str) -> HeldOut:
    """Train without each fold of clusters in turn and answer for it."""
    shape = (NUM_DRAWS, len(rows.table), len(rows.targets))
    samples, hpd, fold = np.empty(shape, np.float32), np.empty(shape[1]), np.empty(shape[1], int)
    plain = config.model_copy(
        update={"train": config.train.model_copy(update={"recalibration_folds": 0})}
    )
    for k, split in enumerate(
        folds_by_cluster(rows.clusters, config.train.recalibration_folds, config.seed)
    ):
        posterior = fit(rows, split, plain, device=device)
        inputs = rows.inputs(posterior.inputs)[split.test]
        draws = posterior.sample(inputs, NUM_DRAWS, seed=config.seed)
        log_prob = posterior.log_prob(draws[:NUM_DENSITIES], inputs)
        hpd[split.test] = hpd_ranks(
            log_prob, posterior.log_prob(scored_truth(rows, split.test), inputs)
        )
        samples[:, split.test], fold[split.test] = draws, k
    return HeldOut(rows, fold, samples, scored_truth(rows, np.arange(shape[1])), hpd)


def _fit(held_out: HeldOut, index: np.ndarray) -> Recalibration:
    ranks = pit(held_out.samples[:, index], held_out.truth[index])
    return fit_recalibration(ranks, held_out.hpd[index], held_out.rows.clusters[index])


def _cross_fitted(held_out: HeldOut) -> np.ndarray:
    """Repair each fold by what the other folds have shown."""
    result = np.empty_like(held_out.samples)
    for k in np.unique(held_out.fold):
        own = held_out.fold == k
        result[:, own] = _fit(held_out, ~own).repair(held_out.samples[:, own])
    return result


def _judge(held_out: HeldOut, samples: np.ndarray) -> dict[str, float]:
    scale = score_scales(held_out.rows.targets, held_out.rows.theta)
    scaled, truth = samples / scale, held_out.rows.theta / scale
    coverage = central_coverage(samples, held_out.truth).mean(1)
    return {
        "calibration_error": float(np.abs(coverage - COVERAGE_LEVELS[:, None]).mean()),
        "crps": float(crps(scaled, truth).mean()),
        "energy_score": float(energy_score(scaled, truth).mean()),
    }
