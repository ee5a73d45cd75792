"""Posteriors of several models for the same objects: scores side by side, and paired differences.

A model may come with several seeds. Its score of an object is then the mean over seeds; the spread
over seeds stands beside the error that resampling clusters gives, since neither holds the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics.bands import mean_estimate
from cinn_clusters.diagnostics.conditional import LEVEL
from cinn_clusters.diagnostics.scores import (
    bootstrap_weights,
    central_coverage,
    scaled_scores,
)
from cinn_clusters.errors import DataError
from cinn_clusters.evaluation.diagnosis_report import Band
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth, score_scales
from cinn_clusters.evaluation.json_model import JsonModel, Number
from cinn_clusters.evaluation.matched import MatchedPosterior
from cinn_clusters.schema import ROW_KEYS

CRPS, ENERGY, NLL, COVERAGE = "CRPS", "energy score", "NLL", "68 % coverage"


class SeedScore(JsonModel):
    """Mean over objects and seeds, its error over clusters, and the deviation over seeds."""

    mean: Number
    se: Number
    seeds_sd: Number = None


class ComparedModel(JsonModel):
    """Scores of one model by name, such as *CRPS* and *CRPS last_T_coll*."""

    files: tuple[str, ...]
    scores: dict[str, SeedScore]


class Difference(JsonModel):
    """Paired difference to the first model, with its 99 % band over clusters."""

    value: Number
    lower: Number
    upper: Number
    seeds_se: Number = None


class Comparison(JsonModel):
    """Models for the same objects; differences are each minus the first."""

    rows: int
    clusters: int
    targets: tuple[str, ...]
    models: tuple[ComparedModel, ...]
    differences: tuple[dict[str, Difference], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SeedFiles:
    """Posterior files of one model, one a seed."""

    names: tuple[str, ...]
    posteriors: tuple[MatchedPosterior, ...]

    def pairs(self) -> list[tuple[str, MatchedPosterior]]:
        """Names and posteriors."""
        return list(zip(self.names, self.posteriors, strict=True))

    def scores(
        self, common: pd.MultiIndex, objects: Catalogue, with_densities: bool
    ) -> np.ndarray:
        """Scores (seeds, N, K) of some objects."""
        return np.stack(
            [
                _scores(posterior, common, objects, with_densities)
                for posterior in self.posteriors
            ]
        )


def compare_posteriors(
    models: Sequence[SeedFiles], *, with_common: bool = False
) -> Comparison:
    """Score models on the objects that all files hold.

    Args:
        models: One or more models.
        with_common: Compare what is in common where files hold different objects.

    Raises:
        DataError: If files hold different objects or no common target.
    """
    pairs = [pair for model in models for pair in model.pairs()]
    common = _common_objects(pairs, with_common)
    posteriors = [posterior for _, posterior in pairs]
    targets = _common_targets(posteriors)
    with_densities = _share_densities(posteriors, targets)
    first = posteriors[0]
    objects = replace(first.catalogue.rows(_rows(first, common)[1]), targets=targets)
    weights = bootstrap_weights(objects.clusters)
    names = _score_names(targets, with_densities)
    scored = [model.scores(common, objects, with_densities) for model in models]
    described = [
        ComparedModel(files=model.names, scores=_described(names, values, weights))
        for model, values in zip(models, scored, strict=True)
    ]
    differences = [
        _differences(names, values, scored[0], weights) for values in scored[1:]
    ]
    notes = dict.fromkeys(note for posterior in posteriors for note in posterior.notes)
    return Comparison(
        rows=len(common),
        clusters=len(np.unique(objects.clusters)),
        targets=targets,
        models=tuple(described),
        differences=tuple(differences),
        notes=tuple(notes),
    )


def _common_targets(posteriors: Sequence[MatchedPosterior]) -> tuple[str, ...]:
    """Targets of the first file that all others have."""
    common = list(posteriors[0].objects.targets)
    for posterior in posteriors:
        common = [name for name in common if name in posterior.objects.targets]
    if not common:
        raise DataError("the files", "a target in common", "none")
    return tuple(common)


def _share_densities(
    posteriors: Sequence[MatchedPosterior], targets: Sequence[str]
) -> bool:
    """Whether all files hold densities of the same targets."""
    return all(
        posterior.has_densities and len(posterior.objects.targets) == len(targets)
        for posterior in posteriors
    )


def _keys(posterior: MatchedPosterior) -> pd.MultiIndex:
    table = posterior.objects.table
    return pd.MultiIndex.from_frame(table[[key for key in ROW_KEYS if key in table]])


def _common_objects(
    pairs: Sequence[tuple[str, MatchedPosterior]], with_common: bool
) -> pd.MultiIndex:
    """Keys of the objects that all files hold."""
    first_name, first = pairs[0]
    common = _keys(first)
    for name, posterior in pairs[1:]:
        keys = _keys(posterior)
        shared = _intersection(common, keys)
        is_same = len(shared) == len(common) == len(keys)
        if not len(shared) or not (is_same or with_common):
            got = f"{len(keys)} objects, {len(shared)} of them in common"
            hint = "pass --common to compare those" * bool(len(shared))
            expected = f"the {len(common)} objects of {first_name}"
            raise DataError(name, expected, got, "", hint)
        common = shared
    return common


def _intersection(keys: pd.MultiIndex, rival: pd.MultiIndex) -> pd.MultiIndex:
    """Keys that are among rival, too; none where one has projections and the other has not."""
    if keys.nlevels != rival.nlevels:
        return keys[:0]
    return keys[keys.isin(rival)]


def _rows(
    posterior: MatchedPosterior, common: pd.MultiIndex
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of some objects in a file, and their rows in its catalogue."""
    numbers = _keys(posterior).get_indexer(common)
    return numbers, posterior.rows[numbers]


