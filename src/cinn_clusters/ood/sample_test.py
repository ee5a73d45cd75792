"""What a sample of training clusters looks like, and whether another sample is drawn like it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cinn_clusters import schema
from cinn_clusters.data.measurement import MeasurementTransforms

NUM_GAUSSIANS = 3
NUM_HALVES, NINE_IN_TEN = 20, 0.9
"""Halvings of the training clusters by which the tolerance is found, and how many of them it
covers."""
NUM_REFERENCE, NUM_PERMUTATIONS, MIN_SAMPLE = 500, 200, 10


@dataclass(frozen=True)
class Reference:
    """Mixture of Gaussians of the uncertain observables of training clusters, about a line in lookback time.

    It holds no row of the training table.

    Args:
        slope: Change of each uncertain observable, as its map takes it, with lookback time [1/Gyr],
            (U,).
        weights: Of the Gaussians, (K,).
        means: At lookback time zero, (K, U).
        covariances: (K, U, U).
        tolerance: MMD^2 that a sample of new clusters may have: nine in ten halves of the training
            clusters have less from the mixture of the other half.
    """

    slope: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    tolerance: float = 0.0

    def draw(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One training-like cluster at each lookback time [Gyr], (N, U)."""
        which = rng.choice(len(self.weights), len(times), p=self.weights)
        noise = rng.standard_normal((len(times), len(self.slope)))
        roots = np.linalg.cholesky(self.covariances)
        return np.asarray(
            self.means[which]
            + np.einsum("nij,nj->ni", roots[which], noise)
            + np.outer(times, self.slope)
        )

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each observable at one time, (U,)."""
        mean = self.weights @ self.means
        squares = np.diagonal(self.covariances, axis1=1, axis2=2) + (self.means - mean) ** 2
        return np.asarray(np.sqrt(self.weights @ squares))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        arrays = {
            name: getattr(self, name).tolist()
            for name in ("slope", "weights", "means", "covariances")
        }
        return {**arrays, "tolerance": self.tolerance}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reference:
        """Inverse of ``to_dict``."""
        slope, weights, means, covariances = (
            np.array(values[name], dtype=float)
            for name in ("slope", "weights", "means", "covariances")
        )
        return cls(slope, weights, means, covariances, float(values["tolerance"]))


def fit_reference(
    transforms: MeasurementTransforms, inputs: np.ndarray, clusters: np.ndarray
) -> Reference:
    """Summarise training clusters.

    Args:
        transforms: Those of the model.
        inputs: Exact inputs of the training rows, (N, len(transforms.inputs)).
        clusters: Cluster of each row, (N,); rows of one cluster are not independent.

    Returns:
        The summary; with fewer than 20 clusters, its tolerance is 1: it can tell nothing.
    """
    values, _ = transforms.raw_values(inputs)
    times, rest = _apart(transforms, values)
    whole, known = _mixture(times, rest), np.unique(clusters)
    if len(known) < 2 * MIN_SAMPLE:
        return Reference(*whole, tolerance=1.0)
    found = []
    for turn in range(NUM_HALVES):
        rng = np.random.default_rng(turn)
        is_held_out = np.isin(clusters, rng.permutation(known)[: len(known) // 2])
        other = Reference(*_mixture(times[~is_held_out], rest[~is_held_out]))
        rows = rng.permutation(np.flatnonzero(is_held_out))[:NUM_REFERENCE]
        found.append(_statistics(rest[rows], other.draw(times[rows], rng), other.spread, rng, 0)[0])
    return Reference(*whole, tolerance=float(max(np.quantile(found, NINE_IN_TEN), 0.0)))


def sample_discrepancy(
    references: Sequence[Reference],
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """Whether a whole sample is drawn like the training clusters: maximum mean discrepancy with a permutation test.

    The training clusters are represented by their mixture at the times of the sample, blurred by
    its errors; observables that most of the sample lack are left out. What the training clusters
    differ by among themselves is allowed for: the test asks for more than the tolerance.

    Args:
        references: Of the training clusters; a sample may be like any of them.
        transforms: Those of the model.
        inputs: Values and errors, (N, len(transforms.inputs)).
        seed: Seed of reference and permutations.

    Returns:
        MMD^2 and the p-value of its excess over the tolerance, of the reference that is most like
        the sample; NaN both with fewer than 10 objects.

    References:
        Gretton+12, A kernel two-sample test, eq. 3 (unbiased estimate), Gaussian kernel of median
        width.
    """
    values, errors = transforms.raw_values(inputs)
    times, rest = _apart(transforms, values)
    _, widths = _apart(transforms, errors)
    has = np.isfinite(widths)
    columns = np.flatnonzero(has.mean(0) > 0.5) if len(has) else np.zeros(0, int)
    rows = np.flatnonzero(has[:, columns].all(1))
    if len(rows) < MIN_SAMPLE or len(columns) == 0:
        return math.nan, math.nan
    chosen = np.random.default_rng(seed).permutation(rows)[:NUM_REFERENCE]
    sample, widths = rest[chosen][:, columns], widths[chosen][:, columns]
    found = []
    for reference in references:
        rng = np.random.default_rng(seed)
        drawn = reference.draw(times[chosen], rng)[:, columns] + widths * rng.standard_normal(
            sample.shape
        )
        own, *others = _statistics(sample, drawn, reference.spread[columns], rng, NUM_PERMUTATIONS)
        as_large = sum(other >= own - reference.tolerance for other in others)
        found.append((float(own), float((1 + as_large) / (1 + NUM_PERMUTATIONS))))
    return max(found, key=lambda one: (one[1], -one[0]))


def _apart(transforms: MeasurementTransforms, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lookback times (N,) and the uncertain observables (N, U)."""
    places = [transforms.names.index(name) for name in transforms.optional]
    return values[:, transforms.names.index(schema.LOOKBACK)], values[:, places]


def _mixture(
    times: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Slope, weights, means and covariances of ``Reference``."""
    from sklearn.mixture import GaussianMixture

    offset = times - times.mean()
    slope = offset @ rest / max(offset @ offset, np.finfo(float).tiny)
    count = min(NUM_GAUSSIANS, max(1, len(rest) // 50))
    found = GaussianMixture(count, reg_covar=1e-4, random_state=0).fit(
        rest - np.outer(times, slope)
    )
    return slope, found.weights_, found.means_, found.covariances_


def _statistics(
    sample: np.ndarray,
    drawn: np.ndarray,
    spread: np.ndarray,
    rng: np.random.Generator,
    num_permutations: int,
) -> np.ndarray:
    """MMD^2 of two samples (N, U) of one size, then of the same points told apart at random, (1
    + P,).
    """
    both = np.concatenate([sample, drawn]) / spread
    squares = ((both[:, None] - both[None]) ** 2).sum(-1)
    kernel = np.exp(-squares / np.median(squares[squares > 0]))
    np.fill_diagonal(kernel, 0.0)
    signs = np.repeat([1.0, -1.0], len(sample))
    return _discrepancy(
        kernel, np.stack([signs, *(rng.permutation(signs) for _ in range(num_permutations))])
    )


def _discrepancy(kernel: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Unbiased MMD^2 of two samples of one size, told apart by their signs (P, N); zero on the
    kernel's diagonal.
    """
    num = signs.shape[1] // 2
    same_less_other, all_pairs = np.einsum("pi,pi->p", signs @ kernel, signs), kernel.sum()
    same, other = (all_pairs + same_less_other) / 2.0, (all_pairs - same_less_other) / 2.0
    return np.asarray(same / (num * (num - 1)) - other / num**2)
