"""Training of an encoder: Lightning runs the loop and the machines, everything random comes from named streams.

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


@dataclass(frozen=True)
class MapSet:
    """Maps in memory.

    Args:
        maps: Inputs in [0, 1], (N, 1, H, H).
        clusters: Number of the cluster of each, (N,).
        labels: What is known of each, (N, C); empty for self-supervised methods.
        partners: A random other projection of the same snapshot is among these rows, (N, P - 1);
            (N, 0) without.
    """

    maps: Tensor
    clusters: Tensor
    labels: Tensor
    partners: Tensor


@dataclass
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
    """A method, its data and its optimiser.

    Args:
        method: What is trained.
        data: Maps to learn from.
        config: Settings of views and training.
        progress: Where to go on from.
        on_epoch: Called after each epoch.
    """

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
        self.done = progress.epoch if progress else 0
        self.register_buffer(
            "record", torch.full((self.options.epochs,), torch.nan, dtype=torch.float64)
        )
        if progress:
            self.record[: self.done] = torch.tensor(progress.history)
        self.start, self.on_epoch = progress, on_epoch
        self.losses: list[Tensor] = []
        self.steps = len(data.maps) // self.options.batch

    @property
    def history(self) -> list[float]:
        """Mean loss of each epoch done; a buffer holds it, which comes back from other
        processes.
        """
        return [float(loss) for loss in self.record if not math.isnan(loss)]

    def training_step(self, rows: Tensor, step: int) -> Tensor:
        """Loss of a batch of row numbers (B,)."""
        rank = self.global_rank if self.options.devices > 1 else 0
        epoch = self.done + self.current_epoch
        generator = torch_stream(self.seed, "views", epoch, step, rank)
        first, second = self._pair(rows, generator)
        views = [make_view(maps, self.views, generator).to(self.device) for maps in (first, second)]
        views = views[: self.method.num_views]
        known = (self.data.clusters[rows].to(self.device), self.data.labels[rows].to(self.device))
        with seeded(self.seed, "loss", epoch, step, rank):  # of dropout
            loss = self.method.loss(views, *known)
        if not torch.isfinite(loss):
            raise TrainingError("training", "a finite loss", f"{float(loss)}", f"epoch {epoch + 1}")
        self.losses.append(loss.detach())
        return loss

    def _pair(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Maps to look at: twice the same, or two projections of one snapshot, (B, 1, H, H)
        each.
        """
        others = rows
        if self.options.positives == "projections" and self.data.partners.shape[1]:
            choice = torch.randint(self.data.partners.shape[1], (len(rows),), generator=generator)
            others = self.data.partners[rows, choice]
        return self.data.maps[rows], self.data.maps[others]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Set the learning rate of this step, take it, move momentum encoders."""
        total = self.options.epochs * self.steps
        now = (self.done + self.current_epoch) * self.steps + args[1]
        warmup = max(1.0, self.options.warmup * total)
        share = now / total
        rate = min(1.0, (now + 1) / warmup) * 0.5 * (1.0 + math.cos(math.pi * share))
        for group in args[2].param_groups:
            group["lr"] = self.options.learning_rate * rate
        super().optimizer_step(*args, **kwargs)
        self.method.after_step(share)

    def on_train_epoch_end(self) -> None:
        """Keep the mean loss and tell where the training stands."""
        mean = torch.stack(self.losses).mean()
        if self.options.devices > 1:
            mean = self.all_gather(mean).mean()  # type: ignore[union-attr]
        self.record[self.done + self.current_epoch] = mean
        self.losses.clear()
        if self.on_epoch is not None and self.global_rank == 0:
            self.on_epoch(self.progress())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, with its moments where a training goes on."""
        trained = [parameter for parameter in self.method.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(
            trained, lr=self.options.learning_rate, weight_decay=self.options.weight_decay
        )
        if self.start is not None:
            _load_moments(optimiser, self.start.moments)
        return optimiser

    def train_dataloader(self) -> DataLoader[int]:
        """Batches of row numbers, in an order of each epoch's own."""
        sampler = _Order(len(self.data.maps), self)
        share = self.options.batch // self.options.devices
        rows: Any = torch.arange(len(self.data.maps))
        return DataLoader(rows, batch_size=share, sampler=sampler, drop_last=True)

    def progress(self) -> LearningState:
        """Where the training stands."""
        optimiser: Any = self.optimizers(use_pl_optimizer=False)
        moments = {
            f"{number}.{name}": value.clone()
            for number, state in optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }
        weights = {name: value.detach().clone() for name, value in self.method.state_dict().items()}
        return LearningState(len(self.history), weights, moments, self.history)


class _Order(Sampler[int]):
    """Every process its share of a permutation that depends on seed and epoch."""

    def __init__(self, num: int, learner: Learner) -> None:
        self.num, self.learner = num, learner

    def __iter__(self) -> Iterator[int]:
        options = self.learner.options
        epoch = self.learner.done + self.learner.current_epoch
        order = torch.randperm(self.num, generator=torch_stream(self.learner.seed, "order", epoch))
        rank = self.learner.global_rank if options.devices > 1 else 0
        return iter(order[: self.learner.steps * options.batch][rank :: options.devices].tolist())

    def __len__(self) -> int:
        return self.learner.steps * self.learner.options.batch // self.learner.options.devices


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
        method: What is trained.
        data: Maps to learn from.
        config: Settings of views and training.
        progress: Where to go on from.
        on_epoch: Called after each epoch with all that is needed to go on from there.

    Returns:
        Mean loss of each epoch.

    Raises:
        TrainingError: If there are fewer maps than a batch holds, or a loss is not finite.
    """
    options = config.embed
    if len(data.maps) < options.batch:
        raise TrainingError(
            "maps",
            f"at least one batch of {options.batch}",
            f"{len(data.maps)} in training",
            "",
            "pass --set embed.batch=64",
        )
    if progress is not None:
        method.load_state_dict(progress.weights)
    learner = Learner(method, data, config, progress, on_epoch)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its tips are not for our users
    trainer = lightning.Trainer(
        max_epochs=options.epochs - learner.done,
        accelerator=options.accelerator,
        devices=options.devices,
        strategy="ddp_spawn" if options.devices > 1 else "auto",
        precision=options.precision,
        sync_batchnorm=options.devices > 1
        and options.accelerator != "cpu",  # torch has none for processors
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if options.epochs > learner.done:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about workers it would like to have
            trainer.fit(learner)
    return learner.history


def _load_moments(optimiser: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    state = optimiser.state_dict()
    state["state"] = {}
    for key, value in moments.items():
        number, name = key.split(".", 1)
        state["state"].setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(state)
