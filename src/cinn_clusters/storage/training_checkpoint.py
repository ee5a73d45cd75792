"""The whole state of a training under way in one file, replaced atomically.

A training that was killed goes on from it as if it had not been.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from cinn_clusters.bundle import pack_tensors, rebuilding
from cinn_clusters.documents import demand_regular, reason
from cinn_clusters.errors import BundleError
from cinn_clusters.files import atomic_file
from cinn_clusters.training.fit import FitState, member_tensors

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_WHOLE, _ANEW = "a whole checkpoint", "pass --overwrite to start anew"


def write_checkpoint(
    path: Path, model: nn.Module, state: FitState, identity: str
) -> None:
    """Write the state after an epoch; a kill at any moment leaves the last whole one.

    Args:
        path: The file.
        model: Weights after ``state.epoch`` epochs.
        state: The rest.
        identity: Hash of table and settings: a run with another may not resume it.
    """
    tensors: dict[str, Tensor] = {
        "best_loss": state.best_loss,
        "best_epoch": state.best_epoch,
    }
    for name, value in member_tensors(model).items():
        tensors[f"weight/{name}"] = value
        tensors[f"best/{name}"] = state.best[name]
    for name, parameter in model.named_parameters():
        for moment in _MOMENTS:
            tensors[f"{moment}/{name}"] = state.optimiser.state[parameter][moment]
    notes = {
        "identity": identity,
        "epoch": str(state.epoch),
        "history": json.dumps(state.history),
    }
    with atomic_file(path) as scratch:
        scratch.write_bytes(pack_tensors(tensors, notes))


def read_checkpoint(
    path: Path, model: nn.Module, state: FitState, identity: str
) -> None:
    """Put a stored state into a fresh model and state.

    Raises:
        BundleError: If the file is damaged or belongs to another run.
    """
    notes, tensors = _read(path, state.best_loss.device)
    if notes.get("identity") != identity:
        expected = "the checkpoint of this table and these settings"
        hint = "resume with the settings it was started with, or pass --overwrite to start anew"
        raise BundleError(path, expected, "another run's", "", hint)
    with rebuilding(path, _WHOLE, _ANEW):
        _fill(model, state, tensors)
        state.epoch = int(notes["epoch"])
        state.history = [tuple(losses) for losses in json.loads(notes["history"])]
        if len(state.history) != state.epoch:
            raise ValueError(f"{len(state.history)} losses of {state.epoch} epochs")


def _fill(model: nn.Module, state: FitState, tensors: dict[str, Tensor]) -> None:
    """Put weights, moments of the optimiser and the best of each member in their places."""
    with torch.no_grad():
        for name, value in member_tensors(model).items():
            value.copy_(_like(value, tensors, f"weight/{name}"))
            state.best[name].copy_(_like(value, tensors, f"best/{name}"))
    for name, parameter in model.named_parameters():
        moments = {
            moment: _like(parameter, tensors, f"{moment}/{name}")
            for moment in _MOMENTS[:2]
        }
        step = tensors[f"step/{name}"]
        moments["step"] = _like(torch.tensor(0.0), {"step": step.cpu()}, "step")
        state.optimiser.state[parameter] = moments
    state.best_loss = _like(state.best_loss, tensors, "best_loss")
    state.best_epoch = _like(state.best_epoch, tensors, "best_epoch")


def _like(model: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    """Return a stored tensor that has the shape and the type of another."""
    stored = tensors[name]
    if (stored.shape, stored.dtype) != (model.shape, model.dtype):
        raise ValueError(f"'{name}' of {stored.dtype} and shape {tuple(stored.shape)}")
    return stored


def _read(path: Path, device: torch.device) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        demand_regular(path)
        with safe_open(path, framework="pt", device=str(device)) as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            return stored.metadata() or {}, tensors
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(path, _WHOLE, reason(error), "", _ANEW) from error
