r"""Selection probability P(a collision is recorded | x), on which every posterior is conditional.

A calibrated classifier: an ensemble of small networks, trained with cross-entropy and stopped each
on clusters of its own, whose probabilities are averaged. It sees scalars only, since rows without
a recorded collision have no embedding in training.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.nn.stacked import NetworkShape, stacked_mlp
from cinn_clusters.rng import numpy_stream, torch_stream
from cinn_clusters.settings.config import OptimiserConfig
from cinn_clusters.training.fit import TrainingObjective, epochs, load_best, start

_NUM_MEMBERS, _NUM_HIDDEN, _NUM_COPIES, _NUM_HELD_OUT_COPIES = 10, 16, 100, 8
_OPTIONS = OptimiserConfig(epochs=40, batch=64, patience=0)


@dataclass(frozen=True, eq=False)
class SelectionClassifier:
    """Ensemble of networks that tells rows with a recorded collision from those without.

    Args:
        network: Features (K, N, F) to logits (K, N, 1).
        transforms: Transforms of the posterior.
    """

    network: nn.Sequential
    transforms: MeasurementTransforms

    def probability(self, inputs: np.ndarray) -> np.ndarray:
        """P(recorded) of objects, (N,), from values and errors (N, len(transforms.inputs))."""
        scalars = self.transforms.without_embedding(inputs)
        x = self.transforms.standardise_inputs(scalars).float()
        with torch.no_grad():
            logits: Tensor = self.network.eval()(x.expand(_NUM_MEMBERS, -1, -1))
        probabilities = torch.sigmoid(logits[..., 0]).double()
        return probabilities.mean(0).numpy()


def make_classifier(
    transforms: MeasurementTransforms, seed: int = 42
) -> SelectionClassifier:
    """Make an untrained classifier."""
    shape = NetworkShape(_NUM_MEMBERS, (_NUM_HIDDEN,), zero_last=True)
    generator = torch_stream(seed, "recorded")
    network = stacked_mlp(shape, transforms.num_features, 1, generator)
    return SelectionClassifier(network, transforms)


def fit_classifier(
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    is_recorded: np.ndarray,
    clusters: np.ndarray,
    *,
    seed: int = 42,
) -> SelectionClassifier:
    """Train on rows with and without a recorded collision, augmented as for the posterior.

    Args:
        transforms: Transforms of the posterior.
        inputs: Inputs of the rows, (N, len(transforms.inputs)).
        is_recorded: Whether a collision is recorded, (N,) bool.
        clusters: Cluster of each row, (N,); every member holds a group of clusters out.
        seed: Seed of weights, groups and augmentation.

    Returns:
        The classifier.

    Raises:
        TrainingError: If the loss is not finite.
    """
    classifier = make_classifier(transforms, seed)
    network = classifier.network
    rng = numpy_stream(seed, "recorded corruption")
    scalars = transforms.without_embedding(inputs)
    copies = [transforms.augment(scalars, rng) for _ in range(_NUM_COPIES)]
    x = torch.stack([transforms.standardise_inputs(copy) for copy in copies]).float()
    label = torch.from_numpy(np.asarray(is_recorded, dtype=np.float32))
    order = numpy_stream(seed, "recorded groups").permutation(np.unique(clusters))
    groups = np.array_split(order, _NUM_MEMBERS)
    held_out = [np.flatnonzero(np.isin(clusters, group)) for group in groups]
    train_rows = [np.setdiff1d(np.arange(len(inputs)), rows) for rows in held_out]

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        copy = torch.randint(_NUM_COPIES, rows.shape, generator=generator)
        return _cross_entropy(network(x[copy, rows]), label[rows]).mean(1)

    def held_out_loss() -> Tensor:
        features = x[:_NUM_HELD_OUT_COPIES, None].expand(-1, _NUM_MEMBERS, -1, -1)
        losses = [_cross_entropy(network(copy), label) for copy in features]
        loss = torch.stack(losses).mean(0)
        of_members = [loss[k, rows].mean() for k, rows in enumerate(held_out)]
        return torch.stack(of_members)

    state = start(network, _NUM_MEMBERS, _OPTIONS)
    objective = TrainingObjective(
        batch_loss, held_out_loss, [torch.from_numpy(rows) for rows in train_rows]
    )
    deque(epochs(network, objective, _OPTIONS, state, seed), maxlen=0)
    load_best(network, state)
    return classifier


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy (K, B) of logits (K, B, 1) and labels (B,) or (K, B)."""
    expanded = label.expand(logits.shape[:-1])
    return nn.functional.binary_cross_entropy_with_logits(
        logits[..., 0], expanded, reduction="none"
    )
