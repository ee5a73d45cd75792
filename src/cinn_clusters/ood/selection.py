"""P(a collision is recorded | x): the posterior is conditional on it, so it is told beside the
posterior.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.nn.stacked import stacked_mlp
from cinn_clusters.rng import numpy_stream, torch_stream
from cinn_clusters.training.fit import FitOptions, epochs, load_best, start

NUM_MEMBERS, NUM_HIDDEN, NUM_COPIES = 10, 16, 100
OPTIONS = FitOptions(epochs=40, batch=64, learning_rate=3e-3, schedule="cosine", weight_decay=0.1)


@dataclass(frozen=True)
class Recorded:
    """A calibrated classifier: an ensemble of small networks whose probabilities are averaged.

    Args:
        network: Features (K, N, F) to logits (K, N, 1).
        transforms: Those of the posterior.
    """

    network: nn.Sequential
    transforms: MeasurementTransforms

    def probability(self, inputs: np.ndarray) -> np.ndarray:
        """P(recorded) of objects, (N,), given values and errors (N, len(transforms.inputs))."""
        x = self.transforms.standardise_inputs(inputs).float()
        with torch.no_grad():
            logits: Tensor = self.network.eval()(x.expand(NUM_MEMBERS, -1, -1))
        return np.asarray(torch.sigmoid(logits[..., 0]).double().mean(0).numpy())


def make_recorded(transforms: MeasurementTransforms, seed: int = 42) -> Recorded:
    """Make an untrained classifier."""
    sizes = (transforms.num_features, NUM_HIDDEN, 1)
    return Recorded(
        stacked_mlp(NUM_MEMBERS, sizes, torch_stream(seed, "recorded"), zero_last=True), transforms
    )


def fit_recorded(
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    is_recorded: np.ndarray,
    clusters: np.ndarray,
    *,
    seed: int = 42,
) -> Recorded:
    """Train on rows with and without a recorded collision, values missing and errors added as for the posterior.

    Each member trains without a group of clusters of its own and stops on it.

    Args:
        transforms: Those of the posterior.
        inputs: Exact values, (N, len(transforms.inputs)).
        is_recorded: (N,) bool.
        clusters: Cluster of each row, (N,).
        seed: Seed of weights, groups and corruption.

    Returns:
        The classifier.

    Raises:
        TrainingError: If the loss is not finite.
    """
    recorded = make_recorded(transforms, seed)
    rng = numpy_stream(seed, "recorded corruption")
    x = torch.stack(
        [transforms.standardise_inputs(transforms.augment(inputs, rng)) for _ in range(NUM_COPIES)]
    ).float()
    answer = torch.from_numpy(np.asarray(is_recorded, dtype=np.float32))
    groups = np.array_split(
        numpy_stream(seed, "recorded groups").permutation(np.unique(clusters)), NUM_MEMBERS
    )
    held_out = [np.flatnonzero(np.isin(clusters, group)) for group in groups]
    train_rows = [torch.from_numpy(np.setdiff1d(np.arange(len(inputs)), rows)) for rows in held_out]

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        copy = torch.randint(NUM_COPIES, rows.shape, generator=generator)
        return _loss(recorded.network(x[copy, rows]), answer[rows]).mean(1)

    def held_out_loss() -> Tensor:
        losses = [
            _loss(recorded.network(copy.expand(NUM_MEMBERS, -1, -1)), answer) for copy in x[:8]
        ]
        total = torch.stack(losses).mean(0)
        return torch.stack([total[k, rows].mean() for k, rows in enumerate(held_out)])

    state = start(recorded.network, NUM_MEMBERS, OPTIONS)
    deque(epochs(recorded.network, batch_loss, held_out_loss, train_rows, OPTIONS, state), maxlen=0)
    load_best(recorded.network, state)
    return recorded


def _loss(logits: Tensor, answer: Tensor) -> Tensor:
    """Cross-entropy of logits (K, B, 1) and answers (B,) or (K, B); (K, B)."""
    own = answer.expand(logits.shape[:-1])
    return nn.functional.binary_cross_entropy_with_logits(logits[..., 0], own, reduction="none")
