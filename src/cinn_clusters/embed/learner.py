"""Training of an encoder: Lightning runs the loop and the machines.

Epoch e draws order and views from streams named by e: a training resumed after it is the
uninterrupted one.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from cinn_clusters.embed.method import Method, seeded
from cinn_clusters.embed.views import make_view
from cinn_clusters.errors import TrainingError
from cinn_clusters.rng import stream_seed, torch_stream
from cinn_clusters.settings.embedding import EmbedConfig


@dataclass(frozen=True, eq=False)
class MapSet:
    """Maps in memory.

    Args:
        maps: Inputs in [0, 1], (N, 1, H, H).
        clusters: Number of the cluster of each, (N,).
        labels: Ground truth of each, (N, C); empty for self-supervised methods.
        partners: Rows of the other projections of the same snapshot, (N, P - 1); (N, 0) without.
    """

    maps: Tensor
    clusters: Tensor
    labels: Tensor
    partners: Tensor


@dataclass(frozen=True, eq=False)
class LearningState:
    """All that a training needs to go on.

    Args:
        epoch: Epochs done.
        weights: Parameters and buffers of the method.
        moments: State of the optimiser by parameter number and name.
        history: Mean loss of each epoch.
    """

    epoch: int
    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    history: list[float]


OnEpoch = Callable[[LearningState], None]


class Learner(lightning.LightningModule):
    """A method, its data and its optimiser; arguments as those of ``learn``."""

    record: Tensor

    def __init__(
        self,
        method: Method,
        data: MapSet,
        config: EmbedConfig,
        progress: LearningState | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        super().__init__()
        self.method, self.data, self.views = method, data, config.method.views
        self.options, self.seed = config.embed, stream_seed(config.seed, "embed")
        self.start, self.on_epoch = progress, on_epoch
        record = torch.full((self.options.epochs,), torch.nan, dtype=torch.float64)
        self.register_buffer("record", record)
        self.done = 0
        if progress is not None:
            self.done = progress.epoch
            self.record[: self.done] = torch.tensor(progress.history)
        self.losses: list[Tensor] = []
        self.steps = len(data.maps) // self.options.batch

    @property
    def history(self) -> list[float]:
        """Mean loss of each epoch done; a buffer comes back from other processes."""
        return [float(loss) for loss in self.record if not math.isnan(loss)]

    @property
    def epoch(self) -> int:
        """Number of the epoch under way, from zero; Lightning counts from where it went on."""
        return self.done + self.current_epoch

    @property
    def rank(self) -> int:
        """Number of this process."""
        return self.global_rank * (self.options.devices > 1)

    def training_step(self, rows: Tensor, step: int) -> Tensor:
        """Loss of a batch of row numbers (B,)."""
        generator = torch_stream(self.seed, "views", self.epoch, step, self.rank)
        pair = self._pair(rows, generator)
        views = [
            make_view(maps, self.views, generator).to(self.device) for maps in pair
        ]
        views = views[: self.method.num_views]
        clusters = self.data.clusters[rows].to(self.device)
        labels = self.data.labels[rows].to(self.device)
        with seeded(self.seed, "loss", self.epoch, step, self.rank):  # of dropout
            loss = self.method.loss(views, clusters, labels)
        if not torch.isfinite(loss):
            epoch = f"epoch {self.epoch + 1}"
            raise TrainingError("training", "a finite loss", f"{float(loss)}", epoch)
        self.losses.append(loss.detach())
        return loss

    def _pair(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Maps (B, 1, H, H) of which views are made: twice the same, or two projections."""
        partners = self.data.partners
        second = rows
        if self.options.positives == "projections" and partners.shape[1]:
            choice = torch.randint(partners.shape[1], (len(rows),), generator=generator)
            second = partners[rows, choice]
        return self.data.maps[rows], self.data.maps[second]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Set the learning rate of this step, take it, move momentum encoders."""
        num_steps = self.options.epochs * self.steps
        step = self.epoch * self.steps + args[1]
        share = step / num_steps
        warmup = max(1.0, self.options.warmup * num_steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * share))
        for group in args[2].param_groups:
            group["lr"] = (
                self.options.learning_rate * min(1.0, (step + 1) / warmup) * cosine
            )
        super().optimizer_step(*args, **kwargs)
        self.method.after_step(share)

    def on_train_epoch_end(self) -> None:
        """Record the mean loss and pass on the state."""
        mean = torch.stack(self.losses).mean()
        if self.options.devices > 1:
            mean = self.all_gather(mean).mean()  # type: ignore[union-attr]
        self.record[self.epoch] = mean
        self.losses.clear()
        if self.on_epoch is not None and self.global_rank == 0:
            self.on_epoch(self.state())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, with its moments where a training goes on."""
        trained = [
            parameter
            for parameter in self.method.parameters()
            if parameter.requires_grad
        ]
        rate, decay = self.options.learning_rate, self.options.weight_decay
        optimiser = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
        if self.start is not None:
            _load_moments(optimiser, self.start.moments)
        return optimiser

    def train_dataloader(self) -> DataLoader[int]:
        """Batches of row numbers, in another order each epoch."""
        share = self.options.batch // self.options.devices
        rows: Any = torch.arange(len(self.data.maps))
        return DataLoader(rows, batch_size=share, sampler=_Order(self), drop_last=True)

    def state(self) -> LearningState:
        """Return all that is needed to go on from here."""
        optimiser: Any = self.optimizers(use_pl_optimizer=False)
        moments = {
            f"{number}.{name}": value.clone()
            for number, state in optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }
        weights = {
            name: value.detach().clone()
            for name, value in self.method.state_dict().items()
        }
        return LearningState(len(self.history), weights, moments, self.history)


