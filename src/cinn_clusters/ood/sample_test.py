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

from cinn_clusters.bundle import read_arrays
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.files import JsonObject
from cinn_clusters.moments import without_far_values

_NUM_GAUSSIANS, _ROWS_A_GAUSSIAN = 3, 50
_NUM_HALVINGS, _TOLERANCE_LEVEL = 20, 0.9
"""Halvings of the training clusters by which the tolerance is found, and its quantile."""
_AXES = {
    "slope": "U",
    "weights": "K",
    "means": "KU",
    "covariances": "KUU",
    "tolerance": "",
}
"""Axes of the arrays: U scalars, K Gaussians."""
_RIDGE = 1e-3
"""Least variance of a Gaussian, a part of that of its column."""
_MAX_OBJECTS, _NUM_PERMUTATIONS = 500, 200
MIN_OBJECTS = 10
"""Fewest objects that are tested."""
_MIN_CLUSTERS = 2 * MIN_OBJECTS
"""Fewest clusters whose halves are compared."""


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
        num_objects, num_scalars = len(times), len(self.slope)
        component = rng.choice(len(self.weights), num_objects, p=self.weights)
        noise = rng.standard_normal((num_objects, num_scalars))
        roots = np.linalg.cholesky(self.covariances)[component]  # (N, U, U)
        scatter = np.einsum("nij,nj->ni", roots, noise)
        trend = np.outer(times, self.slope)
        scalars: np.ndarray = self.means[component] + scatter + trend
        return scalars

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each observable at one time, (U,)."""
        # law of total variance: within the Gaussians, and between their means
        within = np.diagonal(self.covariances, axis1=1, axis2=2)  # (K, U)
        mean = self.weights @ self.means
        between = (self.means - mean) ** 2
        variance = self.weights @ (within + between)
        spread: np.ndarray = np.sqrt(variance)
        return spread

    def to_dict(self) -> JsonObject:
        """Plain values for JSON."""
        return {
            "slope": self.slope.tolist(),
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> TrainingPopulation:
        """Inverse of ``to_dict``."""
        arrays = read_arrays(values, _AXES)
        tolerance = float(arrays.pop("tolerance"))
        return cls(tolerance=tolerance, **arrays)


def fit_population(
    transforms: MeasurementTransforms, inputs: np.ndarray, clusters: np.ndarray
) -> TrainingPopulation:
    """Summarise training rows (N, L) that have all scalars; rows of one cluster are alike.

    Where fewer than 20 clusters have such rows, all rows are used, their missing scalars drawn from
    the Gaussian of the model. With fewer than 20 clusters in all the tolerance is 1, and no test
    rejects.
    """
    values, _ = transforms.raw_values(inputs)
    values = without_far_values(values)
    is_complete = np.isfinite(values).all(1)
    num_complete = len(np.unique(clusters[is_complete]))
    if num_complete < _MIN_CLUSTERS:
        values = _imputed(transforms, inputs, values)
    else:
        values, clusters = values[is_complete], clusters[is_complete]
    times, scalars = _split_time(transforms, values)
    names = np.unique(clusters)
    if len(names) < _MIN_CLUSTERS:
        return _fit_mixture(times, scalars, tolerance=1.0)

    statistics = []
    for halving in range(_NUM_HALVINGS):
        rng = np.random.default_rng(halving)
        num_held_out = len(names) // 2
        held_out = rng.permutation(names)[:num_held_out]
        is_held_out = np.isin(clusters, held_out)
        statistics.append(_held_out_statistic(times, scalars, is_held_out, rng))
    level = np.quantile(statistics, _TOLERANCE_LEVEL)
    tolerance = max(float(level), 0.0)
    return _fit_mixture(times, scalars, tolerance)


def _imputed(
    transforms: MeasurementTransforms, inputs: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Scalars (N, S), the missing ones drawn given the measured ones and the embedding.

    Their conditional means would scatter too little (Little & Rubin 2002, section 4.3).
    """
    mean, covariance = transforms.condition(inputs)
    # roots by eigenvalues, since the covariance of measured scalars is zero
    variances, axes = np.linalg.eigh(covariance)  # (N, S), (N, S, S)
    noise = np.random.default_rng(0).standard_normal(variances.shape)
    deviations = noise * np.sqrt(np.maximum(variances, 0.0))
    scatter = np.einsum("nij,nj->ni", axes, deviations)
    drawn = mean[:, : values.shape[1]] + scatter
    return np.where(np.isnan(values), drawn, values)


