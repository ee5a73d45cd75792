"""Two looks at one cluster: what changes is the observation, not the cluster.

Rotations and flips are exact symmetries of the sky; zoom is the uncertainty of R500, shift that of
the centre; blur, exposure, background, chip gaps and point sources are the telescope's. All images
of a batch are changed at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from cinn_clusters.embed.scaling import DEPTH
from cinn_clusters.settings.embedding import ViewsConfig


def make_view(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Look again at every map of a batch.

    Args:
        maps: Inputs in [0, 1], (B, 1, H, H).
        config: How strongly the view may differ.
        generator: Source of randomness.

    Returns:
        Views in [0, 1], (B, 1, H, H).
    """
    seen = _turned(maps, config, generator)
    seen = _with_sources(seen, config, generator)
    seen = _blurred(seen, config, generator)
    seen = _recounted(seen, config, generator)
    return _with_gaps(seen, config, generator)


def rotate(maps: Tensor, angle: Tensor) -> Tensor:
    """Rotate maps (B, 1, H, H) by angles (B,) in radians; corners that were not seen are dark."""
    return _resample(
        maps, angle, torch.ones_like(angle), torch.zeros(len(angle), 2), torch.ones_like(angle)
    )


def _resample(maps: Tensor, angle: Tensor, scale: Tensor, shift: Tensor, mirror: Tensor) -> Tensor:
    """Read maps on a grid that is turned, scaled, mirrored and moved; all (B,), shift (B, 2) in
    half sides.
    """
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = torch.stack([cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1]], 1)
    grid = functional.affine_grid(rows.view(-1, 2, 3), list(maps.shape), align_corners=False)
    return functional.grid_sample(maps, grid.to(maps), align_corners=False)


def _turned(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    num = len(maps)
    angle = torch.rand(num, generator=generator) * (2.0 * math.pi if config.rotate else 0.0)
    scale = torch.exp(torch.randn(num, generator=generator) * config.zoom)
    scale = scale * (config.crop + (1.0 - config.crop) * torch.rand(num, generator=generator))
    shift = torch.randn(num, 2, generator=generator) * 2.0 * config.shift
    is_mirrored = torch.rand(num, generator=generator) < 0.5 * config.flip
    return _resample(maps, angle, scale, shift, 1.0 - 2.0 * is_mirrored.float())


def _with_sources(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Put point sources in, or holes where sources were masked; each a few pixels of one value."""
    if not config.sources:
        return maps
    size, num = maps.shape[-1], len(maps)
    total = int(torch.poisson(torch.tensor(float(config.sources * num)), generator=generator))
    if not total:
        return maps
    image = torch.randint(num, (total,), generator=generator)
    y, x = torch.randint(1, size - 1, (2, total), generator=generator)
    value = torch.rand(total, generator=generator) * 0.9
    changed = maps.clone()
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        changed[image, 0, y - dy, x - dx] = value
    return changed


def _blurred(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Blur some images, all of them by one width."""
    if not (config.blur and config.blur_share):
        return maps
    width = float(torch.rand(1, generator=generator)) * config.blur + 0.3
    chosen = torch.rand(len(maps), generator=generator) < config.blur_share
    reach = math.ceil(3.0 * width)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / width) ** 2)
    kernel = (kernel / kernel.sum()).to(maps)
    padded = functional.pad(maps[chosen], (reach,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    changed = maps.clone()
    changed[chosen] = functional.conv2d(across, kernel.view(1, 1, -1, 1))
    return changed


def _recounted(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Count photons again for some images, with a shorter exposure and a background."""
    chosen = torch.rand(len(maps), generator=generator) < config.photons_share
    num = int(chosen.sum())
    if not num:
        return maps
    low, high = (math.log(value) for value in config.photons)
    brightest = torch.exp(low + (high - low) * torch.rand(num, 1, 1, 1, generator=generator))
    sky = config.background * torch.rand(num, 1, 1, 1, generator=generator)
    expected = brightest * (10.0 ** (DEPTH * (maps[chosen] - 1.0)) + sky)
    counts = torch.poisson(expected, generator=generator)
    changed = maps.clone()
    changed[chosen] = (torch.log10((counts + 0.5) / brightest) / DEPTH + 1.0).clamp(0.0, 1.0)
    return changed


def _with_gaps(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Darken a strip two pixels wide in some images."""
    chosen = torch.nonzero(torch.rand(len(maps), generator=generator) < config.gap_share)[:, 0]
    if not len(chosen):
        return maps
    at = torch.randint(maps.shape[-1] - 1, (len(chosen),), generator=generator)
    changed = maps.clone()
    changed[chosen, :, :, at] = 0.0
    changed[chosen, :, :, at + 1] = 0.0
    return changed
