"""The benchmark of the original: point predictions by an ensemble of MLPs, all members trained
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from cinn_clusters.nn.stacked import StackedBatchNorm, StackedLinear
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.config import OptimiserConfig
from cinn_clusters.training.fit import Objective, epochs, load_best, start

Loss = Callable[[Tensor, Tensor], Tensor]
"""(prediction, truth) -> loss of each element."""


@dataclass(frozen=True)
class EnsembleOptions:
    """The published configuration, but for the batch, which is not told.

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


@dataclass(frozen=True)
class Ensemble:
    """A trained ensemble.

    Args:
        network: Maps standardised x (K, N, L) to standardised targets (K, N, D).
        x_moments: Mean and standard deviation of the observables, (2, L).
        theta_moments: Those of the targets, (2, D).
        history: Phase, epoch, training and validation loss (means over members).
    """

    network: nn.Sequential
    x_moments: np.ndarray
    theta_moments: np.ndarray
    history: tuple[tuple[int, int, float, float], ...] = ()

    def predict_members(self, x: np.ndarray) -> np.ndarray:
        """Prediction of each member, (K, N, D), catalogue units, for observables (N, L)."""
        num_members = next(self.network.parameters()).shape[0]
        inputs = torch.tensor((x - self.x_moments[0]) / self.x_moments[1]).float()
        with torch.no_grad():
            outputs = self.network(inputs.expand(num_members, -1, -1))
        return np.asarray(outputs.double().numpy() * self.theta_moments[1] + self.theta_moments[0])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Median of the members, (N, D), catalogue units, for observables (N, L)."""
        return np.asarray(np.median(self.predict_members(x), axis=0))


def make_network(num_inputs: int, num_outputs: int, options: EnsembleOptions) -> nn.Sequential:
    """Hidden layers of Linear without bias, BatchNorm, ReLU, then a Linear, for all members."""
    generator = torch_stream(options.seed, "mlp weights")
    layers: list[nn.Module] = []
    for before, after in pairwise((num_inputs, *options.hidden)):
        layers += [
            StackedLinear(options.members, before, after, generator, has_bias=False),
            StackedBatchNorm(options.members, after),
            nn.ReLU(),
        ]
    return nn.Sequential(
        *layers, StackedLinear(options.members, options.hidden[-1], num_outputs, generator)
    )


def fit_ensemble(
    x: np.ndarray,
    theta: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    options: EnsembleOptions | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Ensemble:
    """Train on squared errors, then on absolute ones from the best state of the first phase.

    Columns are standardised by their moments over the training rows, as they stand in the
    catalogue.

    Args:
        x: Observables, (N, L).
        theta: Targets, (N, D).
        train: Rows to learn from.
        validation: Rows that decide which state is kept.
        options: The published configuration when absent.
        on_progress: Called after each epoch.

    Returns:
        The ensemble, each member in the state of its lowest validation loss of the second phase.

    Raises:
        TrainingError: If a loss is not finite.
    """
    options = options or EnsembleOptions()
    x_moments, theta_moments = _moments(x[train]), _moments(theta[train])
    inputs = torch.tensor((x - x_moments[0]) / x_moments[1]).float()
    truth = torch.tensor((theta - theta_moments[0]) / theta_moments[1]).float()
    network = make_network(x.shape[1], theta.shape[1], options)
    history: list[tuple[int, int, float, float]] = []
    for phase, loss in enumerate((_squared, _absolute)):
        for epoch, train_loss, held_out in _descend(
            network, inputs, truth, train, validation, loss, phase, options
        ):
            history.append((phase + 1, epoch, train_loss, held_out))
            on_progress(Progress(len(history), sum(options.epochs), "baseline"))
    return Ensemble(network.eval(), x_moments, theta_moments, tuple(history))


def _descend(
    network: nn.Sequential,
    inputs: Tensor,
    truth: Tensor,
    train: np.ndarray,
    validation: np.ndarray,
    loss: Loss,
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
    held_out = torch.as_tensor(validation).expand(options.members, -1)

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return loss(network(inputs[rows]), truth[rows]).mean((1, 2))

    def held_out_loss() -> Tensor:
        return loss(network(inputs[held_out]), truth[held_out]).mean((1, 2))

    train_rows = [torch.as_tensor(train)] * options.members
    objective = Objective(batch_loss, held_out_loss, train_rows)
    state = start(network, options.members, config)
    for _ in epochs(network, objective, config, state, options.seed + phase):
        yield state.history[-1]
    load_best(network, state)


def _squared(prediction: Tensor, truth: Tensor) -> Tensor:
    return (prediction - truth).square()


def _absolute(prediction: Tensor, truth: Tensor) -> Tensor:
    return (prediction - truth).abs()


def _moments(values: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of columns (N, C), (2, C); a constant column keeps its scale."""
    spread = values.std(0)
    return np.stack([values.mean(0), np.where(spread > 0, spread, 1.0)])
