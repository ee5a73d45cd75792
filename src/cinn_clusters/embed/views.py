"""Two views of one cluster: what changes is the observation, not the cluster.

Rotations and flips are exact symmetries of the sky; zoom is the uncertainty of R500, shift that of
the centre; blur, exposure, background, chip gaps and point sources are the telescope's. All images
of a batch are changed at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from cinn_clusters.embed.scaling import DEPTH, blurred
from cinn_clusters.settings.embedding import ViewsConfig


def make_view(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Observe every map of a batch again.

    Args:
        maps: Inputs in [0, 1], (B, 1, H, H).
        config: How strongly the view may differ.
        generator: Source of randomness.

    Returns:
        Views in [0, 1], (B, 1, H, H).
    """
    views = _turned(maps, config, generator)
    for change in (_with_sources, _with_psf, _recounted, _with_gaps):
        views = change(views, config, generator)
    return views


def rotate(maps: Tensor, angle: Tensor) -> Tensor:
    """Rotate maps (B, 1, H, H) by angles (B,) in radians; corners from outside are dark."""
    unit = torch.ones_like(angle)
    still = torch.zeros(len(angle), 2)
    return _resample(maps, angle, unit, still, unit)


def _resample(
    maps: Tensor, angle: Tensor, scale: Tensor, shift: Tensor, mirror: Tensor
) -> Tensor:
    """Read maps on a grid turned, scaled, mirrored and moved; all (B,), shift (B, 2) half sides."""
    cos = torch.cos(angle) * scale
    sin = torch.sin(angle) * scale
    shift_x, shift_y = shift.unbind(1)
    first_row = [cos * mirror, -sin, shift_x]
    second_row = [sin * mirror, cos, shift_y]
    rows = torch.stack([*first_row, *second_row], 1)
    matrices = rows.view(-1, 2, 3)
    grid = functional.affine_grid(matrices, list(maps.shape), align_corners=False)
    return functional.grid_sample(maps, grid.to(maps), align_corners=False)


def _turned(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    num = len(maps)
    turn = torch.rand(num, generator=generator)
    angle = turn * 2.0 * math.pi * config.rotate
    log_zoom = torch.randn(num, generator=generator) * config.zoom
    zoom = torch.exp(log_zoom)

    # A crop keeps this share of the side, or more
    range_of_crop = 1.0 - config.crop
    crop = config.crop + range_of_crop * torch.rand(num, generator=generator)
    offset = torch.randn(num, 2, generator=generator)
    shift = offset * 2.0 * config.shift
    chance = torch.rand(num, generator=generator)
    is_mirrored = chance < 0.5 * config.flip
    mirror = 1.0 - 2.0 * is_mirrored.float()
    return _resample(maps, angle, zoom * crop, shift, mirror)


def _with_sources(
    maps: Tensor, config: ViewsConfig, generator: torch.Generator
) -> Tensor:
    """Put point sources in, or holes where sources were masked; each a few pixels of one value."""
    num = len(maps)
    size = maps.shape[-1]
    mean = torch.tensor(config.sources * num)
    total = int(torch.poisson(mean, generator=generator))
    image = torch.randint(num, (total,), generator=generator)
    y, x = torch.randint(1, size - 1, (2, total), generator=generator)
    value = torch.rand(total, generator=generator) * 0.9
    changed = maps.clone()
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = y - dy, x - dx
        changed[image, 0, row, column] = value
    return changed


def _with_psf(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Blur some images, all of them by one width."""
    if not (config.blur and config.blur_share):
        return maps
    relative_width = float(torch.rand(1, generator=generator))
    width = relative_width * config.blur + 0.3
    reach = math.ceil(3.0 * width)
    chance = torch.rand(len(maps), generator=generator)
    chosen = chance < config.blur_share
    changed = maps.clone()
    changed[chosen] = blurred(maps[chosen], width, reach=reach)
    return changed


def _recounted(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Count photons again for some images, with a shorter exposure and a background."""
    chance = torch.rand(len(maps), generator=generator)
    chosen = chance < config.photons_share
    num = int(chosen.sum())
    fewest, most = config.photons
    low = math.log(fewest)
    high = math.log(most)

    # counts of the brightest pixels are log-uniform
    exposure = torch.rand(num, 1, 1, 1, generator=generator)
    log_counts = low + (high - low) * exposure
    brightest = torch.exp(log_counts)
    relative_sky = torch.rand(num, 1, 1, 1, generator=generator)
    sky = config.background * relative_sky
    log_brightness = DEPTH * (maps[chosen] - 1.0)
    brightness = 10.0**log_brightness
    expected = brightest * (brightness + sky)
    counts = torch.poisson(expected, generator=generator)

    # back to the scale of maps: [0, 1] over the decades of the depth
    changed = maps.clone()
    rate = (counts + 0.5) / brightest
    scaled = torch.log10(rate) / DEPTH + 1.0
    changed[chosen] = scaled.clamp(0.0, 1.0)
    return changed


def _with_gaps(maps: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Darken a strip two pixels wide in some images."""
    chance = torch.rand(len(maps), generator=generator)
    is_chosen = chance < config.gap_share
    chosen = torch.nonzero(is_chosen)[:, 0]
    last = maps.shape[-1] - 1
    column = torch.randint(last, (len(chosen),), generator=generator)
    changed = maps.clone()
    changed[chosen, :, :, column] = 0.0
    changed[chosen, :, :, column + 1] = 0.0
    return changed