def _held_out_statistic(
    times: np.ndarray,
    scalars: np.ndarray,
    is_held_out: np.ndarray,
    rng: np.random.Generator,
) -> float:
    """MMD^2 of held-out rows (N,) from the mixture of the others."""
    is_fitted = ~is_held_out
    population = _fit_mixture(times[is_fitted], scalars[is_fitted])
    held_out = np.flatnonzero(is_held_out)
    rows = rng.permutation(held_out)[:_MAX_OBJECTS]
    simulated = population.draw(times[rows], rng)
    spread = population.spread
    statistic, *_ = _statistics(scalars[rows], simulated, spread, rng, 0)
    return float(statistic)


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
    is_measured = np.isfinite(widths)  # (N, U)

    # scalars that most objects have, and the objects that have all of these
    num_measured = is_measured.sum(0)
    columns = np.flatnonzero(num_measured > 0.5 * len(inputs))
    has_all = is_measured[:, columns].all(1)
    rows = np.flatnonzero(has_all)
    if len(rows) < MIN_OBJECTS or len(columns) == 0:
        return SampleTest(math.nan, math.nan)

    shuffled = np.random.default_rng(seed).permutation(rows)
    rows = shuffled[:_MAX_OBJECTS]
    used = np.ix_(rows, columns)
    sample = _Sample(scalars[used], widths[used], times[rows], columns)
    tests = [sample.test(population, seed) for population in populations]
    return max(tests, key=lambda test: (test.p_value, -test.mmd_squared))


@dataclass(frozen=True, eq=False)
class _Sample:
    """Objects with all of some scalars: values and errors (N, V), times (N,), columns (V,)."""

    values: np.ndarray
    errors: np.ndarray
    times: np.ndarray
    columns: np.ndarray

    def test(self, population: TrainingPopulation, seed: int) -> SampleTest:
        """Compare with a population observed at the same times with the same errors."""
        rng = np.random.default_rng(seed)
        simulated = population.draw(self.times, rng)[:, self.columns]
        noise = rng.standard_normal(simulated.shape)
        simulated += self.errors * noise
        spread = population.spread[self.columns]
        statistic, *permuted = _statistics(
            self.values, simulated, spread, rng, _NUM_PERMUTATIONS
        )
        excess = statistic - population.tolerance
        num_larger = np.count_nonzero(np.array(permuted) >= excess)
        p_value = (1 + num_larger) / (1 + _NUM_PERMUTATIONS)
        return SampleTest(float(statistic), p_value)


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

    # least squares; the slope is zero where all rows are of one time
    offset = times - times.mean()
    sum_of_squares = max(offset @ offset, np.finfo(float).tiny)
    slope = offset @ scalars / sum_of_squares
    at_time_zero = scalars - np.outer(times, slope)

    # in units of the spread, which the ridge of the covariances is measured in
    spread = at_time_zero.std(axis=0)
    unit = np.where(spread > 0.0, spread, 1.0)
    num_affordable = len(scalars) // _ROWS_A_GAUSSIAN
    num_gaussians = min(_NUM_GAUSSIANS, max(1, num_affordable))
    mixture = GaussianMixture(num_gaussians, reg_covar=_RIDGE, random_state=0)
    mixture.fit(at_time_zero / unit)
    means = mixture.means_ * unit
    covariances = mixture.covariances_ * np.outer(unit, unit)
    return TrainingPopulation(slope, mixture.weights_, means, covariances, tolerance)


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
    squared = (offsets**2).sum(-1)  # (2 N, 2 N)
    is_apart = squared > 0
    width = np.median(squared[is_apart])
    kernel = np.exp(-squared / width)
    np.fill_diagonal(kernel, 0.0)  # no point is paired with itself

    # the sign of a point says to which sample it belongs
    signs = np.repeat([1.0, -1.0], len(sample))
    permuted = [rng.permutation(signs) for _ in range(num_permutations)]
    all_signs = np.stack([signs, *permuted])
    return _discrepancies(kernel, all_signs)


def _discrepancies(kernel: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Unbiased MMD^2 (P,) of two samples of one size, marked by signs (P, N) of their points.

    The kernel is zero on its diagonal.
    """
    num_objects = signs.shape[1] // 2
    # s^T k s is the sum over pairs within the samples less that over pairs between them
    total = kernel.sum()
    difference = np.einsum("pi,pi->p", signs @ kernel, signs)
    within = (total + difference) / 2.0
    between = (total - difference) / 2.0

    # Gretton+12, eq. 3
    num_pairs = num_objects * (num_objects - 1)
    discrepancies: np.ndarray = within / num_pairs - between / num_objects**2
    return discrepancies
