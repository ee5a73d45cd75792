"""Where the training of an encoder stands, kept as a bundle: whole or not at all, hashed,
without a pickle.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.embed.learner import LearningState
from cinn_clusters.errors import BundleError
from cinn_clusters.settings.embedding import EmbedConfig

KIND = "checkpoint of an encoder"
AGAIN = "train without --resume"


def write_checkpoint(path: Path, state: LearningState, config: EmbedConfig) -> None:
    """Write a checkpoint in place of the last one.

    Raises:
        OutputError: If it cannot be written.
    """
    tensors = {f"weights.{name}": value for name, value in state.weights.items()}
    tensors |= {f"moments.{name}": value for name, value in state.moments.items()}
    tensors["history"] = torch.tensor(state.history, dtype=torch.float64)
    write_bundle(
        path, {"kind": KIND, "config": config.model_dump(mode="json")}, tensors, overwrite=True
    )


def read_checkpoint(path: Path, config: EmbedConfig) -> LearningState:
    """Read a checkpoint.

    Raises:
        BundleError: If there is none, it is damaged, or it is of other settings.
    """
    if not path.is_dir():
        raise BundleError(str(path), "a checkpoint to go on from", "none", "", AGAIN)
    bundle = read_bundle(path)
    if bundle.info.get("kind") != KIND or bundle.info.get("config") != config.model_dump(
        mode="json"
    ):
        raise BundleError(
            str(path),
            "the settings of this training",
            "others",
            "",
            "pass the same --config and --set",
        )
    history = bundle.tensors.pop("history").tolist()
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}}
    for name, value in bundle.tensors.items():
        part, key = name.split(".", 1)
        parts[part][key] = value
    return LearningState(len(history), parts["weights"], parts["moments"], history)
