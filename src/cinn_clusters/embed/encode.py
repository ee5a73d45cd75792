"""From maps to vectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.embed.backbones import Sharpened, SmallNetwork


def encode(encoder: Sharpened, maps: Tensor, *, batch: int = 256) -> np.ndarray:
    """Vectors of maps, averaged over the eight orientations in which a square can be laid.

    The sky has no up: what an encoder says of one orientation and not of another is noise. What the
    mean gains is in docs/decisions/0005-maps.md.

    Args:
        encoder: Trained.
        maps: Inputs, (N, 1, H, H).
        batch: Maps at once.

    Returns:
        (N, F) float32.
    """
    network = encoder.backbone.eval()
    if isinstance(network, SmallNetwork):
        network = network.fused()
    parts = []
    with torch.inference_mode():
        for chunk in maps.split(batch):
            turned = orientations(encoder.sharpen(chunk))
            vectors = torch.stack([network(image).float() for image in turned])
            parts.append(vectors.mean(0))
    return np.asarray(torch.cat(parts).numpy())


def orientations(maps: Tensor) -> list[Tensor]:
    """Maps (B, 1, H, H) in each of eight ways: turned by quarters, and these mirrored."""
    mirrored = maps.flip(3)
    return [
        torch.rot90(image, turn, (2, 3))
        for image in (maps, mirrored)
        for turn in range(4)
    ]


def fit_components(vectors: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of standardised features.

    Args:
        vectors: Of training maps, (N, F).
        num: Components to keep.

    Returns:
        Offset (F,) and projection (F, num): ``(vectors - offset) @ projection`` has unit variance
        in every column.
    """
    offset = vectors.mean(0)
    centred = vectors - offset
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    least = 1e-6 * singular[0]
    is_large = singular > least
    num = min(num, int(is_large.sum()))
    root = np.sqrt(len(vectors))
    spread = singular[:num] / root
    axes = rows[:num].T
    return offset, np.asarray(axes / spread)
