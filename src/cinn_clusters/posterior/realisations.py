r"""Realisations of true observables whose values are only bounded, or whose redshift has an error.

Redshifts follow their two-piece normal, cut off at the present and at the begin of the record. A
limit y < b of an observable v, y = v + N(0, scatter^2), is a truncated normal: y is drawn given all
that was measured, one limit after the other, and weighted by the probabilities of the truncations
(Geweke, Hajivassiliou & Keane 1991); v follows given y. The observables do not tell of the redshift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from cinn_clusters.cosmology import MAX_REDSHIFT, age_at_lookback, time_of_redshift
from cinn_clusters.data.error_models.error_model import (
    ErrorModel,
    MeasuredLimits,
    RedshiftErrors,
)
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.rng import numpy_stream

NUM_PROPOSALS = 10
"""Proposals for each realisation that is resampled."""
_SHORTEST_RECORD = 0.01
"""Shortest record of collisions at a realised redshift [Gyr]."""
_SMALLEST = 1e-300
_LEAST_RATIO = 1e-3
"""Least deviation on one side of a redshift, in units of the other."""
_LEAST_DEVIATION = 1e-9
"""Deviation of a limited value that the others leave no freedom, as its map takes it."""


@dataclass(frozen=True, eq=False)
class BoundedRow:
    """One object with limits or an error of its redshift.

    Args:
        transforms: Transforms of the model.
        inputs: Its inputs, (L,); NaN where a value is only bounded.
        errors: What is stated of its errors, one row.
        stream: Number of its random stream.
    """

    transforms: MeasurementTransforms
    inputs: np.ndarray
    errors: ErrorModel
    stream: int

    def draw(self, noise: np.ndarray, sampling: Sampling) -> np.ndarray:
        """Exact, complete inputs (T, L) of T realisations, with Gaussian noise (T, S)."""
        stream = numpy_stream(sampling.seed, "bounded", self.stream)
        num_limits = self._num_limits
        factor = NUM_PROPOSALS if num_limits > 1 else 1
        proposals = np.repeat(self.inputs[None], factor * sampling.num_samples, axis=0)
        if self.errors.redshift is not None:
            proposals = _with_redshifts(
                self.transforms, proposals, self.errors.redshift, stream
            )
        if num_limits:
            limits = self.errors.limits
            assert limits is not None
            proposals, log_weight = self._with_limits(proposals, limits, stream)
            chosen = resample(log_weight, sampling.num_samples, stream)
            proposals = proposals[chosen]
        correlation = self._correlation(len(proposals))
        return self._given_limits.sample_values(proposals, noise, correlation)

    @property
    def _num_limits(self) -> int:
        if self.errors.limits is None:
            return 0
        return int(np.count_nonzero(self.errors.limits.side[0]))

    @property
    def _given_limits(self) -> MeasurementTransforms:
        """Transforms; a mass that is only bounded leaves the training clusters' prior of it."""
        limits, mass = self.errors.limits, self.transforms.schema.mass
        if limits is None or mass not in self.transforms.optional:
            return self.transforms
        if not limits.side[0, self.transforms.optional.index(mass)]:
            return self.transforms
        return replace(self.transforms, mass_prior=None)

    def _correlation(self, num_rows: int) -> np.ndarray | None:
        correlation = self.errors.correlation
        if correlation is None:
            return None
        return np.broadcast_to(correlation, (num_rows, *correlation.shape[1:]))

    def _with_limits(
        self, inputs: np.ndarray, limits: MeasuredLimits, stream: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (P, L) with a value for each limit, measured with its scatter; log-weights (P,)."""
        transforms = self._given_limits
        columns = np.array(transforms.optional_columns)
        limited = np.flatnonzero(limits.side[0])
        scalars = columns[limited]
        bounds, scatter = self._raw_limits(limits)
        correlation = self._correlation(len(inputs))
        mean, covariance = transforms.condition(inputs, correlation)
        intrinsic = covariance[:, scalars[:, None], scalars]
        noise = np.diag(scatter[limited] ** 2)
        side = limits.side[0, limited]
        bound = bounds[limited] * side
        shape = (len(inputs), len(limited))
        uniform = stream.random(shape)
        values, log_weight = truncated_normals(
            mean[:, scalars], intrinsic + noise, bound, side, uniform
        )
        result = inputs.copy()
        for number, scalar in enumerate(scalars):
            observable = transforms.observables[scalar]
            result[:, scalar] = observable.value(values[:, number])
        errors = len(transforms.names) + limited
        result[:, errors] = limits.scatter[0, limited]
        return result, log_weight

    def _raw_limits(self, limits: MeasuredLimits) -> tuple[np.ndarray, np.ndarray]:
        """Limits and their scatters as the maps take them, (U,) each."""
        transforms = self.transforms
        stated = self.inputs.copy()
        columns = transforms.optional_columns
        stated[columns] = limits.value[0]
        stated[len(transforms.names) :] = limits.scatter[0]
        values, errors = transforms.raw_values(stated[None])
        return values[0, columns], errors[0, columns]


def truncated_normals(
    mean: np.ndarray,
    covariance: np.ndarray,
    bound: np.ndarray,
    side: np.ndarray,
    uniform: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw normals (P, K) beyond their bounds one after the other, with log-weights (P,).

    Args:
        mean: (P, K).
        covariance: (P, K, K).
        bound: Bound times side, (K,): side y > side times bound.
        side: 1 for a lower bound, -1 for an upper one, (K,).
        uniform: Uniform numbers, (P, K).
    """
    # In mirrored coordinates every bound is a lower one.
    mirrored = covariance * side[:, None] * side
    floor = _LEAST_DEVIATION**2 * np.eye(len(side))
    factor = np.linalg.cholesky(mirrored + floor)
    centre = mean * side
    normal = np.zeros_like(mean)
    log_weight = np.zeros(len(mean))
    for number in range(len(side)):
        conditional = np.einsum("pk,pk->p", factor[:, number], normal)
        distance = bound[number] - centre[:, number] - conditional
        width = factor[:, number, number]
        quantile, probability = _normal_beyond(distance / width, uniform[:, number])
        normal[:, number] = quantile
        log_weight += np.log(probability)
    scatter = np.einsum("pkl,pl->pk", factor, normal)
    normals = centre + scatter
    return normals * side, log_weight


def _normal_beyond(
    least: np.ndarray, uniform: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles (P,) of a standard normal beyond its least values, and its probabilities there."""
    probability = np.maximum(ndtr(-least), _SMALLEST)
    level = uniform * probability
    quantile = -ndtri(np.maximum(level, _SMALLEST))
    return quantile, probability


def resample(
    log_weight: np.ndarray, num_samples: int, stream: np.random.Generator
) -> np.ndarray:
    """Systematic resampling: indices (T,) of proposals by their log-weights (P,)."""
    weight = np.exp(log_weight - log_weight.max())
    cumulative = np.cumsum(weight)
    spacing = cumulative[-1] / num_samples
    numbers = np.arange(num_samples) + stream.random()
    levels = spacing * numbers
    return np.asarray(np.searchsorted(cumulative, levels))


def _with_redshifts(
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    errors: RedshiftErrors,
    stream: np.random.Generator,
) -> np.ndarray:
    """Inputs (P, L) at redshifts drawn by their errors; converted values follow to first order."""
    (measured,), deviations = errors.redshift, errors.errors[:, 0]
    if not deviations.any():
        return inputs
    last = _latest_redshift(transforms)
    uniform = stream.random(len(inputs))
    redshift = truncated_two_piece(measured, deviations, (0.0, last), uniform)
    time_column = transforms.names.index(transforms.time)
    result = inputs.copy()
    result[:, time_column] = time_of_redshift(redshift)
    offset = redshift - measured
    change = errors.slopes[0] * offset[:, None]
    return transforms.shifted(result, change)


def _latest_redshift(transforms: MeasurementTransforms) -> float:
    """Largest redshift at which the model can be asked: the record of its targets has begun."""
    earliest = transforms.record_begin + _SHORTEST_RECORD
    redshift = np.linspace(MAX_REDSHIFT, 0.0, 20_001)
    ages = age_at_lookback(time_of_redshift(redshift))
    return float(np.interp(earliest, ages, redshift))


def truncated_two_piece(
    mode: float,
    deviations: np.ndarray,
    bounds: tuple[float, float],
    uniform: np.ndarray,
) -> np.ndarray:
    """Quantiles of a two-piece normal of deviations (2,) about its mode, between two bounds.

    Examples:
        >>> halves = np.array([0.1, 0.3])
        >>> truncated_two_piece(0.5, halves, (0.0, 2.0), np.array([0.0, 1.0])).round(3)
        array([0., 2.])
    """
    least = _LEAST_RATIO * deviations.max()
    below, above = np.maximum(deviations, least)
    two_piece = _TwoPieceNormal(mode, below, above)
    begin, end = map(two_piece.cumulative, bounds)
    level = begin + uniform * (end - begin)
    quantile = two_piece.quantile(level)
    return np.asarray(np.clip(quantile, *bounds))


@dataclass(frozen=True)
class _TwoPieceNormal:
    """Halves of two normals that join at their mode, of deviations below and above it."""

    mode: float
    below: float
    above: float

    @property
    def _share(self) -> float:
        """Probability of a value below the mode."""
        return self.below / (self.below + self.above)

    def cumulative(self, value: float) -> float:
        """Probability of a smaller value."""
        if value < self.mode:
            offset = (value - self.mode) / self.below
            return float(2.0 * self._share * ndtr(offset))
        offset = (self.mode - value) / self.above
        larger = 2.0 * (1.0 - self._share) * ndtr(offset)
        return float(1.0 - larger)

    def quantile(self, level: np.ndarray) -> np.ndarray:
        """Values below which a share of the probability lies."""
        share = self._share
        lower_level = level / (2.0 * share)
        upper_level = (1.0 - level) / (2.0 * (1.0 - share))
        lower_offset = self.below * ndtri(np.minimum(lower_level, 0.5))
        upper_offset = self.above * ndtri(np.minimum(upper_level, 0.5))
        is_below = level < share
        return np.where(is_below, self.mode + lower_offset, self.mode - upper_offset)
