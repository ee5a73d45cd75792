"""Settings of an encoder of X-ray maps: ``[embed]``, ``[views]`` and one section for each method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cinn_clusters.errors import ConfigError
from cinn_clusters.settings.config import Epochs, RandomSeed, Rate
from cinn_clusters.settings.sections import Section, read_settings

MethodName = Literal[
    "simclr",
    "mocov2",
    "mocov3",
    "byol",
    "simsiam",
    "dino",
    "vicreg",
    "supervised",
    "joint",
]
_LARGEST_STEP = 2**28
"""Pixels of a step: 256 maps of 1024 pixels a side, 1 GiB."""
_Share = Annotated[float, Field(ge=0, le=1)]
_Units = Annotated[int, Field(ge=1, le=65_536)]
_Momentum = Annotated[float, Field(gt=0, le=1)]
_Temperature = Annotated[float, Field(gt=0, le=100)]
_Weight = Annotated[float, Field(gt=0, le=1e6)]


class ViewsConfig(Section):
    """How strongly two views of one map may differ."""

    rotate: bool = True  # by any angle
    flip: bool = True  # mirror images, with a chance of one half
    zoom: float = Field(
        0.05, ge=0, lt=1
    )  # deviation of ln(scale): the uncertainty of R500
    shift: float = Field(
        0.02, ge=0, lt=0.5
    )  # deviation of the recentring, share of the side
    crop: float = Field(1.0, gt=0, le=1)  # smallest share of the side that remains
    blur: float = Field(
        1.0, ge=0, le=8
    )  # largest width of the point spread function, px
    blur_share: _Share = 0.2  # of the images
    photons: tuple[float, float] = (3000.0, 300000.0)  # counts in the brightest pixels
    photons_share: _Share = 0.2  # of the images, whose photons are counted again
    background: float = Field(
        0.002, ge=0, le=1
    )  # largest, share of the brightest pixels
    gap_share: _Share = 0.1  # of the images, with a chip gap
    sources: float = Field(
        0.5, ge=0, le=1000
    )  # mean number of point sources, put in or masked


class EncoderConfig(Section):
    """What is trained, and how."""

    method: MethodName = "simclr"
    backbone: str = (
        "small"  # small, resnet18, resnet50, convnext_tiny or any model of timm
    )
    size: int = Field(64, ge=16, le=1024)  # pixels a side of the input
    epochs: Epochs = 30
    batch: int = Field(256, ge=4, le=65_536)  # maps a step, all processes together
    learning_rate: Rate = 1e-3  # after the warm-up; falls to zero along a cosine
    weight_decay: float = Field(1e-4, ge=0, le=1e3)
    warmup: float = Field(
        0.05, ge=0, lt=1
    )  # share of the steps over which the rate rises
    positives: Literal["views", "projections"] = (
        "projections"  # of one map, of one snapshot
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    devices: int = Field(
        1, ge=1, le=4096
    )  # processes; more than one: DistributedDataParallel
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    components: int = Field(
        32, ge=1, le=4096
    )  # principal components that a flow is given
    checkpoint_every: Epochs = 1


class MethodConfig(Section):
    """Settings of one method; ``[method.views]`` changes what ``[views]`` says for it."""

    views: ViewsConfig = ViewsConfig()


class SimCLRConfig(MethodConfig):
    """Chen+20, arXiv:2002.05709."""

    temperature: _Temperature = 0.2  # divides the cosines
    hidden: _Units = 256  # of the projection head
    outputs: _Units = 64


class MoCoV2Config(MethodConfig):
    """Chen+20, arXiv:2003.04297."""

    temperature: _Temperature = 0.2
    momentum: _Momentum = 0.99  # of the slow encoder
    queue: int = Field(2048, ge=1, le=1_000_000)  # keys that are remembered
    hidden: _Units = 256
    outputs: _Units = 64


class MoCoV3Config(MethodConfig):
    """Chen+21, arXiv:2104.02057."""

    temperature: _Temperature = 0.2
    momentum: _Momentum = 0.99  # at the start; rises to one
    hidden: _Units = 256
    outputs: _Units = 64


class BYOLConfig(MethodConfig):
    """Grill+20, arXiv:2006.07733."""

    momentum: _Momentum = 0.99
    hidden: _Units = 512
    outputs: _Units = 128


class SimSiamConfig(MethodConfig):
    """Chen & He 2021, arXiv:2011.10566."""

    hidden: _Units = 512
    bottleneck: _Units = 128  # of the prediction head
    outputs: _Units = 512


class DINOConfig(MethodConfig):
    """Caron+21, arXiv:2104.14294."""

    momentum: _Momentum = 0.99
    prototypes: _Units = 1024
    hidden: _Units = 256
    teacher_temperature: _Temperature = 0.04


class VICRegConfig(MethodConfig):
    """Bardes+22, arXiv:2105.04906."""

    outputs: _Units = 512
    invariance: _Weight = 25.0
    variance: _Weight = 25.0
    covariance: _Weight = 1.0


class SupervisedConfig(MethodConfig):
    """An upper bound: it learns the ground truth of the training clusters."""

    hidden: _Units = 128


class EmbedConfig(Section):
    """All settings of an encoder."""

    seed: RandomSeed = 42
    embed: EncoderConfig = EncoderConfig()
    views: ViewsConfig = ViewsConfig()
    simclr: SimCLRConfig = SimCLRConfig()
    mocov2: MoCoV2Config = MoCoV2Config()
    mocov3: MoCoV3Config = MoCoV3Config()
    byol: BYOLConfig = BYOLConfig()
    simsiam: SimSiamConfig = SimSiamConfig()
    dino: DINOConfig = DINOConfig()
    vicreg: VICRegConfig = VICRegConfig()
    supervised: SupervisedConfig = SupervisedConfig()
    joint: MethodConfig = MethodConfig()

    @model_validator(mode="before")
    @classmethod
    def _share_views(cls, values: Any) -> Any:
        """Fill the views of each method with the shared ones where it does not say otherwise."""
        shared = values.get("views")
        if not isinstance(shared, dict):
            return values
        filled = dict(values)
        for name in set(cls.model_fields) - {"seed", "embed", "views"}:
            section = values.get(name, {})
            if isinstance(section, dict) and isinstance(section.get("views", {}), dict):
                filled[name] = {
                    **section,
                    "views": {**shared, **section.get("views", {})},
                }
        return filled

    @property
    def method(self) -> MethodConfig:
        """Settings of the method that is trained, its views complete."""
        section: MethodConfig = getattr(self, self.embed.method)
        return section


def read_embed_config(
    path: str | Path | None = None, changes: Sequence[str] = ()
) -> EmbedConfig:
    """Read a TOML file and apply ``section.key=value`` changes.

    Raises:
        ConfigError: If the file cannot be read, or a key or value is wrong.

    Examples:
        >>> read_embed_config(changes=["embed.method=byol", "byol.momentum=0.9"]).byol.momentum
        0.9
    """
    config = read_settings(EmbedConfig, path, changes)
    batch, devices = config.embed.batch, config.embed.devices
    num_pixels = batch * config.embed.size**2
    if num_pixels > _LARGEST_STEP:
        expected = f"embed.batch * embed.size^2 of at most {_LARGEST_STEP} pixels"
        raise ConfigError("embed.batch", expected, num_pixels)
    if batch % devices:
        raise ConfigError("embed.batch", f"a multiple of {devices} devices", str(batch))
    return config
