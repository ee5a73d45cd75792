"""The self-supervised methods by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from cinn_clusters.embed.byol import BYOL
from cinn_clusters.embed.dino import DINO
from cinn_clusters.embed.method import Method
from cinn_clusters.embed.moco import MoCoV2, MoCoV3
from cinn_clusters.embed.simclr import SimCLR
from cinn_clusters.embed.simsiam import SimSiam
from cinn_clusters.embed.vicreg import VICReg
from cinn_clusters.settings.embedding import EmbedConfig

SELF_SUPERVISED: dict[str, Callable[[nn.Module, Any], Method]] = {
    "simclr": SimCLR,
    "mocov2": MoCoV2,
    "mocov3": MoCoV3,
    "byol": BYOL,
    "simsiam": SimSiam,
    "dino": DINO,
    "vicreg": VICReg,
}


def make_method(config: EmbedConfig, backbone: nn.Module) -> Method:
    """Make the self-supervised method that the settings name."""
    return SELF_SUPERVISED[config.embed.method](backbone, config.method)
