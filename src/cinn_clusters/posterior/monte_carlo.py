r"""Measurement errors by Monte Carlo: p(theta | o) = mean of p(theta | v) over v ~ p(v | o).

Realisations of the true observables v are drawn given the measured ones o, and each gives some of
the posterior samples. Errors that differ on both sides follow a two-piece normal distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from cinn_clusters.data.error_models.error_model import ErrorModel
from cinn_clusters.data.error_models.two_piece import mean_shift
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.posterior.contexts import Context
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.realisations import NUM_PROPOSALS, BoundedRow, resample
from cinn_clusters.rng import numpy_stream

SMALLEST_ERROR_RATIO = 0.01
"""Smallest error of one side in units of the other; none at all would leave no proposal."""


@dataclass(frozen=True)
class MonteCarlo(Posterior):
    """A posterior whose network sees exact observables only, averaged over what they may be.

    Args:
        num_realisations: Realisations of the true observables of each object.
        error_model: What else is known of the errors, for the rows of the file and the columns of
            ``MeasurementTransforms.optional``.
        rows: Rows of the file that are averaged, (M,); the others are conditioned on their errors.
            None: all.
        seed: Of the realisations, which samples, densities and modes share.

    References:
        Wallis 2014 (arXiv:1405.4995), on the two-piece normal distribution; Rubin 1988, Using the
        SIR algorithm to simulate posterior distributions.
    """

    num_realisations: int = 50
    error_model: ErrorModel = field(default_factory=ErrorModel)
    rows: np.ndarray | None = None
    seed: int = 0

    @property
    def num_contexts(self) -> int:
        """Realisations of each object, T."""
        return self.num_realisations

    def _conditions(self, query: Query, context: Context) -> Context:
        """Contexts of all realisations of n objects, (n T)."""
        x = context.x.repeat_interleave(self.num_realisations, 0)
        anchors = context.anchors.repeat_interleave(self.num_realisations, 0)
        is_realised = self.is_realised(query)
        realised = query.rows(np.flatnonzero(is_realised))
        realisations = self.realisations(
            realised, Sampling(self.num_realisations, self.seed)
        )
        contexts = self.context(realisations.reshape(-1, query.inputs.shape[1]))
        chosen = torch.from_numpy(np.repeat(is_realised, self.num_realisations))
        # Times since a collision are counted from the published redshift, wherever it is realised.
        is_time = [target.is_before_observation for target in self.transforms.targets]
        is_published = torch.tensor(is_time)
        published = anchors[chosen]
        anchors[chosen] = torch.where(is_published, published, contexts.anchors)
        x[chosen] = contexts.x
        return Context(x, anchors)

    def is_realised(self, query: Query) -> np.ndarray:
        """Which of n objects are averaged over realisations, (n,)."""
        if self.rows is None:
            return np.ones(len(query), dtype=bool)
        return np.asarray(self.rows[query.places])

    def _sample_batch(
        self, query: Query, context: Context, sampling: Sampling
    ) -> np.ndarray:
        """Samples (S, n, D); those of objects without realisations are as without this class."""
        is_realised = self.is_realised(query)
        if is_realised.all():
            return super()._sample_batch(query, context, sampling)
        shape = (sampling.num_samples, len(query), len(self.targets))
        samples = np.empty(shape, dtype=self.transforms.sample_dtype)
        index = np.flatnonzero(~is_realised)
        samples[:, index] = self._conditioned._sample_batch(
            query.rows(index), context.rows(torch.from_numpy(index)), sampling
        )
        index = np.flatnonzero(is_realised)
        if len(index):
            samples[:, index] = super()._sample_batch(
                query.rows(index), context.rows(torch.from_numpy(index)), sampling
            )
        return samples

    @cached_property
    def _conditioned(self) -> Posterior:
        """The posterior that is conditioned on the errors."""
        return Posterior(self.flow, self.transforms, self.device, self.recalibration)

    def realisations(self, query: Query, sampling: Sampling) -> np.ndarray:
        """Inputs of n objects, exact and complete, (n, T, L)."""
        transforms, errors = self._survey_transforms, self.error_model.at(query.places)
        noise = _noise(sampling, query.streams, len(transforms.scalars))
        realisations = np.stack(
            [
                transforms.sample_values(query.inputs, of_turn, errors.correlation)
                for of_turn in noise.swapaxes(0, 1)
            ],
            1,
        )
        num_objects = len(query)
        skewed = np.flatnonzero(errors.is_skewed(num_objects))
        if len(skewed):
            realisations[skewed] = self._skewed(query.rows(skewed), sampling)
        for number in np.flatnonzero(errors.is_bounded(num_objects)):
            index = np.array([number])
            row = BoundedRow(
                transforms,
                query.inputs[number],
                errors.at(index),
                query.rows(index).streams[0],
            )
            realisations[number] = row.draw(noise[number], sampling)
        return realisations

    def _skewed(self, query: Query, sampling: Sampling) -> np.ndarray:
        """Inputs (n, T, L) of objects whose errors differ on both sides."""
        transforms, two_sided = self._survey_transforms, self.error_model.two_sided
        assert two_sided is not None
        values = two_piece(transforms, query, two_sided[:, query.places], sampling)
        embeddings = transforms.embeddings(query.inputs)
        of_turns = values.swapaxes(0, 1)
        inputs = [transforms.exact_inputs(turn, embeddings) for turn in of_turns]
        return np.stack(inputs, 1)

    @property
    def _survey_transforms(self) -> MeasurementTransforms:
        transforms = self.transforms
        assert isinstance(transforms, MeasurementTransforms)
        return transforms


def _noise(sampling: Sampling, streams: Sequence[int], width: int) -> np.ndarray:
    """Gaussian noise (n, T, L) of n objects, each with a stream of its own."""
    shape = (sampling.num_samples, width)
    generators = [numpy_stream(sampling.seed, "truths", stream) for stream in streams]
    return np.stack([generator.standard_normal(shape) for generator in generators])


def two_piece(
    transforms: MeasurementTransforms,
    query: Query,
    errors: np.ndarray,
    sampling: Sampling,
) -> np.ndarray:
    """Draw true observables whose errors differ on both sides of the measured value.

    The likelihood joins two halves of normals at the measured value. Proposals given the larger
    error of each value are weighted by the ratio of the likelihoods and resampled.

    Args:
        transforms: Transforms of the model.
        query: N objects.
        errors: Errors below and above the values [dex], (2, N, len(transforms.optional)).
        sampling: Number of realisations T, and seed.

    Returns:
        True observables as the maps take them (logarithms), (N, T, L).
    """
    width = len(transforms.scalars)
    num_samples = sampling.num_samples
    values, below, above, larger = _raw_errors(transforms, query.inputs, errors)
    prior = transforms.scalar_prior(transforms.prior, query.inputs)
    mean, covariance = prior.condition(values, larger)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.maximum(eigenvalues, 0.0))
    root = vectors * deviations[:, None, :]
    shape = (NUM_PROPOSALS * num_samples, width)
    result = np.empty((len(query), num_samples, width))
    for row, number in enumerate(query.streams):
        stream = numpy_stream(sampling.seed, "two-piece", number)
        noise = stream.standard_normal(shape)
        scatter = noise @ root[row].T
        proposals = mean[row] + scatter

        # the likelihoods differ where the errors of both sides do
        differs = below[row] != above[row]
        low = below[row, differs]
        high = above[row, differs]
        wide = larger[row, differs]
        all_offsets = proposals - values[row]
        offset = all_offsets[:, differs]
        scale = np.where(offset < 0.0, low, high)
        precision = scale**-2.0 - wide**-2.0
        squares = offset**2 * precision
        log_weight = -0.5 * squares.sum(1)

        result[row] = proposals[resample(log_weight, num_samples, stream)]
    return result


def _raw_errors(
    transforms: MeasurementTransforms, inputs: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Modes, errors below, above and the larger of both, as the maps take them, (N, L) each.

    The inputs hold the mean of each true value, the mode of the likelihood is the measured one.
    """
    larger = errors.max(0)
    below, above = np.maximum(errors, SMALLEST_ERROR_RATIO * larger)

    def raw(of_side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = inputs.copy()
        columns[:, len(transforms.names) :] = of_side
        return transforms.raw_values(columns)

    means, raw_larger = raw(larger)
    _, raw_below = raw(below)
    _, raw_above = raw(above)
    stated = np.stack([raw(of_side)[1] for of_side in errors])
    is_missing = np.isinf(stated).any(0)
    shift = mean_shift(np.where(is_missing, 0.0, stated))
    return means - shift, raw_below, raw_above, raw_larger
