"""Errors of the observables by Monte Carlo: true values are drawn given the measured ones, each gives some draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cinn_clusters.data.uncertain import UncertainTransforms
from cinn_clusters.posterior.posterior import POINTS_A_BATCH, Posterior
from cinn_clusters.rng import numpy_stream, stream_seed


@dataclass(frozen=True)
class MonteCarlo(Posterior):
    """A posterior whose network never hears of errors: p(theta | o) = mean of p(theta | v) over v ~ p(v | o).

    Args:
        num_truths: True values drawn an object.
    """

    num_truths: int = 50

    def sample_batches(
        self, inputs: np.ndarray, num_draws: int = 1000, *, seed: int = 0, places: np.ndarray | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (slice of objects, draws (S, n, D) float32); arguments and errors as ``Posterior.sample_batches``."""
        transforms = self.transforms
        assert isinstance(transforms, UncertainTransforms)
        self.context(inputs)  # refuses what cannot be answered
        places = np.arange(len(inputs)) if places is None else places
        each = -(-num_draws // self.num_truths)
        step = max(1, POINTS_A_BATCH // num_draws)
        for begin in range(0, len(inputs), step):
            objects = slice(begin, min(begin + step, len(inputs)))
            noise = self._noise(seed, places[objects], len(transforms.names))
            parts = []
            for number in range(self.num_truths):
                truths = transforms.plausible(inputs[objects], noise[:, number])
                parts.append(
                    self._draw(self.context(truths), each, stream_seed(seed, "truth", number), places[objects])
                )
            yield objects, np.concatenate(parts)[:num_draws]

    def _noise(self, seed: int, places: np.ndarray, width: int) -> np.ndarray:
        """Noise of some objects, (n, T, L): it depends on the seed and the place in the catalogue only."""
        shape = (self.num_truths, width)
        return np.stack([numpy_stream(seed, "truths", int(place)).standard_normal(shape) for place in places])
