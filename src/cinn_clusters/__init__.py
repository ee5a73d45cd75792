"""From what a survey sees of a galaxy cluster to the posterior of its merger history.

The public names below are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinn_clusters.catalogues.mapping import read_mapping, read_preset
    from cinn_clusters.data.catalogue import Catalogue, read_catalogue
    from cinn_clusters.data.declared import read_schema
    from cinn_clusters.data.leakage import audit_split
    from cinn_clusters.data.split import Split, split_by_cluster
    from cinn_clusters.errors import CinnError
    from cinn_clusters.mock.population import mock_catalogue
    from cinn_clusters.pipeline.inference.infer import InferenceOptions, Inferred, infer
    from cinn_clusters.pipeline.report.draw import draw_figures
    from cinn_clusters.pipeline.report.page import report
    from cinn_clusters.pipeline.simulation.baseline import baseline
    from cinn_clusters.pipeline.simulation.crossval import crossval
    from cinn_clusters.pipeline.simulation.diagnose import diagnose
    from cinn_clusters.pipeline.simulation.evaluate import evaluate
    from cinn_clusters.pipeline.simulation.mock import write_mock
    from cinn_clusters.pipeline.simulation.prepare import Preparation, TableFiles, prepare
    from cinn_clusters.pipeline.simulation.sensitivity import sensitivity
    from cinn_clusters.pipeline.simulation.train import train
    from cinn_clusters.posterior.fit import fit
    from cinn_clusters.posterior.mode import joint_mode
    from cinn_clusters.posterior.posterior import Posterior
    from cinn_clusters.posterior.query import Sampling
    from cinn_clusters.posterior.summary import summarise
    from cinn_clusters.schema import Schema
    from cinn_clusters.settings.config import Config, read_config
    from cinn_clusters.storage.model import load_model, load_posterior, save_model, save_posterior
    from cinn_clusters.storage.run import open_run

_HOMES = {
    "Catalogue": "data.catalogue",
    "CinnError": "errors",
    "Config": "settings.config",
    "InferenceOptions": "pipeline.inference.infer",
    "Inferred": "pipeline.inference.infer",
    "Posterior": "posterior.posterior",
    "Preparation": "pipeline.simulation.prepare",
    "Sampling": "posterior.query",
    "Schema": "schema",
    "Split": "data.split",
    "TableFiles": "pipeline.simulation.prepare",
    "audit_split": "data.leakage",
    "baseline": "pipeline.simulation.baseline",
    "crossval": "pipeline.simulation.crossval",
    "diagnose": "pipeline.simulation.diagnose",
    "draw_figures": "pipeline.report.draw",
    "evaluate": "pipeline.simulation.evaluate",
    "fit": "posterior.fit",
    "infer": "pipeline.inference.infer",
    "joint_mode": "posterior.mode",
    "load_model": "storage.model",
    "load_posterior": "storage.model",
    "mock_catalogue": "mock.population",
    "open_run": "storage.run",
    "prepare": "pipeline.simulation.prepare",
    "read_catalogue": "data.catalogue",
    "read_config": "settings.config",
    "read_mapping": "catalogues.mapping",
    "read_preset": "catalogues.mapping",
    "read_schema": "data.declared",
    "report": "pipeline.report.page",
    "save_model": "storage.model",
    "save_posterior": "storage.model",
    "sensitivity": "pipeline.simulation.sensitivity",
    "split_by_cluster": "data.split",
    "summarise": "posterior.summary",
    "train": "pipeline.simulation.train",
    "write_mock": "pipeline.simulation.mock",
}

__all__ = [
    "Catalogue",
    "CinnError",
    "Config",
    "InferenceOptions",
    "Inferred",
    "Posterior",
    "Preparation",
    "Sampling",
    "Schema",
    "Split",
    "TableFiles",
    "audit_split",
    "baseline",
    "crossval",
    "diagnose",
    "draw_figures",
    "evaluate",
    "fit",
    "infer",
    "joint_mode",
    "load_model",
    "load_posterior",
    "mock_catalogue",
    "open_run",
    "prepare",
    "read_catalogue",
    "read_config",
    "read_mapping",
    "read_preset",
    "read_schema",
    "report",
    "save_model",
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
