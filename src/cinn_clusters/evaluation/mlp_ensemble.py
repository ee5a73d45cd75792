"""The benchmark of the original: point predictions by an ensemble of MLPs, trained at once.

Each member minimises squared errors, then absolute ones; the median over members predicts. Moments
over the training rows standardise all columns; a missing value stands at its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from cinn_clusters.data.split import Split
from cinn_clusters.files import JsonObject
from cinn_clusters.moments import FAR, binary_units, without_far_values
from cinn_clusters.nn.stacked import StackedBatchNorm, StackedLinear
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.config import OptimiserConfig
from cinn_clusters.training.fit import TrainingObjective, epochs, load_best, start

_ROWS_A_PASS = 64
"""Rows whose hidden units fit the cache of a core."""


@dataclass(frozen=True)
class EnsembleOptions:
    """The published configuration, but for the batch, which was not published.

    Args:
        members: Networks; the median of their predictions counts.
        hidden: Units of each of the three hidden layers.
        batch: Rows a step.
        epochs: Passes at most, with squared and then with absolute errors.
        learning_rates: Adam steps of both phases.
        patience: Epochs without a better validation loss of any member before a phase ends.
        seed: Seed of weights and batches.
    """

    members: int = 7
    hidden: tuple[int, ...] = (256, 256, 256)
    batch: int = 256
    epochs: tuple[int, int] = (100, 50)
    learning_rates: tuple[float, float] = (1e-3, 5e-4)
    patience: int = 20
    seed: int = 42

    @classmethod
    def from_json(cls, values: JsonObject) -> EnsembleOptions:
        """Inverse of ``asdict`` after a way through JSON."""
        return TypeAdapter(cls).validate_python(values)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A trained ensemble.

    Args:
        network: Maps standardised x (K, N, L) to standardised targets (K, N, D).
        x_moments: Mean and standard deviation of the observables, (2, L).
        theta_moments: Mean and standard deviation of the targets, (2, D).
        history: Phase, epoch, training and validation loss (means over members).
    """

    network: nn.Sequential
    x_moments: np.ndarray
    theta_moments: np.ndarray
    history: tuple[tuple[int, int, float, float], ...] = ()

    def predict_members(self, x: np.ndarray) -> np.ndarray:
        """Prediction of each member, (K, N, D), in catalogue units, for observables (N, L)."""
        num_members = next(self.network.parameters()).shape[0]
        inputs = _standardised(x, self.x_moments)
        of_members = inputs.expand(num_members, -1, -1)
        with torch.no_grad():
            outputs = [self.network(rows) for rows in of_members.split(_ROWS_A_PASS, 1)]
        mean, deviation = self.theta_moments
        predicted = torch.cat(outputs, 1).double().numpy()
        return np.asarray(predicted * deviation + mean)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Median of the members, (N, D), in catalogue units, for observables (N, L)."""
        return np.asarray(np.median(self.predict_members(x), axis=0))


def make_network(
    num_inputs: int, num_outputs: int, options: EnsembleOptions
) -> nn.Sequential:
    """Hidden layers of Linear without bias, BatchNorm, ReLU, then a Linear, for all members."""
    generator = torch_stream(options.seed, "mlp weights")
    layers: list[nn.Module] = []
    for before, after in pairwise((num_inputs, *options.hidden)):
        linear = StackedLinear(
            options.members, before, after, generator, has_bias=False
        )
        layers += [linear, StackedBatchNorm(options.members, after), nn.ReLU()]
    last = StackedLinear(options.members, options.hidden[-1], num_outputs, generator)
    return nn.Sequential(*layers, last)


def fit_ensemble(
    x: np.ndarray,
    theta: np.ndarray,
    split: Split,
    options: EnsembleOptions | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Ensemble:
    """Train on squared errors, then on absolute ones from the best state of the first phase.

    Args:
        x: Observables, (N, L); NaN where a value is missing.
        theta: Targets, (N, D).
        split: Rows to learn from, and rows that decide which state is kept.
        options: The published configuration when absent.
        on_progress: Called after each epoch.

    Returns:
        The ensemble, each member in the state of its lowest validation loss of the second phase.

    Raises:
        TrainingError: If a loss is not finite.
    """
    options = options or EnsembleOptions()
    x_moments = _moments(x[split.train])
    theta_moments = _moments(theta[split.train])
    inputs = _standardised(x, x_moments)
    truth = _standardised(theta, theta_moments)
    network = make_network(x.shape[1], theta.shape[1], options)
    history: list[tuple[int, int, float, float]] = []
    num_epochs = sum(options.epochs)
    for phase, element_loss in enumerate((torch.square, torch.abs)):
        objective = _objective(network, inputs, truth, split, element_loss)
        for losses in _descend(network, objective, phase, options):
            history.append((phase + 1, *losses))
            progress = Progress(len(history), num_epochs, "baseline")
            on_progress(progress)
    return Ensemble(network.eval(), x_moments, theta_moments, tuple(history))


def _objective(
    network: nn.Sequential,
    inputs: Tensor,
    truth: Tensor,
    split: Split,
    element_loss: Callable[[Tensor], Tensor],
) -> TrainingObjective:
    """Mean loss of each member's errors on rows of training and validation."""
    num_members = next(network.parameters()).shape[0]
    train, validation = (
        torch.as_tensor(rows) for rows in (split.train, split.validation)
    )
    held_out = validation.expand(num_members, -1)

    def loss(rows: Tensor) -> Tensor:
        error = network(inputs[rows]) - truth[rows]
        return element_loss(error).mean((1, 2))

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return loss(rows)

    return TrainingObjective(batch_loss, lambda: loss(held_out), [train] * num_members)


def _descend(
    network: nn.Sequential,
    objective: TrainingObjective,
    phase: int,
    options: EnsembleOptions,
) -> Iterator[tuple[int, float, float]]:
    """One phase, epoch by epoch; leaves the best weights of each member in the network."""
    config = OptimiserConfig(
        epochs=options.epochs[phase],
        batch=options.batch,
        learning_rate=options.learning_rates[phase],
        schedule="constant",
        weight_decay=0.0,
        clip=1e9,
        patience=options.patience,
    )
    state = start(network, options.members, config)
    for _ in epochs(network, objective, config, state, options.seed + phase):
        yield state.history[-1]
    load_best(network, state)


def _moments(values: np.ndarray) -> np.ndarray:
    """Mean and standard deviation (2, C) of columns (N, C); a constant column keeps its scale.

    Values that are far off count in neither.
    """
    magnitudes = np.nan_to_num(np.abs(values))
    largest = magnitudes.max(axis=0)
    units = binary_units(largest)
    ordinary = without_far_values(values / units)
    deviation = np.nanstd(ordinary, axis=0) * units
    mean = np.nanmean(ordinary, axis=0) * units
    is_constant = ~(deviation > 0)
    scale = np.where(is_constant, 1.0, deviation)
    return np.stack([mean, scale])


def _standardised(values: np.ndarray, moments: np.ndarray) -> Tensor:
    """Values (N, C) in units of the moments; zero, the mean, where one is missing."""
    mean, deviation = moments
    scaled = np.clip((values - mean) / deviation, -FAR, FAR)
    return torch.tensor(np.where(np.isnan(values), 0.0, scaled)).float()
