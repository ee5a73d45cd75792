"""A trained encoder of X-ray maps: kept as a bundle, applied to any map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.data.embeddings import ENCODER
from cinn_clusters.embed.backbones import Sharpened, make_backbone
from cinn_clusters.embed.encode import encode
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.files import atomic_directory, demand_free, write_json
from cinn_clusters.settings.embedding import EmbedConfig
from cinn_clusters.storage.map_store import MapStore

VECTORS, COMPONENTS, NAMES = "embeddings.npy", "components.npy", "filenames.npy"
KIND = "encoder of X-ray maps"
WIDTH_TOLERANCE = 0.05
"""Relative: encoders are trained with a zoom of so much."""


@dataclass(frozen=True)
class Encoder:
    """A trained encoder.

    Args:
        backbone: Inputs (N, 1, H, H) to vectors (N, F).
        size: H.
        offset: (F,).
        projection: (F, C); ``(vectors - offset) @ projection`` are the components.
        info: Where it comes from.
    """

    backbone: Sharpened
    size: int
    offset: np.ndarray
    projection: np.ndarray
    info: dict[str, Any]

    def vectors(self, log_brightness: np.ndarray) -> np.ndarray:
        """Vectors (N, F) of maps (N, H, W) of log10 surface brightness."""
        return encode(self.backbone, as_inputs(log_brightness, self.size))

    def components(self, vectors: np.ndarray) -> np.ndarray:
        """Principal components (N, C) of vectors (N, F)."""
        return np.asarray((vectors - self.offset) @ self.projection)


def load_encoder(path: str | Path) -> Encoder:
    """Read an encoder.

    Raises:
        BundleError: If it is missing, damaged or no encoder.
    """
    bundle = read_bundle(path)
    if bundle.info.get("kind") != KIND:
        raise BundleError(
            str(path), f"an {KIND}", "another model", "", "make one with cinn-clusters embed train"
        )
    config = EmbedConfig.model_validate(bundle.info["config"])
    backbone = make_backbone(config.embed.backbone, config.seed)
    weights = {
        name[len("backbone.") :]: value
        for name, value in bundle.tensors.items()
        if name.startswith("backbone.")
    }
    backbone.load_state_dict(weights)
    offset, projection = (bundle.tensors[name].numpy() for name in ("offset", "projection"))
    return Encoder(backbone.eval(), config.embed.size, offset, projection, bundle.info)


def write_encoder(out: Path, encoder: Encoder, overwrite: bool) -> None:
    """Write an encoder as a bundle.

    Raises:
        OutputError: If the file is taken or cannot be written.
    """
    tensors = {f"backbone.{name}": value for name, value in encoder.backbone.state_dict().items()}
    tensors |= {
        "offset": torch.tensor(encoder.offset),
        "projection": torch.tensor(encoder.projection),
    }
    write_bundle(out, encoder.info, tensors, overwrite=overwrite)


def encode_maps(
    encoder: Encoder, store: MapStore, out: str | Path, *, overwrite: bool = False
) -> Path:
    """Write the vectors of maps: ``embeddings.npy``, ``components.npy``, ``filenames.npy``, ``encoder.json``.

    Args:
        encoder: A trained encoder.
        store: Maps.
        out: Folder to make.
        overwrite: Replace embeddings that stand there.

    Returns:
        The folder.

    Raises:
        DataError: If the encoder was trained on maps of another variant or another half side.
        OutputError: If the folder is taken or cannot be written.
    """
    out = Path(out)
    demand_free(out, overwrite)
    _demand_alike(encoder.info, store)
    vectors = encoder.vectors(store.values)
    names = np.array(store.table.filename, dtype=str)
    arrays = {
        VECTORS: vectors,
        COMPONENTS: encoder.components(vectors).astype(np.float32),
        NAMES: names,
    }
    with atomic_directory(out, overwrite=overwrite, markers=(VECTORS,)) as scratch:
        for name, values in arrays.items():
            with (scratch / name).open("wb") as stream:
                np.save(stream, values, allow_pickle=False)
        told = ("config", "clusters", "cluster_column", "table_sha256", "source")
        write_json(
            scratch / ENCODER, {key: encoder.info[key] for key in told if key in encoder.info}
        )
    return out


def _demand_alike(info: dict[str, Any], store: MapStore) -> None:
    """Maps of an unknown scale (0) pass: pictures do not tell it."""
    if info.get("variant", store.variant) != store.variant:
        hint = f"pass --variant {info['variant']}"
        raise DataError(
            store.source,
            f"{info['variant']} maps, as in the encoder's training",
            store.variant,
            "",
            hint,
        )
    trained = info.get("half_width_r500", 0.0)
    if trained and store.half_width and abs(store.half_width / trained - 1.0) > WIDTH_TOLERANCE:
        raise DataError(
            store.source,
            f"maps of {trained:g} R500 to each side, as in the encoder's training",
            f"{store.half_width:g} R500",
            "",
            f"cut them anew with --half-width {trained:g}",
        )
