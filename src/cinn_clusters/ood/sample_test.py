r"""Two-sample test between a catalogue and the training population: maximum mean discrepancy.

MMD^2 = E k(a, a') + E k(b, b') - 2 E k(a, b) of two samples, with a Gaussian kernel k; its null
distribution comes from permutations. The training population is kept as a mixture of Gaussians
about a line in lookback time, so that no row of the training table is stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.files import JsonObject

_NUM_GAUSSIANS, _ROWS_A_GAUSSIAN = 3, 50
_NUM_HALVINGS, _TOLERANCE_LEVEL = 20, 0.9
"""Halvings of the training clusters by which the tolerance is found, and its quantile."""
_MAX_OBJECTS, _NUM_PERMUTATIONS = 500, 200
MIN_OBJECTS = 10
"""Fewest objects that are tested."""


class SampleTest(NamedTuple):
    """MMD^2 of a sample and the p-value of its excess over the tolerance; NaN if too few."""

    mmd_squared: float
    p_value: float


@dataclass(frozen=True, eq=False)
class TrainingPopulation:
    """Mixture of Gaussians of the optional scalars of training clusters at a lookback time.

    Args:
        slope: Change of each optional scalar, as its map takes it, with lookback time [1/Gyr],
            (U,).
        weights: Weights of the Gaussians, (K,).
        means: Means at lookback time zero, (K, U).
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
        """Draw a training-like cluster at each lookback time [Gyr], (N, U)."""
        component = rng.choice(len(self.weights), len(times), p=self.weights)
        noise = rng.standard_normal((len(times), len(self.slope)))
        roots = np.linalg.cholesky(self.covariances)
        scatter = np.einsum("nij,nj->ni", roots[component], noise)
        trend = np.outer(times, self.slope)
        return np.asarray(self.means[component] + scatter + trend)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each observable at one time, (U,)."""
        mean = self.weights @ self.means
        squares = (
            np.diagonal(self.covariances, axis1=1, axis2=2) + (self.means - mean) ** 2
        )
        return np.asarray(np.sqrt(self.weights @ squares))

    def to_dict(self) -> JsonObject:
        """Plain values for JSON."""
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> TrainingPopulation:
        """Inverse of ``to_dict``."""
        arrays = {name: np.array(value, dtype=float) for name, value in values.items()}
        return cls(tolerance=float(arrays.pop("tolerance")), **arrays)


def fit_population(
    transforms: MeasurementTransforms, inputs: np.ndarray, clusters: np.ndarray
) -> TrainingPopulation:
    """Summarise training rows (N, L) without missing scalars; rows of one cluster are alike.

    With fewer than 20 clusters the tolerance is 1, and no test rejects.
    """
    values, _ = transforms.raw_values(inputs)
    is_complete = np.isfinite(values).all(1)
    times, scalars = _split_time(transforms, values[is_complete])
    clusters = clusters[is_complete]
    names = np.unique(clusters)
    if len(names) < 2 * MIN_OBJECTS:
        return _fit_mixture(times, scalars, tolerance=1.0)
    statistics = []
    for halving in range(_NUM_HALVINGS):
        rng = np.random.default_rng(halving)
        is_held_out = np.isin(clusters, rng.permutation(names)[: len(names) // 2])
        half = _fit_mixture(times[~is_held_out], scalars[~is_held_out])
        rows = rng.permutation(np.flatnonzero(is_held_out))[:_MAX_OBJECTS]
        simulated = half.draw(times[rows], rng)
        statistics.append(_statistics(scalars[rows], simulated, half.spread, rng, 0)[0])
    tolerance = max(float(np.quantile(statistics, _TOLERANCE_LEVEL)), 0.0)
    return _fit_mixture(times, scalars, tolerance)


def two_sample_test(
    populations: Sequence[TrainingPopulation],
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    *,
    seed: int = 0,
) -> SampleTest:
    """Test whether a whole sample is drawn like the training clusters.

    The training population is drawn at the times of the sample and blurred by its errors; scalars
    that most of the sample lack are left out. Training clusters differ among themselves: the test
    rejects only what exceeds the tolerance.

    Args:
        populations: Training populations; a sample may be like any of them.
        transforms: Transforms of the model.
        inputs: Values and errors, (N, len(transforms.inputs)).
        seed: Seed of the simulated population and of the permutations.

    Returns:
        The test against the population that is most like the sample; NaN with fewer than 10
        objects.

    References:
        Gretton+12, A kernel two-sample test, eq. 3 (unbiased estimate), Gaussian kernel of median
        width.
    """
    values, errors = transforms.raw_values(inputs)
    times, scalars = _split_time(transforms, values)
    _, widths = _split_time(transforms, errors)
    is_measured = np.isfinite(widths)
    columns = np.flatnonzero(is_measured.sum(0) > 0.5 * len(inputs))
    rows = np.flatnonzero(is_measured[:, columns].all(1))
    if len(rows) < MIN_OBJECTS or len(columns) == 0:
        return SampleTest(math.nan, math.nan)
    rows = np.random.default_rng(seed).permutation(rows)[:_MAX_OBJECTS]
    sample, widths = scalars[np.ix_(rows, columns)], widths[np.ix_(rows, columns)]
    tests = []
    for population in populations:
        rng = np.random.default_rng(seed)
        simulated = population.draw(times[rows], rng)[:, columns]
        simulated += widths * rng.standard_normal(sample.shape)
        spread = population.spread[columns]
        statistic, *permuted = _statistics(
            sample, simulated, spread, rng, _NUM_PERMUTATIONS
        )
        num_larger = sum(
            other >= statistic - population.tolerance for other in permuted
        )
        p_value = (1 + num_larger) / (1 + _NUM_PERMUTATIONS)
        tests.append(SampleTest(float(statistic), float(p_value)))
    return max(tests, key=lambda test: (test.p_value, -test.mmd_squared))


def _split_time(
    transforms: MeasurementTransforms, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lookback times (N,), zero for a model without, and the optional scalars (N, U)."""
    if transforms.time not in transforms.scalars:
        return np.zeros(len(values)), values
    column = transforms.scalars.index(transforms.time)
    return values[:, column], np.delete(values, column, axis=1)