def _score_names(targets: Sequence[str], with_densities: bool) -> list[str]:
    names = [CRPS, *(f"{CRPS} {target}" for target in targets), ENERGY]
    names += [f"{COVERAGE} {target}" for target in targets]
    return names + [NLL] * with_densities


def _scores(
    posterior: MatchedPosterior,
    common: pd.MultiIndex,
    objects: Catalogue,
    with_densities: bool,
) -> np.ndarray:
    """Scores of each object, (N, K), in the order of the names."""
    numbers, _ = _rows(posterior, common)
    of_file = posterior.objects.targets
    columns = [of_file.index(target) for target in objects.targets]
    chosen = posterior.samples[:, numbers]
    samples = chosen[:, :, columns]

    scale = score_scales(objects)
    by_target, energy = scaled_scores(samples, objects.theta, scale)
    mean_crps = by_target.mean(axis=1, keepdims=True)
    dequantised = dequantised_ground_truth(objects)
    (is_held,) = central_coverage(samples, dequantised, np.array([LEVEL]))

    parts = [mean_crps, by_target, energy[:, None], is_held]
    if with_densities:
        assert posterior.log_prob is not None
        _, log_prob_truth = posterior.log_prob
        parts.append(-log_prob_truth[numbers, None])
    return np.concatenate(parts, axis=1)


def _described(
    names: Sequence[str], values: np.ndarray, weights: np.ndarray
) -> dict[str, SeedScore]:
    """Describe scores (seeds, N, K) by name."""
    of_rows = values.mean(axis=0)
    resampled = weights @ of_rows  # (R, K)
    errors = resampled.std(axis=0)
    result = {}
    for k, name in enumerate(names):
        mean = float(of_rows[:, k].mean())
        se = float(errors[k])
        score = SeedScore(mean=mean, se=se)
        if len(values) > 1:
            variance = _seed_variance(values)
            score = SeedScore(mean=mean, se=se, seeds_sd=variance[k] ** 0.5)
        result[name] = score
    return result


def _seed_variance(values: np.ndarray) -> np.ndarray:
    """Variance (K,) over seeds of the mean scores, given scores (seeds, N, K)."""
    by_seed = values.mean(axis=1)
    variance: np.ndarray = by_seed.var(axis=0, ddof=1)
    return variance


def _differences(
    names: Sequence[str], values: np.ndarray, first: np.ndarray, weights: np.ndarray
) -> dict[str, Difference]:
    difference = values.mean(axis=0) - first.mean(axis=0)  # (N, K)
    variance = _difference_variance(values, first)
    result = {}
    for k, name in enumerate(names):
        mean = mean_estimate(difference[:, k], weights)
        band = Band.of(mean).model_dump()
        if variance is not None:
            band["seeds_se"] = float(variance[k] ** 0.5)
        result[name] = Difference(**band)
    return result


def _difference_variance(values: np.ndarray, first: np.ndarray) -> np.ndarray | None:
    """Variance (K,) over seeds of a difference of means; None where a model has a single seed."""
    if min(len(values), len(first)) < 2:
        return None
    of_mean = _seed_variance(values) / len(values)
    of_first = _seed_variance(first) / len(first)
    variance: np.ndarray = of_mean + of_first
    return variance
