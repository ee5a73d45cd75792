"""A trained encoder of X-ray maps: stored as a bundle, applied to any map."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.bundle import (
    INFO,
    Bundle,
    fill,
    pack_tensors,
    read_bundle,
    rebuilding,
    write_bundle,
)
from cinn_clusters.claims import reserving
from cinn_clusters.data.embeddings import ENCODER, ENCODER_HASH
from cinn_clusters.embed.backbones import Sharpened, make_backbone
from cinn_clusters.embed.encode import encode
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.files import Destination, JsonObject, atomic_directory, write_json
from cinn_clusters.settings.embedding import EmbedConfig
from cinn_clusters.settings.sections import validated
from cinn_clusters.storage.map_store import MapStore

VECTORS, COMPONENTS, NAMES = "embeddings.npy", "components.npy", "filenames.npy"
ENCODER_KIND = "encoder of X-ray maps"
_WIDTH_TOLERANCE = 0.05
"""Relative: encoders are trained with a zoom of so much."""
_PUBLISHED = ("config", "clusters", "cluster_column", "table_sha256", "source")
"""Facts of an encoder that go with its vectors."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A trained encoder: a network, and the principal axes of its vectors."""

    backbone: Sharpened  # from inputs (N, 1, H, H) to vectors (N, F)
    size: int  # pixels a side of the inputs, H
    offset: np.ndarray  # mean of the vectors, (F,)
    projection: np.ndarray  # principal axes, (F, C)
    info: JsonObject  # where it comes from

    def vectors(self, log_brightness: np.ndarray) -> np.ndarray:
        """Return vectors (N, F) of maps (N, H, W) of log10 surface brightness."""
        return encode(self.backbone, as_inputs(log_brightness, self.size))

    def components(self, vectors: np.ndarray) -> np.ndarray:
        """Return principal components (N, C) of vectors (N, F)."""
        return np.asarray((vectors - self.offset) @ self.projection)

    def tensors(self) -> dict[str, Tensor]:
        """Return weights and principal axes by name, as the bundle holds them."""
        weights = self.backbone.state_dict()
        tensors = {f"backbone.{name}": value for name, value in weights.items()}
        tensors["offset"] = torch.tensor(self.offset)
        tensors["projection"] = torch.tensor(self.projection)
        return tensors

    def sha256(self) -> str:
        """Return the hash of the tensors: vectors of equal hashes have one meaning."""
        return hashlib.sha256(pack_tensors(self.tensors())).hexdigest()


def load_encoder(path: str | Path) -> Encoder:
    """Read an encoder.

    Raises:
        BundleError: If it is missing, damaged or no encoder.
    """
    bundle = read_bundle(path)
    if bundle.info.get("kind") != ENCODER_KIND:
        hint = "make one with cinn-clusters embed train"
        raise BundleError(path, f"an {ENCODER_KIND}", "another model", "", hint)
    with rebuilding(path, f"an {ENCODER_KIND}"):
        _demand_facts(bundle.info)
        return _parse(bundle)


def _demand_facts(info: JsonObject) -> None:
    """Demand of the scale of the maps a number, of the training clusters names."""
    half_width, clusters = info.get("half_width_r500", 0.0), info.get("clusters", [])
    if not isinstance(half_width, float | int) or half_width < 0:
        raise ValueError(f"half_width_r500 {half_width!r}")
    if not all(isinstance(name, str | int) for name in clusters):
        raise ValueError("clusters that are no names")


def _parse(bundle: Bundle) -> Encoder:
    config = validated(EmbedConfig, bundle.info["config"], INFO)
    backbone = make_backbone(config.embed.backbone, config.seed)
    tensors = {
        name.removeprefix("backbone."): value for name, value in bundle.tensors.items()
    }
    offset, projection = (
        tensors.pop(name).numpy() for name in ("offset", "projection")
    )
    fill(backbone, tensors)
    width = backbone.num_features
    if offset.shape != (width,) or projection.ndim != 2 or len(projection) != width:
        shapes = f"{offset.shape} and {projection.shape}"
        raise ValueError(f"principal axes of shapes {shapes} for {width} features")
    return Encoder(backbone.eval(), config.embed.size, offset, projection, bundle.info)


def write_encoder(encoder: Encoder, destination: Destination) -> None:
    """Write an encoder as a bundle.

    Raises:
        OutputError: If the file is taken or cannot be written.
    """
    path, overwrite = destination.path, destination.overwrite
    write_bundle(path, encoder.info, encoder.tensors(), overwrite=overwrite)


@reserving()
def encode_maps(encoder: Encoder, store: MapStore, destination: Destination) -> Path:
    """Write the vectors of maps into a folder, and return it.

    It holds ``embeddings.npy``, ``components.npy``, ``filenames.npy`` and ``encoder.json``.

    Raises:
        DataError: If the encoder was trained on maps of another variant or another half side.
        OutputError: If the folder is taken or cannot be written.
    """
    destination.demand_free()
    _demand_alike(encoder.info, store)
    vectors = encoder.vectors(store.values)
    if not np.isfinite(vectors).all():
        hint = "its weights are spoilt: train it again"
        raise DataError("encoder", "finite vectors", "others", store.source, hint)
    arrays = {
        VECTORS: vectors,
        COMPONENTS: encoder.components(vectors).astype(np.float32),
        NAMES: np.array(store.table.filename, dtype=str),
    }
    facts = {name: encoder.info[name] for name in _PUBLISHED if name in encoder.info}
    facts[ENCODER_HASH] = encoder.sha256()
    overwrite = destination.overwrite
    with atomic_directory(
        destination.path, overwrite=overwrite, markers=(VECTORS,)
    ) as scratch:
        for name, values in arrays.items():
            np.save(scratch / name, values, allow_pickle=False)
        write_json(scratch / ENCODER, facts)
    return destination.path


def _demand_alike(info: JsonObject, store: MapStore) -> None:
    """Demand maps as in training; those of an unknown scale (0) pass: pictures do not tell it."""
    variant = info.get("variant", store.variant)
    if variant != store.variant:
        expected = f"{variant} maps, as in the encoder's training"
        raise DataError(
            store.source, expected, store.variant, "", f"pass --variant {variant}"
        )
    trained, half_width = info.get("half_width_r500", 0.0), store.half_width
    if trained and half_width and abs(half_width / trained - 1.0) > _WIDTH_TOLERANCE:
        expected = (
            f"maps of {trained:g} R500 to each side, as in the encoder's training"
        )
        hint = f"cut them anew with --half-width {trained:g}"
        raise DataError(store.source, expected, f"{half_width:g} R500", "", hint)
