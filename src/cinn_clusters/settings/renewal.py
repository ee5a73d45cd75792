"""Settings of version 0.1.0: one flat ``[model]`` for all flows, and ``train.uncertain``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinn_clusters.files import JsonObject

_FLAT = {
    "autoregressive": ("blocks", "hidden", "layers", "element", "clamp", "bins", "bound"),
    "glow": ("blocks", "hidden", "layers", "clamp"),
    "spline": ("blocks", "hidden", "layers", "bins", "bound"),
    "mixture": ("components", "hidden", "layers"),
    "flow_matching": ("steps", "hidden", "layers"),
}
"""Names that stood in ``[model]`` by the section in which each flow has them now."""
_FLAT_NAMES = {name for names in _FLAT.values() for name in names}


def renewed(values: Mapping[str, Any]) -> JsonObject:
    """Return settings of version 0.1.0 as those of today, and settings of today as they are.

    Args:
        values: What ``Config.model_dump`` gave, for instance in a bundle.

    Returns:
        Values for ``Config.model_validate``.

    Examples:
        >>> renewed({"model": {"flow": "mixture", "hidden": 8}, "train": {"uncertain": True}})
        {'model': {'flow': 'mixture'}, 'train': {'augment': True}, 'mixture': {'hidden': 8}}
    """
    model, train = dict(values.get("model", {})), dict(values.get("train", {}))
    if "uncertain" not in train and not _FLAT_NAMES & model.keys():
        return dict(values)
    model["flow"] = _flow_of(model)
    flat = {name: model.pop(name) for name in _FLAT_NAMES & model.keys()}
    section = {name: flat[name] for name in _FLAT[model["flow"]] if name in flat}
    train["augment"] = train.pop("uncertain", False)
    return {**values, "model": model, "train": train, model["flow"]: section}


def renamed(key: str, values: Mapping[str, Any]) -> str:
    """Return today's name of a setting of version 0.1.0, or nothing if it was none.

    Args:
        key: Such as ``model.hidden``.
        values: The settings among which it stands; they name the flow.
    """
    if key == "train.uncertain":
        return "train.augment"
    section, _, name = key.partition(".")
    if section != "model" or name not in _FLAT_NAMES:
        return ""
    flow = _flow_of(values["model"])
    if name in _FLAT.get(flow, ()):
        return f"{flow}.{name}"
    return " or ".join(f"{flow}.{name}" for flow, names in _FLAT.items() if name in names)


def _flow_of(model: Mapping[str, Any]) -> str:
    return str(model.get("flow", "autoregressive")).replace("-", "_")
