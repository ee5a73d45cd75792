"""Settings of a run: the defaults are the preset that generalises best, a TOML file changes what
it names.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cinn_clusters.errors import ConfigError
from cinn_clusters.flows.zoo import Kind, Mixing

S = TypeVar("S", bound=BaseModel)


class Section(BaseModel):
    """Settings that go together; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(Section):
    """Architecture of the flow."""

    flow: Kind = Field(
        default="autoregressive",
        description="glow, spline, autoregressive, mixture or flow-matching",
    )
    members: int = Field(default=10, ge=1, description="networks mixed with equal weights")
    blocks: int = Field(default=2, ge=1, description="couplings or autoregressive transforms")
    hidden: int = Field(default=32, ge=1, description="units of a hidden layer")
    layers: int = Field(default=1, ge=1, description="hidden layers")
    element: Literal["affine", "spline"] = Field(
        default="spline", description="what an autoregressive flow applies"
    )
    clamp: float = Field(default=1.0, gt=0, description="largest |log-scale| of an affine map")
    bins: int = Field(default=5, ge=2, description="bins of a spline")
    bound: float = Field(default=4.0, gt=0, description="splines act on [-bound, bound]")
    components: int = Field(default=8, ge=1, description="Gaussians of a mixture")
    steps: int = Field(default=8, ge=1, description="steps along a velocity field")
    mixing: Mixing = Field(
        default="lu", description="permutation, rotation or lu, after each block"
    )
    act_norm: bool = Field(default=False, description="learned scale and shift before each block")
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of hidden units silenced in training"
    )
    zero_init: bool = Field(default=True, description="start as the identity")


class TrainConfig(Section):
    """How the flow is trained."""

    epochs: int = Field(default=40, ge=1)
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_decay: float = Field(default=0.1, ge=0)
    clip: float = Field(default=5.0, gt=0, description="largest gradient norm of a member")
    patience: int = Field(
        default=20, ge=0, description="epochs without improvement before stopping; 0 never stops"
    )
    noise: float = Field(default=0.05, ge=0, description="noise on standardised x")
    uncertain: bool = Field(
        default=False, description="learn to take any subset of the observables, with any errors"
    )
    dequantise: bool = Field(
        default=True, description="spread collision times over their resolution"
    )
    held_out_groups: int = Field(
        default=10,
        ge=0,
        description="0: stop on the validation clusters; G: member k on group k mod G of all but test",
    )
    bootstrap: bool = Field(
        default=False, description="every member trains on a bootstrap sample of its clusters"
    )
    recalibration_folds: int = Field(
        default=0,
        ge=0,
        description="0: no recalibration; F: fitted on F folds held out in turn, kept if it helps",
    )
    checkpoint_every: int = Field(default=5, ge=1, description="epochs between checkpoints")


class Config(Section):
    """All settings of a run."""

    seed: int = Field(default=42, ge=0)
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


def read_config(path: str | Path | None = None, changes: Sequence[str] = ()) -> Config:
    """Read a TOML file and apply ``section.key=value`` changes.

    Args:
        path: The file, the bare name of one that comes with the package (``glow``, ``observer``,
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


def read_settings(kind: type[S], path: str | Path | None, changes: Sequence[str]) -> S:
    """Read settings of any kind from a TOML file and changes to it; errors as ``read_config``."""
    values = _read_toml(Path(path)) if path is not None else {}
    for change in changes:
        _apply(values, change)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = str(path) if path is not None else "--set"
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"setting '{key}'",
                "a known setting",
                "an unknown one",
                where,
                _known(kind, first["loc"]),
            ) from error
        raise ConfigError(f"setting '{key}'", first["msg"], repr(first["input"]), where) from error


def shipped_configs() -> dict[str, Path]:
    """Files of settings that come with the package by their bare names: inside it, or beside its
    source.
    """
    inside = Path(str(files("cinn_clusters"))) / "configs"
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def to_toml(config: Config) -> str:
    """Write settings as ``read_config`` reads them."""
    lines = [f"seed = {config.seed}"]
    for section in ("model", "train"):
        lines += ["", f"[{section}]"]
        lines += [
            f"{key} = {_toml(value)}"
            for key, value in getattr(config, section).model_dump().items()
        ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def _read_toml(path: Path) -> dict[str, Any]:
    shipped = shipped_configs()
    if not path.exists() and str(path) in shipped:
        path = shipped[str(path)]
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = f"or a name that comes with the package: {', '.join(shipped)}"
        raise ConfigError(
            str(path), "a readable TOML file", error.strerror or "an error", "", hint
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "valid TOML", str(error)) from error


def _apply(values: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not key:
        raise ConfigError("--set", "section.key=value", change)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError("--set", "section.key=value", change)
    values[last] = value


def _known(kind: type[BaseModel], location: tuple[int | str, ...]) -> str:
    fields = kind.model_fields
    for part in location[:-1]:
        section = fields[str(part)].annotation
        assert section is not None
        fields = section.model_fields
    return f"known: {', '.join(fields)}"
