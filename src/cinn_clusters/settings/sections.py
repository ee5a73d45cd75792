"""Sections of settings: frozen, checked, read from TOML and from ``section.key=value`` changes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cinn_clusters.documents import parse_toml, read_text, reason
from cinn_clusters.errors import ConfigError
from cinn_clusters.files import JsonObject

S = TypeVar("S", bound=BaseModel)


class Section(BaseModel):
    """Settings that go together; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_settings(kind: type[S], path: str | Path | None, changes: Sequence[str]) -> S:
    """Read settings of one kind from a TOML file (or none) and apply changes to them.

    Raises:
        ConfigError: If the file cannot be read, or a key or value is wrong.
    """
    values: JsonObject = {}
    source = "--set"
    if path is not None:
        values, source = _read_toml(Path(path)), str(path)
    for change in changes:
        _apply(values, change)
    return validated(kind, values, source)


def validated(kind: type[S], values: JsonObject, source: str) -> S:
    """Return settings of plain values.

    Raises:
        ConfigError: If a key or value is wrong.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _refusal(kind, values, error, source) from error


def shipped_configs() -> dict[str, Path]:
    """Files of settings of the package by their bare names: inside it, or beside its source."""
    folder = Path(str(files("cinn_clusters"))) / "configs"
    if not folder.is_dir():
        folder = Path(__file__).parents[3] / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def to_toml(settings: BaseModel) -> str:
    """Write settings as ``read_settings`` reads them; sections that hold defaults are left out."""
    lines = []
    for name, value in settings:
        if not isinstance(value, Section):
            lines.append(f"{name} = {_toml_value(value)}")
        elif value != type(value)():
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_toml_value(entry)}" for key, entry in value]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    return json.dumps(
        value
    )  # strings, numbers, truth values and lists look alike in both


def _read_toml(path: Path) -> JsonObject:
    shipped = shipped_configs()
    if not path.is_file() and str(path) in shipped:
        path = shipped[str(path)]
    try:
        return parse_toml(read_text(path))
    except OSError as error:
        hint = f"or a name that comes with the package: {', '.join(shipped)}"
        raise ConfigError(
            path, "a readable TOML file", reason(error), "", hint
        ) from error
    except ValueError as error:
        raise ConfigError(path, "valid TOML", reason(error)) from error


def _apply(values: JsonObject, change: str) -> None:
    """Apply ``section.key=value``; the value is TOML, or text without quotes."""
    key, separator, text = change.partition("=")
    if not separator or not key:
        raise ConfigError("--set", "section.key=value", change)
    try:
        value = parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    except ValueError as error:
        raise ConfigError("--set", "section.key=value", reason(error), key) from error
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError("--set", "section.key=value", change)
    values[last] = value


def _refusal(
    kind: type[BaseModel], values: JsonObject, error: ValidationError, source: str
) -> ConfigError:
    """Turn the first complaint of pydantic into one line."""
    complaint = error.errors()[0]
    cause = complaint.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return cause.at(source)
    location = [str(part) for part in complaint["loc"]]
    key = ".".join(location)
    if complaint["type"] != "extra_forbidden":
        expected = complaint["msg"].removeprefix("Input should be ")
        return ConfigError(
            f"setting '{key}'", expected, repr(complaint["input"]), source
        )
    hint = f"known: {', '.join(_field_names(kind, location[:-1]))}"
    if name := _name_today(kind, key, values):
        hint = f"it is now {name}"
    return ConfigError(
        f"setting '{key}'", "a known setting", "an unknown one", source, hint
    )


def _name_today(kind: type[BaseModel], key: str, values: JsonObject) -> str:
    """Today's name of a flat setting of version 0.1.0 (see ``renewal``), or nothing."""
    if key == "train.uncertain":
        return "train.augment"
    section, _, name = key.partition(".")
    if section != "model":
        return ""
    sections = [
        other for other in kind.model_fields if name in _field_names(kind, [other])
    ]
    flow = values["model"].get("flow", "autoregressive")
    if flow in sections:
        return f"{flow}.{name}"
    return " or ".join(f"{other}.{name}" for other in sections)


def _field_names(kind: type[BaseModel], location: list[str]) -> list[str]:
    for section in location:
        kind = kind.model_fields[section].annotation  # type: ignore[assignment]
    return list(getattr(kind, "model_fields", ()))
