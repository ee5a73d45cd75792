"""Settings of a run: the defaults are the preset that generalises best.

``[model]`` holds what all flows share, a section with the name of a flow its own arguments, and
``[train]`` how it is trained. The sections are the options that functions take.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cinn_clusters.errors import ConfigError
from cinn_clusters.settings.sections import Section, read_settings

FlowName = Literal["glow", "spline", "autoregressive", "mixture", "flow_matching"]
MixingName = Literal["permutation", "rotation", "lu"]

RandomSeed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Epochs = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1e3)]
_Blocks = Annotated[int, Field(ge=1, le=100)]
_Units = Annotated[int, Field(ge=1, le=4096)]
_Layers = Annotated[int, Field(ge=1, le=16)]
_Clamp = Annotated[float, Field(gt=0, le=20)]
_Bins = Annotated[int, Field(ge=2, le=256)]
_Bound = Annotated[float, Field(gt=0, le=100)]
_LARGEST_NETWORK = 100_000_000
"""Weights between hidden units: four times as many numbers are kept in training, 1.6 GB."""


class ModelConfig(Section):
    """What all flows share."""

    flow: FlowName = "autoregressive"
    members: int = Field(10, ge=1, le=1000)  # networks, mixed with equal weights
    mixing: MixingName = "lu"  # of the targets, after each block
    act_norm: bool = False  # learned scale and shift before each block
    dropout: float = Field(
        0.0, ge=0, lt=1
    )  # share of hidden units silenced in training
    zero_init: bool = True  # start as the identity


class AutoregressiveConfig(Section):
    """Masked autoregressive transforms (Papamakarios+17; Durkan+19)."""

    blocks: _Blocks = 2  # transforms, each followed by a mixing
    hidden: _Units = 48  # units of a hidden layer
    layers: _Layers = 1  # hidden layers of each network
    element: Literal["affine", "spline"] = "spline"  # map of one target
    clamp: _Clamp = 1.0  # largest |log-scale| of an affine map
    bins: _Bins = 5  # of a spline
    bound: _Bound = 4.0  # splines act on [-bound, bound]


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

    components: int = Field(8, ge=1, le=1000)
    hidden: _Units = 32
    layers: _Layers = 1


class FlowMatchingConfig(Section):
    """A learned velocity field (Lipman+23)."""

    steps: int = Field(8, ge=1, le=1000)  # Runge-Kutta steps along the field
    hidden: _Units = 64
    layers: _Layers = 2


FlowConfig = (
    AutoregressiveConfig
    | GlowConfig
    | SplineConfig
    | MixtureConfig
    | FlowMatchingConfig
)


class OptimiserConfig(Section):
    """How a loss is lowered, whatever it means."""

    epochs: Epochs = 60  # at most
    batch: int = Field(32, ge=1, le=1_000_000)  # rows a step
    learning_rate: Rate = 3e-3
    schedule: Literal["constant", "cosine"] = "cosine"  # from the full rate to zero
    weight_decay: float = Field(0.1, ge=0, le=1e3)  # decoupled from the loss (AdamW)
    clip: float = Field(5.0, gt=0, le=1e9)  # largest gradient norm of a member
    patience: int = Field(
        20, ge=0, le=1_000_000
    )  # epochs without a better loss; 0 never stops


class TrainConfig(OptimiserConfig):
    """How the flow is trained."""

    noise: float = Field(0.0, ge=0, le=10)  # on standardised x
    augment: bool = (
        True  # mask and scatter observables: any subset with any errors is accepted
    )
    dequantise: bool = True  # spread collision times over their resolution
    # 0: stop on the validation clusters; G: member k on group k mod G of all but the test clusters
    held_out_groups: int = Field(10, ge=0, le=100_000)
    bootstrap: bool = False  # every member trains on a bootstrap sample of its clusters
    # 0: no recalibration; F: fitted on F folds held out in turn, kept if it helps
    recalibration_folds: int = Field(0, ge=0, le=1000)
    checkpoint_every: Epochs = 5


class Config(Section):
    """All settings of a run.

    Examples:
        >>> Config(autoregressive=AutoregressiveConfig(hidden=24)).autoregressive.blocks
        2
    """

    seed: RandomSeed = 42
    model: ModelConfig = ModelConfig()
    autoregressive: AutoregressiveConfig = AutoregressiveConfig()
    glow: GlowConfig = GlowConfig()
    spline: SplineConfig = SplineConfig()
    mixture: MixtureConfig = MixtureConfig()
    flow_matching: FlowMatchingConfig = FlowMatchingConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _demand_affordable(self) -> Config:
        """Refuse a network that no machine holds, before memory is taken for it."""
        members, section = self.model.members, self.flow
        blocks = getattr(section, "blocks", 1)
        num_weights = members * blocks * section.layers * section.hidden**2
        if num_weights > _LARGEST_NETWORK:
            asked = f"{num_weights:.2g}, members * blocks * layers * hidden^2"
            expected = f"at most {_LARGEST_NETWORK:.0e} weights"
            raise ConfigError(f"settings of '{self.model.flow}'", expected, asked)
        return self

    @property
    def flow(self) -> FlowConfig:
        """Arguments of the flow that the model is."""
        section: FlowConfig = getattr(self, self.model.flow)
        return section

    def with_members(self, num_members: int) -> Config:
        """Return the same settings for another number of networks."""
        model = self.model.model_copy(update={"members": num_members})
        return self.model_copy(update={"model": model})


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
