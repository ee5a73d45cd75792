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
    filled = np.stack([_filled(brightness) for brightness in log_brightness])
    top = np.percentile(filled, 100.0 - _BRIGHTEST, axis=(1, 2), keepdims=True)
    scaled = (filled - top) / DEPTH + 1.0
    return np.asarray(np.clip(scaled, 0.0, 1.0), dtype=np.float32)


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
    kernel = torch.exp(-0.5 * (offset / width) ** 2)
    kernel = (kernel / kernel.sum()).to(maps)
    padded = functional.pad(maps, (reach,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    return functional.conv2d(across, kernel.view(1, 1, -1, 1))


def as_inputs(log_brightness: np.ndarray, size: int, *, chunk: int = 512) -> Tensor:
    """Inputs of an encoder (N, 1, size, size) from log surface brightness (N, H, W)."""
    starts = range(0, len(log_brightness), chunk)
    parts = [normalise(log_brightness[start : start + chunk]) for start in starts]
    resized = [resize(torch.from_numpy(part)[:, None], size) for part in parts]
    return torch.cat(resized)


def _filled(brightness: np.ndarray) -> np.ndarray:
    """A map (H, W) whose holes are filled with the median at their distance from the centre."""
    is_hole = np.isnan(brightness)
    if not is_hole.any():
        return brightness
    centre = (np.array(brightness.shape) - 1) / 2
    y, x = np.indices(brightness.shape) - centre.reshape(2, 1, 1)
    ring = np.hypot(x, y).astype(int)
    medians = np.full(ring.max() + 1, np.nanmedian(brightness))
    for radius in np.unique(ring[is_hole]):
        exposed = brightness[(ring == radius) & ~is_hole]
        if len(exposed):
            medians[radius] = np.median(exposed)
    return np.where(is_hole, medians[ring], brightness)
