"""From maps to vectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def encode(backbone: nn.Module, maps: Tensor, *, batch: int = 512) -> np.ndarray:
    """Vectors (N, F) float32 of inputs (N, 1, H, H)."""
    backbone.eval()
    with torch.inference_mode():
        parts = [backbone(maps[start : start + batch]).float() for start in range(0, len(maps), batch)]
    return np.asarray(torch.cat(parts).numpy())


def fit_components(vectors: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of standardised features.

    Args:
        vectors: Of training maps, (N, F).
        num: Components to keep.

    Returns:
        Offset (F,) and projection (F, num): ``(vectors - offset) @ projection`` has unit variance in every column.
    """
    offset = vectors.mean(0)
    _, singular, rows = np.linalg.svd(vectors - offset, full_matrices=False)
    num = min(num, int((singular > 1e-6 * singular[0]).sum()))
    return offset, np.asarray(rows[:num].T / (singular[:num] / np.sqrt(len(vectors))))
