"""A run that was killed goes on as if it had not been: all of a training state in one file,
replaced atomically.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from cinn_clusters.bundle import pack_tensors
from cinn_clusters.errors import BundleError
from cinn_clusters.files import atomic_file
from cinn_clusters.training.fit import FitState, member_tensors

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def write_checkpoint(
    path: Path, model: nn.Module, state: FitState, identity: str
) -> None:
    """Write the state after an epoch; a kill at any moment leaves the last whole one.

    Args:
        path: The file.
        model: Weights after ``state.epoch`` epochs.
        state: The rest.
        identity: What the run is (hash of table and settings): another one may not resume it.
    """
    tensors: dict[str, Tensor] = {
        "best_loss": state.best_loss,
        "best_epoch": state.best_epoch,
    }
    for name, value in member_tensors(model).items():
        tensors[f"weight/{name}"] = value
        tensors[f"best/{name}"] = state.best[name]
    for name, parameter in model.named_parameters():
        for moment in MOMENTS:
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
    notes, tensors = _read(path)
    if notes.get("identity") != identity:
        raise BundleError(
            str(path),
            "the checkpoint of this table and these settings",
            "another run's",
            "",
            "resume with the settings it was started with, or pass --overwrite to start anew",
        )
    device = state.best_loss.device
    with torch.no_grad():
        for name, value in member_tensors(model).items():
            value.copy_(tensors[f"weight/{name}"])
            state.best[name].copy_(tensors[f"best/{name}"])
        for name, parameter in model.named_parameters():
            moments = {moment: tensors[f"{moment}/{name}"] for moment in MOMENTS}
            state.optimiser.state[parameter] = {
                moment: value if moment == "step" else value.to(device)
                for moment, value in moments.items()
            }
    state.best_loss, state.best_epoch = (
        tensors["best_loss"].to(device),
        tensors["best_epoch"].to(device),
    )
    state.epoch = int(notes["epoch"])
    state.history = [
        (int(epoch), train, held_out)
        for epoch, train, held_out in json.loads(notes["history"])
    ]


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            return stored.metadata() or {}, {
                name: stored.get_tensor(name)
                for name in stored.keys()  # noqa: SIM118
            }
    except (SafetensorError, OSError) as error:
        raise BundleError(
            str(path),
            "a whole checkpoint",
            str(error),
            "",
            "pass --overwrite to start anew",
        ) from error