def _fit_mixture(
    times: np.ndarray, scalars: np.ndarray, tolerance: float = 0.0
) -> TrainingPopulation:
    from sklearn.mixture import GaussianMixture

    offset = times - times.mean()
    slope = offset @ scalars / max(offset @ offset, np.finfo(float).tiny)
    count = min(_NUM_GAUSSIANS, max(1, len(scalars) // _ROWS_A_GAUSSIAN))
    mixture = GaussianMixture(count, reg_covar=1e-4, random_state=0)
    mixture.fit(scalars - np.outer(times, slope))
    return TrainingPopulation(
        slope, mixture.weights_, mixture.means_, mixture.covariances_, tolerance
    )


def _statistics(
    sample: np.ndarray,
    simulated: np.ndarray,
    spread: np.ndarray,
    rng: np.random.Generator,
    num_permutations: int,
) -> np.ndarray:
    """MMD^2 (1 + P,) of two samples (N, U) of one size, then of P permutations of their points."""
    points = np.concatenate([sample, simulated]) / spread
    offsets = points[:, None] - points[None]
    squared = (offsets**2).sum(-1)
    width = np.median(squared[squared > 0])
    kernel = np.exp(-squared / width)
    np.fill_diagonal(kernel, 0.0)
    signs = np.repeat([1.0, -1.0], len(sample))
    permuted = [rng.permutation(signs) for _ in range(num_permutations)]
    return _discrepancies(kernel, np.stack([signs, *permuted]))


def _discrepancies(kernel: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Unbiased MMD^2 (P,) of two samples of one size, marked by signs (P, N) of their points.

    The kernel is zero on its diagonal.
    """
    num, total = signs.shape[1] // 2, kernel.sum()
    difference = np.einsum(
        "pi,pi->p", signs @ kernel, signs
    )  # pairs within less pairs between
    within = (total + difference) / 2.0
    between = (total - difference) / 2.0
    return np.asarray(within / (num * (num - 1)) - between / num**2)
