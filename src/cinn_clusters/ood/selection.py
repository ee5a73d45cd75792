r"""Selection probability P(usable | x), on which every posterior is conditional: a history is used
in training where a collision is recorded and its mass was measured.

P(usable | x) = P(recorded | x) P(measured | recorded). The first factor is the mean over an
ensemble of small networks, P = mean_k sigmoid(a + b l_k(x)), trained with cross-entropy and stopped
each on clusters of its own; a and b are fitted on the clusters that each member held out (Platt
scaling). The second is one number: observables do not tell which collisions were measured
(``benchmarks/selection_probability.py``). The classifier sees scalars only, since rows without a
recorded collision have no embedding in training.

References:
    Platt 1999, Probabilistic outputs for support vector machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from cinn_clusters.bundle import read_arrays
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.files import JsonObject
from cinn_clusters.nn.stacked import NetworkShape, stacked_mlp
from cinn_clusters.rng import numpy_stream, torch_stream
from cinn_clusters.settings.config import OptimiserConfig
from cinn_clusters.training.fit import TrainingObjective, epochs, load_best, start

_NUM_MEMBERS, _NUM_HIDDEN, _NUM_COPIES, _NUM_HELD_OUT_COPIES = 10, 16, 100, 8
_ROWS_A_BLOCK = 64
"""Rows that matrix products take whole: what is left over is rounded in another way, so that an
answer would depend on the number of rows around it."""
_OPTIONS = OptimiserConfig(epochs=40, batch=64, patience=0)


@dataclass(frozen=True, eq=False)
class MergerRecord:
    """What the simulation recorded of N rows.

    Args:
        is_recorded: Whether a collision is recorded, (N,) bool.
        is_usable: Whether all of its parameters were measured, too, (N,) bool.
        clusters: Cluster of each row, (N,).
    """

    is_recorded: np.ndarray
    is_usable: np.ndarray
    clusters: np.ndarray

    def rows(self, index: np.ndarray) -> MergerRecord:
        """The same of some rows."""
        arrays = (self.is_recorded, self.is_usable, self.clusters)
        return MergerRecord(*[array[index] for array in arrays])

    @property
    def measured_share(self) -> float:
        """Share of the recorded collisions that were measured."""
        return float(self.is_usable[self.is_recorded].mean())


@dataclass(frozen=True)
class SelectionCalibration:
    """Platt scaling of a classifier, and the share of recorded collisions that are usable.

    Args:
        intercept: a of sigmoid(a + b logit).
        slope: b.
        measured_share: P(measured | recorded); NaN in models of before, which did not ask.
    """

    intercept: float = 0.0
    slope: float = 1.0
    measured_share: float = np.nan

    def to_dict(self) -> JsonObject:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> SelectionCalibration:
        """Inverse of ``to_dict``."""
        numbers = read_arrays(values, dict.fromkeys(asdict(cls()), ""))
        return cls(**{name: float(number) for name, number in numbers.items()})


UNCALIBRATED = SelectionCalibration()


@dataclass(frozen=True, eq=False)
class SelectionClassifier:
    """Ensemble of networks that tells rows with a recorded collision from those without.

    Args:
        network: Features (K, N, F) to logits (K, N, 1).
        transforms: Transforms of the posterior.
        calibration: Platt scaling and share of measured collisions.
    """

    network: nn.Sequential
    transforms: MeasurementTransforms
    calibration: SelectionCalibration = UNCALIBRATED

    @property
    def is_of_usable(self) -> bool:
        """Whether it knows P(usable | x); a model of before knows P(recorded | x) only."""
        return bool(np.isfinite(self.calibration.measured_share))

    def record_probability(self, inputs: np.ndarray) -> np.ndarray:
        """P(recorded | x) of objects, (N,), from inputs (N, len(transforms.inputs))."""
        scalars = self.transforms.without_embedding(inputs)
        x = self.transforms.standardise_inputs(scalars).float()
        logits = _logits(self.network, x)
        scaled = self.calibration.intercept + self.calibration.slope * logits
        probabilities = expit(scaled.numpy())
        # member by member: numpy adds up a single row in another order
        total = sum(probabilities, np.zeros(len(x)))
        return total / len(probabilities)

    def probability(self, inputs: np.ndarray) -> np.ndarray:
        """P(usable | x) of objects, (N,); NaN where a model of before does not know it."""
        return self.record_probability(inputs) * self.calibration.measured_share


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
    record: MergerRecord,
    *,
    seed: int = 42,
) -> SelectionClassifier:
    """Train on rows with and without a recorded collision, augmented as for the posterior.

    Args:
        transforms: Transforms of the posterior.
        inputs: Inputs of the rows, (N, len(transforms.inputs)).
        record: What is recorded of them; every member holds a group of clusters out.
        seed: Seed of weights, groups and augmentation.

    Returns:
        The classifier, calibrated on the clusters that its members held out.

    Raises:
        TrainingError: If the loss is not finite.
    """
    classifier = make_classifier(transforms, seed)
    network = classifier.network
    x = _augmented_features(transforms, inputs, seed)  # (C, N, F)
    label = torch.from_numpy(np.asarray(record.is_recorded, dtype=np.float32))
    is_held_out = _held_out_masks(record.clusters, seed)  # (K, N)

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

    # as many rows without errors as with: both are asked of it
    scalars = transforms.without_embedding(inputs)
    exact = transforms.standardise_inputs(scalars).float()
    copies = [exact] * _NUM_HELD_OUT_COPIES + list(x[:_NUM_HELD_OUT_COPIES])
    intercept, slope = _platt_scaling(network, copies, label, is_held_out)
    calibration = SelectionCalibration(intercept, slope, record.measured_share)
    return SelectionClassifier(network, transforms, calibration)


def _platt_scaling(
    network: nn.Sequential, copies: list[Tensor], label: Tensor, is_held_out: Tensor
) -> tuple[float, float]:
    """Intercept and slope of a logistic regression on logits of members that held a row out."""
    from sklearn.linear_model import LogisticRegression

    rows = torch.arange(len(label))
    members = is_held_out.int().argmax(0)  # every row is held out once
    logits = [_logits(network, x)[members, rows] for x in copies]
    labels = label.repeat(len(copies))
    regression = LogisticRegression()  # its small ridge bears classes that separate
    features = torch.cat(logits).unsqueeze(1)
    regression.fit(features.numpy(), labels.numpy())
    (intercept,) = regression.intercept_
    ((slope,),) = regression.coef_
    return float(intercept), float(slope)


def _logits(network: nn.Sequential, x: Tensor) -> Tensor:
    """Logits (K, N), float64, of features (N, F)."""
    network.eval()
    num_rows = len(x)
    filled = nn.functional.pad(x, (0, 0, 0, -num_rows % _ROWS_A_BLOCK))
    with torch.no_grad():
        logits: Tensor = network(filled.expand(_NUM_MEMBERS, -1, -1))
    return logits[:, :num_rows, 0].double()


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
