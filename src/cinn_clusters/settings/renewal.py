"""Settings of version 0.1.0: one flat ``[model]`` for all flows, and ``train.uncertain``."""

from __future__ import annotations

from cinn_clusters.files import JsonObject
from cinn_clusters.settings.config import Config, ModelConfig


def renewed(values: JsonObject) -> JsonObject:
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
    flat = {
        name: model.pop(name) for name in model.keys() - ModelConfig.model_fields.keys()
    }
    if "uncertain" not in train and not flat:
        return values
    flow = model.get("flow", "autoregressive").replace("-", "_")
    fields = type(getattr(Config(), flow)).model_fields
    section = {name: flat[name] for name in fields if name in flat}
    model["flow"], train["augment"] = flow, train.pop("uncertain", False)
    return {**values, "model": model, "train": train, flow: section}
