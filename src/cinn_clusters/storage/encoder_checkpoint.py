"""State of the training of an encoder, stored as a bundle: complete or absent, hashed, no pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.embed.learner import LearningState
from cinn_clusters.errors import BundleError
from cinn_clusters.settings.embedding import EmbedConfig

_CHECKPOINT_KIND = "checkpoint of an encoder"


def write_learning_state(path: Path, state: LearningState, config: EmbedConfig) -> None:
    """Write a checkpoint in place of the last one.

    Raises:
        OutputError: If it cannot be written.
    """
    tensors = {f"weights.{name}": value for name, value in state.weights.items()}
    tensors |= {f"moments.{name}": value for name, value in state.moments.items()}
    tensors["history"] = torch.tensor(state.history, dtype=torch.float64)
    write_bundle(path, _info(config), tensors, overwrite=True)


def read_learning_state(path: Path, config: EmbedConfig) -> LearningState:
    """Read a checkpoint.

    Raises:
        BundleError: If there is none, it is damaged, or it is of other settings.
    """
    if not path.is_dir():
        hint = "train without --resume"
        raise BundleError(path, "a checkpoint to go on from", "none", "", hint)
    bundle = read_bundle(path)
    facts = {name: bundle.info.get(name) for name in ("kind", "config")}
    if facts != _info(config):
        hint = "pass the same --config and --set"
        raise BundleError(path, "the settings of this training", "others", "", hint)
    history = bundle.tensors.pop("history").tolist()
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}}
    for name, value in bundle.tensors.items():
        part, key = name.split(".", 1)
        parts[part][key] = value
    return LearningState(len(history), parts["weights"], parts["moments"], history)


def _info(config: EmbedConfig) -> dict[str, object]:
    return {"kind": _CHECKPOINT_KIND, "config": config.model_dump(mode="json")}
