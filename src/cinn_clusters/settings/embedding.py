"""Settings of an encoder of X-ray maps."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from torch import nn

from cinn_clusters.embed.byol import BYOL
from cinn_clusters.embed.dino import DINO
from cinn_clusters.embed.learner import LearnOptions
from cinn_clusters.embed.method import Method
from cinn_clusters.embed.moco import MoCoV2, MoCoV3
from cinn_clusters.embed.simclr import SimCLR
from cinn_clusters.embed.simsiam import SimSiam
from cinn_clusters.embed.supervised import Joint, Supervised
from cinn_clusters.embed.vicreg import VICReg
from cinn_clusters.embed.views import Recipe
from cinn_clusters.errors import ConfigError
from cinn_clusters.rng import stream_seed
from cinn_clusters.settings.config import Section, read_settings

METHODS: dict[str, type[Method]] = {
    "simclr": SimCLR,
    "mocov2": MoCoV2,
    "mocov3": MoCoV3,
    "byol": BYOL,
    "simsiam": SimSiam,
    "dino": DINO,
    "vicreg": VICReg,
}
"""The self-supervised ones."""
WITH_ANSWERS: dict[str, type[Method]] = {"supervised": Supervised, "joint": Joint}
GIVEN = {"backbone", "num_labels", "num_targets", "density", "outputs", "seed"}
"""Parameters of those with answers that follow from the data or from ``[embed]``."""
MethodName = Literal[
    "simclr", "mocov2", "mocov3", "byol", "simsiam", "dino", "vicreg", "supervised", "joint"
]


class ViewsConfig(Section):
    """How two looks at one map differ."""

    rotate: bool = Field(default=True, description="by any angle")
    flip: bool = Field(default=True, description="mirror images")
    zoom: float = Field(
        default=0.05, ge=0, lt=1, description="standard deviation of ln(scale): uncertainty of R500"
    )
    shift: float = Field(default=0.02, ge=0, lt=0.5, description="recentring, share of the side")
    crop: float = Field(
        default=1.0, gt=0, le=1, description="smallest share of the side that is kept"
    )
    blur: float = Field(
        default=1.0, ge=0, le=8, description="largest width of the point spread function, px"
    )
    blur_share: float = Field(
        default=0.2, ge=0, le=1, description="share of the images that are blurred"
    )
    photons: tuple[float, float] = Field(
        default=(3000.0, 300000.0), description="counts in the brightest pixels"
    )
    photons_share: float = Field(
        default=0.2, ge=0, le=1, description="share of the images that are counted again"
    )
    background: float = Field(
        default=0.002, ge=0, description="largest background, share of the brightest pixels"
    )
    gap_share: float = Field(
        default=0.1, ge=0, le=1, description="share of the images with a chip gap"
    )
    sources: float = Field(
        default=0.5, ge=0, description="mean number of point sources put in or masked"
    )


class EncoderConfig(Section):
    """What is trained, and how."""

    method: MethodName = Field(
        default="simclr",
        description="simclr, mocov2, mocov3, byol, simsiam, dino, vicreg; or, "
        "with the answers of the training clusters, supervised or joint",
    )
    backbone: str = Field(
        default="small", description="small, resnet18, resnet50, convnext_tiny or any model of timm"
    )
    size: int = Field(default=64, ge=16, description="pixels a side that the encoder sees")
    epochs: int = Field(default=30, ge=1)
    batch: int = Field(default=256, ge=4, description="maps a step, all processes together")
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="share of the steps over which the rate rises"
    )
    positives: Literal["views", "projections"] = Field(
        default="projections",
        description="pairs: two views of one map, or of two projections of one snapshot",
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    devices: int = Field(
        default=1, ge=1, description="processes; more than one: DistributedDataParallel"
    )
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    components: int = Field(
        default=32, ge=1, description="principal components that a flow is given"
    )
    checkpoint_every: int = Field(default=1, ge=1, description="epochs between checkpoints")


class EmbedConfig(Section):
    """All settings of an encoder. A section with a method's name holds its parameters, its
    ``views`` what differs.
    """

    seed: int = Field(default=42, ge=0)
    embed: EncoderConfig = EncoderConfig()
    views: ViewsConfig = ViewsConfig()
    simclr: dict[str, Any] = Field(default_factory=dict)
    mocov2: dict[str, Any] = Field(default_factory=dict)
    mocov3: dict[str, Any] = Field(default_factory=dict)
    byol: dict[str, Any] = Field(default_factory=dict)
    simsiam: dict[str, Any] = Field(default_factory=dict)
    dino: dict[str, Any] = Field(default_factory=dict)
    vicreg: dict[str, Any] = Field(default_factory=dict)
    supervised: dict[str, Any] = Field(default_factory=dict)
    joint: dict[str, Any] = Field(default_factory=dict)


def read_embed_config(path: str | Path | None = None, changes: Sequence[str] = ()) -> EmbedConfig:
    """Read a TOML file and apply ``section.key=value`` changes.

    Raises:
        ConfigError: If the file cannot be read, or a key or value is wrong.

    Examples:
        >>> read_embed_config(changes=["embed.method=byol", "byol.momentum=0.9"]).byol
        {'momentum': 0.9}
    """
    config = read_settings(EmbedConfig, path, changes)
    if config.embed.batch % config.embed.devices:
        raise ConfigError(
            "embed.batch", f"a multiple of {config.embed.devices} devices", str(config.embed.batch)
        )
    for name in (*METHODS, *WITH_ANSWERS):
        parameters(config, name)
        make_recipe(config, name)
    return config


def make_method(config: EmbedConfig, backbone: nn.Module) -> Method:
    """The self-supervised method that the settings name."""
    return METHODS[config.embed.method](backbone, **parameters(config, config.embed.method))


def make_recipe(config: EmbedConfig, method: str) -> Recipe:
    """Views of a method: the shared recipe and what its own section changes."""
    own = getattr(config, method, {}).get("views", {})
    try:
        return Recipe(**ViewsConfig.model_validate(config.views.model_dump() | own).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        key = f"{method}.views.{'.'.join(str(part) for part in first['loc'])}"
        raise ConfigError(f"setting '{key}'", first["msg"], repr(first["input"])) from error


def make_options(config: EmbedConfig) -> LearnOptions:
    """Options of the training loop."""
    known = asdict(LearnOptions())
    return LearnOptions(
        **{key: value for key, value in config.embed.model_dump().items() if key in known},
        seed=stream_seed(config.seed, "embed"),
    )


def settable(name: str) -> dict[str, Any]:
    """Parameters of a method that its section may hold, with their defaults."""
    every = inspect.signature((METHODS | WITH_ANSWERS)[name]).parameters
    given = {"backbone"} if name in METHODS else GIVEN
    return {key: parameter.default for key, parameter in every.items() if key not in given}


def parameters(config: EmbedConfig, name: str) -> dict[str, Any]:
    """Parameters that the section of a method gives.

    Raises:
        ConfigError: If one is unknown or no positive number.
    """
    given = {key: value for key, value in getattr(config, name, {}).items() if key != "views"}
    known = list(settable(name))
    for key, value in given.items():
        if key not in known:
            raise ConfigError(
                f"setting '{name}.{key}'",
                "a known setting",
                "an unknown one",
                "",
                f"known: {known}",
            )
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise ConfigError(f"setting '{name}.{key}'", "a positive number", repr(value))
    return given
