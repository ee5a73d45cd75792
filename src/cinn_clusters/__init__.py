"""From what a survey sees of a galaxy cluster to the posterior of its merger history.

The public names below are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinn_clusters.catalogues.mapping import read_mapping, read_preset
    from cinn_clusters.data.audit import audit_split
    from cinn_clusters.data.catalogue import Catalogue, read_catalogue
    from cinn_clusters.data.split import Split, split_by_cluster
    from cinn_clusters.errors import CinnError
    from cinn_clusters.mock.population import mock_catalogue
    from cinn_clusters.pipeline.baseline import baseline
    from cinn_clusters.pipeline.config import Config, read_config
    from cinn_clusters.pipeline.crossval import crossval
    from cinn_clusters.pipeline.diagnose import diagnose
    from cinn_clusters.pipeline.evaluate import evaluate
    from cinn_clusters.pipeline.figures import draw_figures
    from cinn_clusters.pipeline.fit import fit
    from cinn_clusters.pipeline.mock import write_mock
    from cinn_clusters.pipeline.model import load_posterior, save_posterior
    from cinn_clusters.pipeline.observe import observe
    from cinn_clusters.pipeline.observer import load_observer
    from cinn_clusters.pipeline.prepare import prepare
    from cinn_clusters.pipeline.report import report
    from cinn_clusters.pipeline.run import open_run
    from cinn_clusters.pipeline.sensitivity import sensitivity
    from cinn_clusters.pipeline.summary import summarise
    from cinn_clusters.pipeline.train import train
    from cinn_clusters.posterior.mode import joint_mode
    from cinn_clusters.posterior.posterior import Posterior

_HOMES = {
    "Catalogue": "data.catalogue",
    "CinnError": "errors",
    "Config": "pipeline.config",
    "Posterior": "posterior.posterior",
    "Split": "data.split",
    "audit_split": "data.audit",
    "baseline": "pipeline.baseline",
    "crossval": "pipeline.crossval",
    "diagnose": "pipeline.diagnose",
    "draw_figures": "pipeline.figures",
    "evaluate": "pipeline.evaluate",
    "fit": "pipeline.fit",
    "joint_mode": "posterior.mode",
    "load_observer": "pipeline.observer",
    "load_posterior": "pipeline.model",
    "mock_catalogue": "mock.population",
    "observe": "pipeline.observe",
    "open_run": "pipeline.run",
    "prepare": "pipeline.prepare",
    "read_catalogue": "data.catalogue",
    "read_config": "pipeline.config",
    "read_mapping": "catalogues.mapping",
    "read_preset": "catalogues.mapping",
    "report": "pipeline.report",
    "save_posterior": "pipeline.model",
    "sensitivity": "pipeline.sensitivity",
    "split_by_cluster": "data.split",
    "summarise": "pipeline.summary",
    "train": "pipeline.train",
    "write_mock": "pipeline.mock",
}

__all__ = [
    "Catalogue",
    "CinnError",
    "Config",
    "Posterior",
    "Split",
    "audit_split",
    "baseline",
    "crossval",
    "diagnose",
    "draw_figures",
    "evaluate",
    "fit",
    "joint_mode",
    "load_observer",
    "load_posterior",
    "mock_catalogue",
    "observe",
    "open_run",
    "prepare",
    "read_catalogue",
    "read_config",
    "read_mapping",
    "read_preset",
    "report",
    "save_posterior",
    "sensitivity",
    "split_by_cluster",
    "summarise",
    "train",
    "write_mock",
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
