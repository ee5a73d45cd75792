r"""Training support of a model, and the out-of-distribution (OOD) score of an object.

The score is the percentile, among training clusters, of the robust Mahalanobis distance
d^2 = (o - m_o)^T (C_oo + R)^-1 (o - m_o) of what was measured: errors R widen the Gaussian, and
missing observables do not count. ``sample_test.py`` does the same for a whole sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from cinn_clusters.bundle import read_arrays
from cinn_clusters.data.error_models.gaussian import ObservablePrior
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.files import JsonObject
from cinn_clusters.moments import without_far_values
from cinn_clusters.schema import is_embedding

ALARM = 0.99
"""Percentile among training clusters beyond which an object is flagged."""
_MOST = f"{ALARM:.0%} of the training clusters"
LEVELS = np.linspace(0.0, 1.0, 101)
_AXES = {
    "lower": "U",
    "upper": "U",
    "distances": "GQ",
    "disagreements": "GQ",
    "mean": "L",
    "covariance": "LL",
}
"""Axes of the arrays: U scalars of L observables, G groups, Q quantiles."""
"""Levels of the quantiles that are kept."""
MAX_SUBSETS = 256
"""Most subsets of the observables that have quantiles of their own; more are grouped by size."""
_NUM_ENSEMBLE_ROWS = 1000
"""Training rows on which the disagreement of the ensemble is evaluated."""
_MAX_SQUARED = 1000.0
"""Squared distance beyond which no training cluster lies."""
_ROWS_A_DIMENSION = 5
"""Complete rows a dimension that a robust covariance needs."""


@dataclass(frozen=True, eq=False)
class TrainingSupport:
    """Where the training clusters of a model lie in the space of its observables.

    A group is a subset of the optional observables (those measured), or all subsets of one size
    where there are more than 256.

    Args:
        transforms: Transforms of the model.
        lower: Smallest value of each scalar, as its map takes it, (S,).
        upper: Largest, (S,).
        robust: Gaussian of the bulk of the observables.
        distances: Quantiles of -log10 p of their squared distances in each group, (G, Q).
        disagreements: Quantiles of the disagreement of the ensemble on them [nats], in each group,
            (G, Q).
    """

    transforms: MeasurementTransforms
    lower: np.ndarray
    upper: np.ndarray
    robust: ObservablePrior
    distances: np.ndarray
    disagreements: np.ndarray

    def ood_score(self, inputs: np.ndarray) -> np.ndarray:
        """Percentile (N,) in [0, 1], among training clusters, of the distance of inputs (N, L)."""
        log_rarity = _log_rarity(self.robust, self.transforms, inputs)
        groups = _groups(self.transforms, inputs)
        return _percentiles(log_rarity, self.distances, groups)

    def disagreement_score(
        self, inputs: np.ndarray, disagreement: np.ndarray
    ) -> np.ndarray:
        """Percentile (N,) of the disagreement (N,) among training clusters measured alike."""
        groups = _groups(self.transforms, inputs)
        return _percentiles(disagreement, self.disagreements, groups)

    def reasons(self, inputs: np.ndarray, disagreement: np.ndarray) -> list[list[str]]:
        """Say of each object why the model may not apply to it: N lists, empty where all is well.

        Inputs are (N, len(transforms.inputs)), the disagreement of the ensemble (N,) is in nats.
        """
        reasons = self._out_of_range(inputs)
        score = self.ood_score(inputs)
        for row in np.flatnonzero(score > ALARM):
            reasons[row].append(f"observables unlike {_MOST} taken together")
        score = self.disagreement_score(inputs, disagreement)
        for row in np.flatnonzero(score > ALARM):
            reasons[row].append(
                f"members of the ensemble disagree more than on {_MOST}"
            )
        return reasons

    def _out_of_range(self, inputs: np.ndarray) -> list[list[str]]:
        """Scalars of each object that lie beyond all training clusters by two errors."""
        values, errors = self.transforms.raw_values(inputs)
        margin = 2.0 * np.where(np.isfinite(errors), errors, 0.0)
        reasons: list[list[str]] = [[] for _ in inputs]
        beyond = {
            "above": values - margin > self.upper,
            "below": values + margin < self.lower,
        }
        for side, limits in (("above", self.upper), ("below", self.lower)):
            for row, column in np.argwhere(beyond[side]):
                entry = self.transforms.observables[column]
                limit = float(entry.value(limits[column]))
                numbers = f"({inputs[row, column]:.4g}; limit {limit:.4g})"
                reasons[row].append(
                    f"{entry.name} {side} all training clusters {numbers}"
                )
        return reasons

    def to_dict(self) -> JsonObject:
        """Plain values for JSON, without the transforms."""
        return {
            "lower": self.lower.tolist(),
            "upper": self.upper.tolist(),
            "distances": self.distances.tolist(),
            "disagreements": self.disagreements.tolist(),
            "mean": self.robust.mean.tolist(),
            "covariance": self.robust.covariance.tolist(),
        }

    @classmethod
    def from_dict(
        cls, values: Mapping[str, object], transforms: MeasurementTransforms
    ) -> TrainingSupport:
        """Inverse of ``to_dict``."""
        names = [entry.name for entry in transforms.observables]
        num_scalars = sum(not is_embedding(name) for name in names)
        num_groups = len(_masks(transforms))
        sizes = {"L": len(names), "U": num_scalars, "G": num_groups}
        arrays = read_arrays(values, _AXES, **sizes)
        mean, covariance = arrays.pop("mean"), arrays.pop("covariance")
        robust = ObservablePrior(mean, covariance)
        return cls(transforms, robust=robust, **arrays)


def fit_support(
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    disagreement: Callable[[np.ndarray], np.ndarray],
) -> TrainingSupport:
    """Fit the training support to training rows (N, L).

    ``disagreement`` gives that of the ensemble [nats] on inputs (M, L), (M,).
    """
    values, _ = transforms.raw_values(inputs)
    values = without_far_values(values)
    vectors = transforms.embeddings(inputs)
    robust = _robust_prior(transforms, np.hstack([values, vectors]))
    shuffled = np.random.default_rng(0).permutation(len(inputs))
    rows = shuffled[:_NUM_ENSEMBLE_ROWS]

    distances, disagreements = [], []
    for mask in _masks(transforms):
        subset = transforms.without(inputs, mask)
        log_rarity = _log_rarity(robust, transforms, subset)
        of_ensemble = disagreement(subset[rows])
        distances.append(np.quantile(log_rarity, LEVELS))
        disagreements.append(np.quantile(of_ensemble, LEVELS))

    return TrainingSupport(
        transforms,
        lower=np.nanmin(values, 0),
        upper=np.nanmax(values, 0),
        robust=robust,
        distances=np.stack(distances),
        disagreements=np.stack(disagreements),
    )


def _robust_prior(
    transforms: MeasurementTransforms, values: np.ndarray
) -> ObservablePrior:
    """Gaussian of the bulk of the complete rows; of all rows where few are complete.

    References:
        Rousseeuw & Van Driessen 1999 (minimum covariance determinant).
    """
    from sklearn.covariance import MinCovDet

    is_complete = np.isfinite(values).all(1)
    complete = values[is_complete]
    num_rows, num_dimensions = complete.shape
    if num_rows < _ROWS_A_DIMENSION * num_dimensions:
        return transforms.prior
    bulk = MinCovDet(random_state=0).fit(complete)
    return ObservablePrior(bulk.location_, bulk.covariance_)


def _log_rarity(
    robust: ObservablePrior, transforms: MeasurementTransforms, inputs: np.ndarray
) -> np.ndarray:
    """-log10 of the probability (N,) that a training cluster lies further away."""
    squared, degrees = transforms.mahalanobis(robust, inputs)
    is_measured = degrees > 0
    # its logarithm underflows beyond
    squared = np.minimum(squared, _MAX_SQUARED)
    probability = chdtrc(np.where(is_measured, degrees, 1), squared)
    rarity = -np.log10(probability)
    # an object of which nothing was measured is like any cluster
    return np.where(is_measured, rarity, 0.0)


def _groups(transforms: MeasurementTransforms, inputs: np.ndarray) -> np.ndarray:
    """Group (N,) of what was measured: the row of ``_masks`` that is like it."""
    is_measured = transforms.is_measured(inputs)
    num_blocks = is_measured.shape[1]
    if 2**num_blocks <= MAX_SUBSETS:
        bits = 1 << np.arange(num_blocks)
        subset: np.ndarray = is_measured @ bits
        return subset

    # sizes 0..U without the embedding, then as many with it
    num_scalars = len(transforms.optional)
    scalars, embedding = np.split(is_measured, [num_scalars], axis=1)
    has_embedding = embedding.sum(1)
    size: np.ndarray = scalars.sum(1) + (num_scalars + 1) * has_embedding
    return size


def _masks(transforms: MeasurementTransforms) -> np.ndarray:
    """What is measured in each group, (G, B); a random subset of its size stands for a group."""
    num_scalars, has_embedding = len(transforms.optional), transforms.has_embedding
    num_blocks = num_scalars + has_embedding
    num_subsets = 2**num_blocks
    if num_subsets <= MAX_SUBSETS:
        # block b is measured in the subsets whose number has bit b
        subsets = np.arange(num_subsets).reshape(-1, 1)
        bits = 1 << np.arange(num_blocks)
        has_block: np.ndarray = subsets & bits > 0
        return has_block

    sizes = np.arange(num_scalars + 1).reshape(-1, 1)
    order = np.random.default_rng(0).permutation(num_scalars)
    scalars: np.ndarray = order < sizes  # (U + 1, U)
    if not has_embedding:
        return scalars
    without_and_with = np.tile(scalars, (2, 1))
    presence = np.repeat([False, True], len(scalars))
    return np.column_stack([without_and_with, presence])


def _percentiles(
    values: np.ndarray, quantiles: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Share (N,) of the training clusters below each value in its group; 1 beyond all of them."""
    levels = LEVELS * (1.0 - 1e-6)  # one is left to what lies beyond all
    percentiles = np.empty(len(values))
    for group in np.unique(groups):
        is_member = groups == group
        members = values[is_member]
        knots = quantiles[group]
        largest = knots[-1]
        shares = np.interp(members, knots, levels)
        percentiles[is_member] = np.where(members > largest, 1.0, shares)
    return percentiles


def nearest_analogues(
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    candidates: np.ndarray,
    num_nearest: int = 5,
) -> np.ndarray:
    """Rows of a table that are most like each object in the scalars that were measured of it.

    Args:
        transforms: Transforms of the model.
        inputs: Values and errors of the objects, (N, len(transforms.inputs)).
        candidates: Exact inputs of the table, (M, len(transforms.inputs)).
        num_nearest: Number of rows for each object.

    Returns:
        Row numbers, nearest first, (N, num_nearest).
    """
    values, errors = transforms.raw_values(inputs)
    table, _ = transforms.raw_values(candidates)
    spread = np.nanstd(table, 0)
    nearest = []
    for value, error in zip(values, errors, strict=True):
        is_measured = np.isfinite(error)
        offset = table[:, is_measured] - value[is_measured]
        scale = np.hypot(spread, error)[is_measured]
        squared = ((offset / scale) ** 2).sum(1)
        order = np.argsort(squared, kind="stable")
        nearest.append(order[:num_nearest])
    return np.array(nearest, dtype=int).reshape(-1, num_nearest)
