"""From log surface brightness to inputs of an encoder: [0, 1], one dynamic range for every map."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

DEPTH = 4.0
"""Decades below the brightest pixels that are resolved."""
_BRIGHTEST = 0.5
"""Per cent of the pixels that saturate."""


def normalise(log_brightness: np.ndarray) -> np.ndarray:
    """Scale maps by their own brightest pixels: what is left is shape, not luminosity.

    Args:
        log_brightness: (N, H, W); NaN where nothing was exposed, which becomes the map's median at
            that radius.

    Returns:
        Values in [0, 1], (N, H, W) float32.
    """
    filled = np.stack(list(map(_filled, log_brightness)))
    level = 100.0 - _BRIGHTEST
    top = np.percentile(filled, level, axis=(1, 2), keepdims=True)
    scaled = (filled - top) / DEPTH + 1.0
    clipped = np.clip(scaled, 0.0, 1.0)
    return np.asarray(clipped, dtype=np.float32)


def resize(maps: Tensor, size: int) -> Tensor:
    """Maps (N, 1, H, W) at ``size`` pixels a side, averaging over pixels when shrinking."""
    height, width = maps.shape[2:]
    if height == width == size:
        return maps
    if height == width and width % size == 0:
        return functional.avg_pool2d(maps, width // size)
    return functional.interpolate(
        maps, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def blurred(maps: Tensor, width: float, reach: int) -> Tensor:
    """Maps (N, 1, H, W) convolved with a Gaussian of a width in pixels, cut off at a reach."""
    offset = torch.arange(-reach, reach + 1, device=maps.device)
    exponent = -0.5 * (offset / width) ** 2
    weights = torch.exp(exponent)
    kernel = (weights / weights.sum()).to(maps)
    margins = (reach,) * 4
    padded = functional.pad(maps, margins, mode="replicate")
    row = kernel.view(1, 1, 1, -1)
    column = kernel.view(1, 1, -1, 1)
    across = functional.conv2d(padded, row)
    return functional.conv2d(across, column)


def as_inputs(log_brightness: np.ndarray, size: int, *, chunk: int = 512) -> Tensor:
    """Inputs of an encoder (N, 1, size, size) from log surface brightness (N, H, W)."""
    resized = []
    for start in range(0, len(log_brightness), chunk):
        part = log_brightness[start : start + chunk]
        scaled = torch.from_numpy(normalise(part))
        resized.append(resize(scaled[:, None], size))
    return torch.cat(resized)


def _filled(brightness: np.ndarray) -> np.ndarray:
    """A map (H, W) whose holes are filled with the median at their distance from the centre."""
    is_hole = np.isnan(brightness)
    if not is_hole.any():
        return brightness
    last = np.array(brightness.shape) - 1
    middle = (last / 2).reshape(2, 1, 1)
    y, x = np.indices(brightness.shape) - middle
    ring = np.hypot(x, y).astype(int)

    # Rings without a pixel that was exposed get the median of the map.
    num_rings = ring.max() + 1
    medians = np.full(num_rings, np.nanmedian(brightness))
    for radius in np.unique(ring[is_hole]):
        is_exposed = (ring == radius) & ~is_hole
        exposed = brightness[is_exposed]
        if len(exposed):
            medians[radius] = np.median(exposed)
    return np.where(is_hole, medians[ring], brightness)
