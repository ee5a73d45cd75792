"""Settings of a run: the defaults are the preset that generalises best.

``[model]`` holds what all flows share, a section with the name of a flow its own arguments, and
``[train]`` how it is trained. The sections are the options that functions take.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cinn_clusters.settings.sections import Section, read_settings

FlowName = Literal["glow", "spline", "autoregressive", "mixture", "flow_matching"]
MixingName = Literal["permutation", "rotation", "lu"]

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Blocks = Annotated[int, Field(ge=1, le=100, description="transforms, each followed by a mixing")]
_Units = Annotated[int, Field(ge=1, le=4096, description="units of a hidden layer")]
_Layers = Annotated[int, Field(ge=1, le=16, description="hidden layers of each network")]
_Clamp = Annotated[float, Field(gt=0, le=20, description="largest |log-scale| of an affine map")]
_Bins = Annotated[int, Field(ge=2, le=256, description="bins of a spline")]
_Bound = Annotated[float, Field(gt=0, le=100, description="splines act on [-bound, bound]")]


class ModelConfig(Section):
    """What all flows share."""

    flow: FlowName = Field(
        default="autoregressive",
        description="glow, spline, autoregressive, mixture or flow_matching",
    )
    members: int = Field(
        default=10, ge=1, le=1000, description="networks, mixed with equal weights"
    )
    mixing: MixingName = Field(
        default="lu", description="permutation, rotation or lu, after each block"
    )
    act_norm: bool = Field(default=False, description="learned scale and shift before each block")
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of hidden units silenced in training"
    )
    zero_init: bool = Field(default=True, description="start as the identity")


class AutoregressiveConfig(Section):
    """Masked autoregressive transforms (Papamakarios+17; Durkan+19)."""

    blocks: _Blocks = 2
    hidden: _Units = 48
    layers: _Layers = 1
    element: Literal["affine", "spline"] = Field(
        default="spline", description="map of one target: affine or spline"
    )
    clamp: _Clamp = 1.0
    bins: _Bins = 5
    bound: _Bound = 4.0


class GlowConfig(Section):
    """Affine couplings (Kingma & Dhariwal 2018)."""

    blocks: _Blocks = 6
    hidden: _Units = 24
    layers: _Layers = 1
    clamp: _Clamp = 1.0


class SplineConfig(Section):
    """Rational-quadratic spline couplings (Durkan+19)."""

    blocks: _Blocks = 4
    hidden: _Units = 24
    layers: _Layers = 1
    bins: _Bins = 8
    bound: _Bound = 5.0


class MixtureConfig(Section):
    """Gaussian-mixture density network (Bishop 1994)."""

    components: int = Field(default=8, ge=1, le=1000, description="Gaussians of a mixture")
    hidden: _Units = 32
    layers: _Layers = 1


class FlowMatchingConfig(Section):
    """A learned velocity field (Lipman+23)."""

    steps: int = Field(default=8, ge=1, le=1000, description="Runge-Kutta steps along the field")
    hidden: _Units = 64
    layers: _Layers = 2


class OptimiserConfig(Section):
    """How a loss is lowered, whatever it means."""

    epochs: int = Field(default=60, ge=1, le=1_000_000, description="passes at most")
    batch: int = Field(default=32, ge=1, le=1_000_000, description="rows a step")
    learning_rate: float = Field(default=3e-3, gt=0, le=1e3, description="step of AdamW")
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine", description="constant, or cosine: falls to zero over all epochs"
    )
    weight_decay: float = Field(default=0.1, ge=0, le=1e3, description="decoupled from the loss")
    clip: float = Field(default=5.0, gt=0, le=1e9, description="largest gradient norm of a member")
    patience: int = Field(
        default=20,
        ge=0,
        le=1_000_000,
        description="epochs without improvement before stopping; 0 never stops",
    )


class TrainConfig(OptimiserConfig):
    """How the flow is trained."""

    noise: float = Field(default=0.0, ge=0, le=10, description="noise on standardised x")
    augment: bool = Field(
        default=True,
        description="mask and scatter observables in training: any subset, any errors are accepted",
    )
    dequantise: bool = Field(
        default=True, description="spread collision times over their resolution"
    )
    held_out_groups: int = Field(
        default=10,
        ge=0,
        le=100_000,
        description="0: stop on the validation clusters; "
        "G: member k on group k mod G of all but test",
    )
    bootstrap: bool = Field(
        default=False, description="every member trains on a bootstrap sample of its clusters"
    )
    recalibration_folds: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="0: no recalibration; F: fitted on F folds held out in turn, kept if it helps",
    )
    checkpoint_every: int = Field(
        default=5, ge=1, le=1_000_000, description="epochs between checkpoints"
    )


class Config(Section):
    """All settings of a run."""

    seed: Seed = 42
    model: ModelConfig = ModelConfig()
    autoregressive: AutoregressiveConfig = AutoregressiveConfig()
    glow: GlowConfig = GlowConfig()
    spline: SplineConfig = SplineConfig()
    mixture: MixtureConfig = MixtureConfig()
    flow_matching: FlowMatchingConfig = FlowMatchingConfig()
    train: TrainConfig = TrainConfig()


def read_config(path: str | Path | None = None, changes: Sequence[str] = ()) -> Config:
    """Read a TOML file and apply ``section.key=value`` changes.

    Args:
        path: The file, the bare name of one that comes with the package (``glow``, ``exact``,
            ...), or None for the default preset.
        changes: Such as ``train.epochs=50``; values are TOML, or text without quotes.

    Returns:
        The settings.

    Raises:
        ConfigError: If the file cannot be read, or a key or value is wrong.

    Examples:
        >>> read_config(changes=["train.epochs=50"]).train.epochs
        50
    """
    return read_settings(Config, path, changes)
