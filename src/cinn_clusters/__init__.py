"""From what a survey sees of a galaxy cluster to the posterior of its merger history.

The public names below are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinn_clusters.data.audit import audit_split
    from cinn_clusters.data.catalogue import Catalogue, read_catalogue
    from cinn_clusters.data.split import Split, split_by_cluster
    from cinn_clusters.errors import CinnError
    from cinn_clusters.mock.population import mock_catalogue
    from cinn_clusters.pipeline.config import Config, read_config
    from cinn_clusters.pipeline.fit import fit
    from cinn_clusters.pipeline.model import load_posterior, save_posterior
    from cinn_clusters.pipeline.summary import summarise
    from cinn_clusters.posterior.mode import joint_mode
    from cinn_clusters.posterior.posterior import Posterior

_HOMES = {
    "Catalogue": "data.catalogue",
    "CinnError": "errors",
    "Config": "pipeline.config",
    "Posterior": "posterior.posterior",
    "Split": "data.split",
    "audit_split": "data.audit",
    "fit": "pipeline.fit",
    "joint_mode": "posterior.mode",
    "load_posterior": "pipeline.model",
    "mock_catalogue": "mock.population",
    "read_catalogue": "data.catalogue",
    "read_config": "pipeline.config",
    "save_posterior": "pipeline.model",
    "split_by_cluster": "data.split",
    "summarise": "pipeline.summary",
}

__all__ = [
    "Catalogue",
    "CinnError",
    "Config",
    "Posterior",
    "Split",
    "audit_split",
    "fit",
    "joint_mode",
    "load_posterior",
    "mock_catalogue",
    "read_catalogue",
    "read_config",
    "save_posterior",
    "split_by_cluster",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("cinn-clusters")
    if name not in _HOMES:
        raise AttributeError(f"module 'cinn_clusters' has no attribute '{name}'")
    return getattr(import_module(f"cinn_clusters.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
