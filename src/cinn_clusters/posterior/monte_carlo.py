"""Errors of the observables by Monte Carlo: true values are drawn given the measured ones, each
gives some draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cinn_clusters.data.measurement import UncertainTransforms
from cinn_clusters.posterior.posterior import POINTS_A_BATCH, Posterior
from cinn_clusters.rng import numpy_stream, stream_seed

PROPOSALS = 10
"""Proposals a true value where errors differ on both sides."""
SMALLEST_SIDE = 0.01
"""Smallest error of one side in that of the other; none at all would leave no proposal."""


@dataclass(frozen=True)
class MonteCarlo(Posterior):
    """A posterior whose network never hears of errors: p(theta | o) = mean of p(theta | v) over v ~ p(v | o).

    Args:
        num_truths: True values drawn an object.
        sides: Errors below and above the values [dex], (2, rows of the catalogue, columns of
            ``UncertainTransforms.uncertain``), found by place; None: those of the inputs hold for
            both.

    References:
        Wallis 2014 (arXiv:1405.4995), on the two-piece normal distribution; Rubin 1988, Using the
        SIR algorithm to simulate posterior distributions.
    """

    num_truths: int = 50
    sides: np.ndarray | None = None

    def sample_batches(
        self,
        inputs: np.ndarray,
        num_draws: int = 1000,
        *,
        seed: int = 0,
        places: np.ndarray | None = None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (slice of objects, draws (S, n, D) float32); arguments and errors as
        ``Posterior.sample_batches``.
        """
        transforms = self.transforms
        assert isinstance(transforms, UncertainTransforms)
        self.context(inputs)  # refuses what cannot be answered
        places = np.arange(len(inputs)) if places is None else places
        each = -(-num_draws // self.num_truths)
        step = max(1, POINTS_A_BATCH // num_draws)
        for begin in range(0, len(inputs), step):
            objects = slice(begin, min(begin + step, len(inputs)))
            parts = []
            for number, truths in enumerate(
                self._truths(transforms, inputs[objects], seed, places[objects])
            ):
                parts.append(
                    self._draw(
                        self.context(truths),
                        each,
                        stream_seed(seed, "truth", number),
                        places[objects],
                    )
                )
            yield objects, np.concatenate(parts)[:num_draws]

    def _truths(
        self, transforms: UncertainTransforms, inputs: np.ndarray, seed: int, places: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yield true values of all objects, as inputs, ``num_truths`` times."""
        noise = self._noise(seed, places, len(transforms.names))
        skewed = np.zeros(len(inputs), dtype=bool)
        if self.sides is not None:
            below, above = self.sides[:, places]
            skewed = (below != above).any(1)
            chosen = two_piece(
                transforms,
                inputs[skewed],
                below[skewed],
                above[skewed],
                self.num_truths,
                seed,
                places[skewed],
            )
        for number in range(self.num_truths):
            truths = transforms.plausible(inputs, noise[:, number])
            if skewed.any():
                truths[skewed] = transforms.exact(chosen[:, number])
            yield truths

    def _noise(self, seed: int, places: np.ndarray, width: int) -> np.ndarray:
        """Noise of some objects, (n, T, L): it depends on the seed and the place in the
        catalogue only.
        """
        shape = (self.num_truths, width)
        return np.stack(
            [numpy_stream(seed, "truths", int(place)).standard_normal(shape) for place in places]
        )


def two_piece(
    transforms: UncertainTransforms,
    inputs: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    num_truths: int,
    seed: int,
    places: np.ndarray,
) -> np.ndarray:
    """Draw true values where errors differ on both sides: two halves of normals that meet at the measured value.

    Proposals given the larger error of each value are weighted by what they are too far on its
    other side, and drawn again by these weights.

    Args:
        transforms: Of the model.
        inputs: Values and errors, (N, len(transforms.inputs)).
        below: Errors below the values [dex], (N, len(transforms.uncertain)).
        above: Errors above.
        num_truths: Number of true values, T.
        seed: Seed; draws depend on it and on the place only.
        places: Row of each object in its catalogue, (N,).

    Returns:
        True values as logarithms, (N, T, L).
    """
    width = len(transforms.names)
    values, low, high, large = _errors(transforms, inputs, below, above)
    mean, covariance = transforms.prior.given(values, large)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))[:, None, :]
    result = np.empty((len(inputs), num_truths, width))
    for row, place in enumerate(places):
        stream = numpy_stream(seed, "two-piece", int(place))
        drawn = mean[row] + stream.standard_normal((PROPOSALS * num_truths, width)) @ root[row].T
        off, differs = drawn - values[row], low[row] != high[row]
        side = np.where(off < 0.0, low[row], high[row])[:, differs]
        log_weight = -0.5 * (off[:, differs] ** 2 * (side**-2.0 - large[row, differs] ** -2.0)).sum(
            1
        )
        total = np.cumsum(np.exp(log_weight - log_weight.max()))
        marks = (np.arange(num_truths) + stream.random()) / num_truths * total[-1]
        result[row] = drawn[np.searchsorted(total, marks)]
    return result


def _errors(
    transforms: UncertainTransforms, inputs: np.ndarray, below: np.ndarray, above: np.ndarray
) -> list[np.ndarray]:
    """Values, errors below, above and the larger of both, as logarithms, (N, L) each."""
    floor, given = SMALLEST_SIDE * np.maximum(below, above), []
    for errors in (np.maximum(below, floor), np.maximum(above, floor), np.maximum(below, above)):
        stated = inputs.copy()
        stated[:, len(transforms.names) :] = errors
        values, in_logs = transforms.measured(stated)
        given.append(in_logs)
    return [values, *given]