class _Order(Sampler[int]):
    """The share of this process of a permutation that depends on seed and epoch."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def __iter__(self) -> Iterator[int]:
        learner = self.learner
        generator = torch_stream(learner.seed, "order", learner.epoch)
        order = torch.randperm(len(learner.data.maps), generator=generator)
        whole_batches = order[: learner.steps * learner.options.batch]
        return iter(whole_batches[learner.rank :: learner.options.devices].tolist())

    def __len__(self) -> int:
        return (
            self.learner.steps
            * self.learner.options.batch
            // self.learner.options.devices
        )


def learn(
    method: Method,
    data: MapSet,
    config: EmbedConfig,
    *,
    progress: LearningState | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[float]:
    """Train a method in place.

    Args:
        method: Method that is trained.
        data: Maps to learn from.
        config: Settings of views and training.
        progress: State to go on from.
        on_epoch: Called after each epoch with all that is needed to go on from there.

    Returns:
        Mean loss of each epoch.

    Raises:
        TrainingError: If there are fewer maps than a batch holds, or a loss is not finite.
    """
    options = config.embed
    if len(data.maps) < options.batch:
        expected, got = (
            f"at least one batch of {options.batch}",
            f"{len(data.maps)} in training",
        )
        raise TrainingError("maps", expected, got, "", "pass --set embed.batch=64")
    if progress is not None:
        method.load_state_dict(progress.weights)
    learner = Learner(method, data, config, progress, on_epoch)
    if options.epochs == learner.done:
        return learner.history
    logging.getLogger("lightning.pytorch").setLevel(
        logging.ERROR
    )  # its tips are not for our users
    strategy, is_parallel = "auto", options.devices > 1
    if is_parallel:
        strategy = "ddp_spawn"
    trainer = lightning.Trainer(
        max_epochs=options.epochs - learner.done,
        accelerator=options.accelerator,
        devices=options.devices,
        strategy=strategy,
        precision=options.precision,
        sync_batchnorm=is_parallel
        and options.accelerator != "cpu",  # torch has none for the CPU
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about workers it would like to have
        trainer.fit(learner)
    return learner.history


def _load_moments(optimiser: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    by_parameter: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        number, name = key.split(".", 1)
        by_parameter.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": by_parameter})
