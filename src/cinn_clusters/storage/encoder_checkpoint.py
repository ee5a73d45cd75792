"""State of the training of an encoder, stored as a bundle: complete or absent, hashed, no pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.embed.learner import LearningState
from cinn_clusters.errors import BundleError
from cinn_clusters.files import JsonObject
from cinn_clusters.settings.embedding import EmbedConfig

_CHECKPOINT_KIND = "checkpoint of an encoder"


@dataclass(frozen=True)
class LearningTask:
    """What an encoder is trained on, and how: one task ends in one encoder.

    Args:
        config: Settings.
        data_sha256: Hash of rows and maps.
    """

    config: EmbedConfig
    data_sha256: str

    def facts(self) -> JsonObject:
        """Return what a checkpoint says of its task."""
        config = self.config.model_dump(mode="json")
        return {
            "kind": _CHECKPOINT_KIND,
            "config": config,
            "data_sha256": self.data_sha256,
        }


def write_learning_state(path: Path, state: LearningState, task: LearningTask) -> None:
    """Write a checkpoint in place of the last one.

    Raises:
        OutputError: If it cannot be written.
    """
    tensors = {f"weights.{name}": value for name, value in state.weights.items()}
    tensors |= {f"moments.{name}": value for name, value in state.moments.items()}
    tensors["history"] = torch.tensor(state.history, dtype=torch.float64)
    write_bundle(path, task.facts(), tensors, overwrite=True)


def read_learning_state(path: Path, task: LearningTask) -> LearningState:
    """Read a checkpoint.

    Raises:
        BundleError: If there is none, it is damaged, or it is of other settings or data.
    """
    if not path.is_dir():
        hint = "train without --resume"
        raise BundleError(path, "a checkpoint to go on from", "none", "", hint)
    bundle = read_bundle(path)
    if bundle.info != task.facts():
        expected = "the checkpoint of this run, these maps and these settings"
        hint = (
            "go on with the line it was started with, or pass --overwrite to start anew"
        )
        raise BundleError(path, expected, "another's", "", hint)
    history = bundle.tensors.pop("history").tolist()
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}}
    for name, value in bundle.tensors.items():
        part, key = name.split(".", 1)
        parts[part][key] = value
    return LearningState(len(history), parts["weights"], parts["moments"], history)
