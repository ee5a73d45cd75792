"""From observables of a galaxy cluster to the posterior of its merger history.

The public names are loaded when they are first used, so that importing the package costs nothing;
``__init__.pyi`` tells type checkers of them.
"""

from importlib import import_module
from importlib.metadata import version

_NAMES = {
    "catalogues.mapping": "read_mapping read_preset",
    "data.catalogue": "Catalogue read_catalogue",
    "data.declared": "read_schema",
    "data.leakage": "audit_split",
    "data.split": "Split split_by_cluster",
    "errors": "CinnError",
    "mock.population": "mock_catalogue",
    "pipeline.inference.answer": "InferenceRequest answer",
    "pipeline.inference.answering": "InferenceOptions",
    "pipeline.inference.infer": "Inferred infer",
    "pipeline.report.draw": "draw_figures",
    "pipeline.report.page": "report",
    "pipeline.scale.engines": "PartitionOptions",
    "pipeline.scale.infer_partitions": "infer_partitions",
    "pipeline.simulation.baseline": "baseline",
    "pipeline.simulation.compare": "compare",
    "pipeline.simulation.crossval": "crossval",
    "pipeline.simulation.diagnose": "diagnose",
    "pipeline.simulation.evaluate": "evaluate",
    "pipeline.simulation.mock": "write_mock",
    "pipeline.simulation.prepare": "Preparation TableFiles prepare",
    "pipeline.simulation.sensitivity": "sensitivity",
    "pipeline.simulation.train": "train",
    "posterior.fit": "fit",
    "posterior.mode": "joint_mode",
    "posterior.posterior": "Posterior",
    "posterior.query": "Sampling",
    "posterior.summary": "summarise",
    "schema": "Schema",
    "settings.config": "Config read_config",
    "storage.model": "load_model load_posterior save_model save_posterior",
    "storage.onnx.export": "export_onnx",
    "storage.run": "open_run",
    "web.explorer": "explorer write_explorer",
}
"""Public names by module."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("cinn-clusters")
    if name not in _HOMES:
        raise AttributeError(f"module 'cinn_clusters' has no attribute '{name}'")
    return getattr(import_module(f"cinn_clusters.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
