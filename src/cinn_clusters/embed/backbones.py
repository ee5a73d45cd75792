"""Encoders: one channel in, a vector out."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cinn_clusters.embed.method import seeded
from cinn_clusters.errors import ConfigError

SMALL = "small"
TIMM = ("resnet18", "resnet50", "convnext_tiny", "convnext_atto")
"""Backbones that are tried; any other name of timm works too."""
WIDTHS = (16, 32, 64, 128, 256)


class SmallNetwork(nn.Sequential):
    """Five strided convolutions, then mean and largest value over what is left: for processors without a graphics card.

    Shapes:
        input (B, 1, H, H), output (B, 512).
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        before = 1
        for width in WIDTHS:
            kernel = 5 if before == 1 else 3
            layers += [
                nn.Conv2d(before, width, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            before = width
        super().__init__(*layers)
        self.num_features = 2 * before
        self.to(memory_format=torch.channels_last)  # a quarter faster on a processor

    def forward(self, maps: Tensor) -> Tensor:
        """Vectors (B, 512) of maps (B, 1, H, H)."""
        seen = super().forward(maps.contiguous(memory_format=torch.channels_last))
        return torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)

    def fused(self) -> SmallNetwork:
        """A copy for inference: every normalisation is folded into its convolution, twice as
        fast on a processor.
        """
        folded = copy.deepcopy(self).eval()
        for number in range(0, len(folded), 3):
            convolution, norm = folded[number], folded[number + 1]
            folded[number] = fuse_conv_bn_eval(convolution, norm)  # type: ignore[arg-type, type-var]
            folded[number + 1] = nn.Identity()
        return folded.to(memory_format=torch.channels_last)


class Sharpened(nn.Module):
    """An encoder that sees edges beside shape: maps plus what a Gaussian blur takes away.

    Fronts and shocks are some per cent of the brightness and vanish in a stretch of four decades;
    unsharp masks and gradient filters are how observers look for them (Sanders+16,
    arXiv:1605.02911).

    Args:
        backbone: Encoder.
        gain: Of the edges.
        width: Of the blur, share of the side.
    """

    def __init__(self, backbone: nn.Module, *, gain: float = 4.0, width: float = 0.05) -> None:
        super().__init__()
        self.backbone, self.gain, self.width = backbone, gain, width
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """Vectors (B, num_features) of maps (B, 1, H, H)."""
        return torch.as_tensor(self.backbone(self.sharpen(maps)))

    def sharpen(self, maps: Tensor) -> Tensor:
        """Maps (B, 1, H, H) with their edges made stronger."""
        sigma = self.width * maps.shape[-1]
        reach = math.ceil(2.5 * sigma)
        kernel = torch.exp(
            -0.5 * (torch.arange(-reach, reach + 1, device=maps.device) / sigma) ** 2
        )
        kernel = (kernel / kernel.sum()).to(maps)
        across = functional.conv2d(
            functional.pad(maps, (reach,) * 4, mode="replicate"), kernel.view(1, 1, 1, -1)
        )
        smooth = functional.conv2d(across, kernel.view(1, 1, -1, 1))
        return maps + self.gain * (maps - smooth)


def make_backbone(name: str, seed: int) -> Sharpened:
    """Make an encoder with fresh weights; it has an attribute ``num_features``.

    Args:
        name: ``small``, or a model of timm.
        seed: Seed of the weights.

    Raises:
        ConfigError: If timm knows no such model.
    """
    with seeded(seed, "backbone"):
        if name == SMALL:
            return Sharpened(SmallNetwork())
        import timm

        if not timm.is_model(name):
            raise ConfigError(
                "embed.backbone", f"small, {', '.join(TIMM)} or another model of timm", f"'{name}'"
            )
        network = timm.create_model(name, pretrained=False, in_chans=1, num_classes=0)
    return Sharpened(network)
