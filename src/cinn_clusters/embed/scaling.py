"""From log surface brightness to what an encoder sees: [0, 1], the same dynamic range for every
map.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

DEPTH = 4.0
"""Decades below the brightest pixels that are told apart."""
BRIGHTEST = 0.5
"""Per cent of the pixels that saturate."""


def normalise(log_brightness: np.ndarray) -> np.ndarray:
    """Scale maps by their own brightest pixels: what is left is shape, not luminosity.

    Args:
        log_brightness: (N, H, W); NaN where nothing was exposed, which becomes the map's median at
            that radius.

    Returns:
        Values in [0, 1], (N, H, W) float32.
    """
    filled = (
        np.stack([_filled(one) for one in log_brightness])
        if np.isnan(log_brightness).any()
        else log_brightness
    )
    top = np.percentile(filled, 100.0 - BRIGHTEST, axis=(1, 2), keepdims=True)
    return np.asarray(np.clip((filled - top) / DEPTH + 1.0, 0.0, 1.0), dtype=np.float32)


def resize(maps: Tensor, size: int) -> Tensor:
    """Maps (N, 1, H, W) at ``size`` pixels a side, averaging over pixels when shrinking."""
    if maps.shape[-1] == maps.shape[-2] == size:
        return maps
    if maps.shape[-1] == maps.shape[-2] and maps.shape[-1] % size == 0:
        return functional.avg_pool2d(maps, maps.shape[-1] // size)
    return functional.interpolate(
        maps, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def as_inputs(log_brightness: np.ndarray, size: int, *, chunk: int = 512) -> Tensor:
    """Inputs of an encoder (N, 1, size, size) from log surface brightness (N, H, W)."""
    parts = [
        log_brightness[start : start + chunk] for start in range(0, len(log_brightness), chunk)
    ]
    return torch.cat([resize(torch.from_numpy(normalise(part))[:, None], size) for part in parts])


def _filled(one: np.ndarray) -> np.ndarray:
    """A map whose holes are filled with the median at their distance from the centre."""
    holes = np.isnan(one)
    if not holes.any():
        return one
    y, x = np.indices(one.shape) - (np.array(one.shape).reshape(2, 1, 1) - 1) / 2
    ring = np.hypot(x, y).astype(int)
    medians = np.full(ring.max() + 1, np.nanmedian(one))
    for radius in np.unique(ring[holes]):
        seen = one[(ring == radius) & ~holes]
        medians[radius] = np.median(seen) if len(seen) else medians[radius]
    return np.where(holes, medians[ring], one)
