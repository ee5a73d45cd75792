r"""Selection probability P(a collision is recorded | x), on which every posterior is conditional.

A calibrated classifier: an ensemble of small networks, trained with cross-entropy and stopped each
on clusters of its own, whose probabilities are averaged. It sees scalars only, since rows without
a recorded collision have no embedding in training.
"""

from __future__ import annotations

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
        x_of_members = x.expand(_NUM_MEMBERS, -1, -1)  # (K, N, F)
        self.network.eval()
        with torch.no_grad():
            logits: Tensor = self.network(x_of_members)
        of_members = torch.sigmoid(logits.squeeze(-1)).double()
        probability: np.ndarray = of_members.mean(0).numpy()
        return probability


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
    x = _augmented_features(transforms, inputs, seed)  # (C, N, F)
    label = torch.from_numpy(np.asarray(is_recorded, dtype=np.float32))
    is_held_out = _held_out_masks(clusters, seed)  # (K, N)

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        copy = torch.randint(_NUM_COPIES, rows.shape, generator=generator)
        logits = network(x[copy, rows])  # (K, B, 1)
        losses = _cross_entropy(logits, label[rows])
        return losses.mean(1)

    def held_out_loss() -> Tensor:
        losses = []
        # the same copies for every member, so that their losses compare
        for copy in x[:_NUM_HELD_OUT_COPIES]:
            logits = network(copy.expand(_NUM_MEMBERS, -1, -1))
            losses.append(_cross_entropy(logits, label))
        mean = torch.stack(losses).mean(0)  # (K, N)
        of_members = map(torch.masked_select, mean, is_held_out)
        means = [member_losses.mean() for member_losses in of_members]
        return torch.stack(means)

    train_rows = [torch.nonzero(~mask).flatten() for mask in is_held_out]
    objective = TrainingObjective(batch_loss, held_out_loss, train_rows)
    state = start(network, _NUM_MEMBERS, _OPTIONS)
    for _ in epochs(network, objective, _OPTIONS, state, seed):
        pass  # network and state change in place
    load_best(network, state)
    return classifier


def _augmented_features(
    transforms: MeasurementTransforms, inputs: np.ndarray, seed: int
) -> Tensor:
    """Features (C, N, F) of augmented copies of the scalars."""
    rng = numpy_stream(seed, "recorded corruption")
    scalars = transforms.without_embedding(inputs)
    features = []
    for _ in range(_NUM_COPIES):
        augmented = transforms.augment(scalars, rng)
        features.append(transforms.standardise_inputs(augmented))
    return torch.stack(features).float()


def _held_out_masks(clusters: np.ndarray, seed: int) -> Tensor:
    """Rows (K, N) that each member holds out: those of a tenth of the clusters."""
    rng = numpy_stream(seed, "recorded groups")
    names = rng.permutation(np.unique(clusters))
    groups = np.array_split(names, _NUM_MEMBERS)
    masks = [np.isin(clusters, group) for group in groups]
    return torch.from_numpy(np.stack(masks))


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy (K, B) of logits (K, B, 1) and labels (B,) or (K, B)."""
    expanded = label.expand(logits.shape[:-1])
    return nn.functional.binary_cross_entropy_with_logits(
        logits[..., 0], expanded, reduction="none"
    )
