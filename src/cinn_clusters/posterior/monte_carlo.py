r"""Measurement errors by Monte Carlo: p(theta | o) = mean of p(theta | v) over v ~ p(v | o).

Realisations of the true observables v are drawn given the measured ones o, and each gives some of
the posterior samples. Errors that differ on both sides follow a two-piece normal distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.two_piece import mean_shift
from cinn_clusters.posterior.density import Context
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.rng import numpy_stream

NUM_PROPOSALS = 10
"""Proposals for each realisation where errors differ on both sides."""
SMALLEST_ERROR_RATIO = 0.01
"""Smallest error of one side in units of the other; none at all would leave no proposal."""


@dataclass(frozen=True)
class MonteCarlo(Posterior):
    """A posterior whose network sees exact observables only, averaged over what they may be.

    Args:
        num_realisations: Realisations of the true observables of each object.
        two_sided: Errors below and above the values [dex], (2, rows of the file, columns of
            ``MeasurementTransforms.optional``), indexed by place; None: the errors among the inputs
            hold on both sides.
        seed: Of the realisations, which samples, densities and modes share.

    References:
        Wallis 2014 (arXiv:1405.4995), on the two-piece normal distribution; Rubin 1988, Using the
        SIR algorithm to simulate posterior distributions.
    """

    num_realisations: int = 50
    two_sided: np.ndarray | None = None
    seed: int = 0

    @property
    def num_contexts(self) -> int:
        """Realisations of each object, T."""
        return self.num_realisations

    def _conditions(self, query: Query, context: Context) -> Context:
        """Contexts of all realisations of n objects, (n T)."""
        realisations = self._realisations(
            query, Sampling(self.num_realisations, self.seed)
        )
        return self.context(realisations.reshape(-1, query.inputs.shape[1]))

    def _realisations(self, query: Query, sampling: Sampling) -> np.ndarray:
        """Inputs of n objects, exact and complete, (n, T, L)."""
        transforms = self.transforms
        assert isinstance(transforms, MeasurementTransforms)
        noise = _noise(sampling, query.streams, len(transforms.scalars))
        skewed = np.zeros(0, dtype=int)
        if self.two_sided is not None:
            errors = self.two_sided[:, query.places]
            skewed = np.flatnonzero((errors[0] != errors[1]).any(1))
            values = two_piece(
                transforms, query.rows(skewed), errors[:, skewed], sampling
            )
        realisations = []
        for number in range(sampling.num_samples):
            inputs = transforms.sample_values(query.inputs, noise[:, number])
            if len(skewed):
                embeddings = transforms.embeddings(query.inputs[skewed])
                inputs[skewed] = transforms.exact_inputs(values[:, number], embeddings)
            realisations.append(inputs)
        return np.stack(realisations, 1)


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

        # systematic resampling
        weight = np.exp(log_weight - log_weight.max())
        cumulative = np.cumsum(weight)
        levels = np.arange(num_samples) + stream.random()
        levels *= cumulative[-1] / num_samples
        chosen = np.searchsorted(cumulative, levels)
        result[row] = proposals[chosen]
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
    stated = np.stack([raw(of_side)[1] for of_side in errors])
    is_missing = np.isinf(stated).any(0)
    shift = mean_shift(np.where(is_missing, 0.0, stated))
    return means - shift, raw(below)[1], raw(above)[1], raw_larger
