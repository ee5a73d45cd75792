"""Gradient descent for K stacked members at once: knows losses and parameters, not their meaning.

Every parameter carries the member axis first and members never mix, so that the sum of the members'
losses trains each of them alone. Epoch e draws from streams named by e: a run resumed after epoch e
is the uninterrupted run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cinn_clusters.errors import TrainingError
from cinn_clusters.progress import Progress
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.config import OptimiserConfig


@dataclass(frozen=True, eq=False)
class TrainingObjective:
    """What is lowered.

    Args:
        batch_loss: Training loss of each member (K,), given row numbers (K, B) and a generator.
        held_out_loss: Loss of each member (K,) on held-out rows, evaluation mode, no gradient.
        train_rows: Row numbers of each member, K tensors; where their lengths differ, each epoch
            leaves out a few.
    """

    batch_loss: Callable[[Tensor, torch.Generator], Tensor]
    held_out_loss: Callable[[], Tensor]
    train_rows: Sequence[Tensor]


@dataclass(eq=False)
class FitState:
    """All that a run needs to go on: epochs done, optimiser, best weights so far and the history.

    ``best`` maps parameter names to the weights with which each member did best; ``best_loss`` and
    ``best_epoch`` are (K,). ``history`` has one row an epoch: epoch, train, validation (means over
    members).
    """

    optimiser: torch.optim.AdamW
    best: dict[str, Tensor]
    best_loss: Tensor
    best_epoch: Tensor
    epoch: int = 0
    history: list[tuple[int, float, float]] = field(default_factory=list)

    def progress(self, num_epochs: int, name: str) -> Progress:
        """Return how far a training has come, with the losses of its last epoch."""
        _, train_loss, held_out_loss = self.history[-1]
        note = f"loss train {train_loss:.3f} held out {held_out_loss:.3f}"
        return Progress(self.epoch, num_epochs, name, note)


def member_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of the members by name, detached but not copied.

    All carry the member axis first; buffers of whole numbers (permutations) belong to the
    architecture.
    """
    return {
        name: value
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }


def start(model: nn.Module, num_members: int, config: OptimiserConfig) -> FitState:
    """Return the state before the first epoch."""
    parameters = list(model.parameters())
    rate, decay = config.learning_rate, config.weight_decay
    device = parameters[0].device
    is_fused = device.type == "cpu"  # one pass over memory for all of a step
    optimiser = torch.optim.AdamW(
        parameters, lr=rate, weight_decay=decay, fused=is_fused, foreach=not is_fused
    )
    best = {name: value.clone() for name, value in member_tensors(model).items()}
    best_loss = torch.full((num_members,), math.inf, device=device)
    best_epoch = torch.zeros(num_members, dtype=torch.long, device=device)
    return FitState(optimiser, best, best_loss, best_epoch)


def epochs(
    model: nn.Module,
    objective: TrainingObjective,
    config: OptimiserConfig,
    state: FitState,
    seed: int,
) -> Iterator[FitState]:
    """Train epoch by epoch, yielding the state after each; the caller shows, stores or stops.

    Args:
        model: Module whose parameters all carry the member axis first; changed in place.
        objective: Losses and rows.
        config: How the loss is lowered.
        state: From ``start`` or a checkpoint; changed in place.
        seed: Seed of batches, dropout and noise.

    Yields:
        The state, after each epoch.

    Raises:
        TrainingError: When a loss is not finite.
    """
    while state.epoch < config.epochs and not _is_exhausted(state, config):
        epoch = state.epoch + 1
        _set_rate(state.optimiser, config, epoch)
        generator = torch_stream(seed, "epoch", epoch)
        train = _train_epoch(model, objective, config, state, generator)
        model.eval()
        with torch.no_grad():
            held_out = objective.held_out_loss()
        _demand_finite(held_out, "held-out loss", epoch)
        _keep_best(model, state, held_out, epoch)
        state.epoch = epoch
        state.history.append((epoch, train, float(held_out.mean())))
        yield state


def load_best(model: nn.Module, state: FitState) -> None:
    """Put the best weights of each member into the model."""
    weights = member_tensors(model)
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(state.best[name])


def _train_epoch(
    model: nn.Module,
    objective: TrainingObjective,
    config: OptimiserConfig,
    state: FitState,
    generator: torch.Generator,
) -> float:
    """Take one step for each batch and return the mean loss over rows and members."""
    model.train()
    parameters = list(model.parameters())
    epoch = state.epoch + 1
    order = _shuffled(objective.train_rows, generator)
    total, num_rows = 0.0, 0
    for rows in order.split(config.batch, dim=1):  # (K, B)
        losses = objective.batch_loss(rows, generator)  # (K,)
        _demand_finite(losses, "training loss", epoch)

        # the gradient of the sum holds that of each member, since members never mix
        state.optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        _clip_members(parameters, config.clip)
        state.optimiser.step()

        mean = float(losses.detach().mean())
        batch = rows.shape[1]
        total += mean * batch
        num_rows += batch
    return total / num_rows


def _shuffled(train_rows: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Rows of each member in another order, (K, N), as many as the shortest has."""
    num_rows = min(map(len, train_rows))
    shuffled = []
    for rows in train_rows:
        order = torch.randperm(len(rows), generator=generator)[:num_rows]
        shuffled.append(rows[order.to(rows.device)])
    return torch.stack(shuffled)


def _set_rate(
    optimiser: torch.optim.Optimizer, config: OptimiserConfig, epoch: int
) -> None:
    rate = config.learning_rate
    if config.schedule == "cosine":
        # Loshchilov & Hutter 2017, eq. 5, without restarts
        phase = math.pi * (epoch - 1) / config.epochs
        rate *= 0.5 * (1.0 + math.cos(phase))
    for group in optimiser.param_groups:
        group["lr"] = rate


def _clip_members(parameters: list[nn.Parameter], limit: float) -> None:
    """Scale the gradient of each member to a norm of at most the limit."""
    gradients = [
        parameter.grad for parameter in parameters if parameter.grad is not None
    ]
    of_parameters = [
        torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients
    ]
    norms = torch.linalg.vector_norm(torch.stack(of_parameters), dim=0)  # (K,)
    if bool((norms <= limit).all()):
        return
    factor = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        ones = (1,) * (gradient.ndim - 1)
        of_members = factor.view(-1, *ones)
        gradient.mul_(of_members)


def _keep_best(model: nn.Module, state: FitState, held_out: Tensor, epoch: int) -> None:
    is_better = held_out < state.best_loss  # (K,)
    state.best_loss = torch.minimum(held_out, state.best_loss)
    state.best_epoch[is_better] = epoch
    weights = member_tensors(model)
    with torch.no_grad():
        for name, value in weights.items():
            best = state.best[name]
            best[is_better] = value[is_better]


def _is_exhausted(state: FitState, config: OptimiserConfig) -> bool:
    """Whether no member has done better for as many epochs as patience says; 0 waits for ever."""
    if not config.patience:
        return False
    last_gain = int(state.best_epoch.max())
    return state.epoch >= last_gain + config.patience


def _demand_finite(losses: Tensor, subject: str, epoch: int) -> None:
    if torch.isfinite(losses).all():
        return
    hint = "lower train.learning_rate or train.clip, and look for outliers in the table"
    got = str(losses.detach().tolist())
    raise TrainingError(subject, "a finite value", got, f"epoch {epoch}", hint)
