"""Which model made a product of a run: products of two models are never joined."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cinn_clusters.errors import BundleError
from cinn_clusters.files import JsonObject, read_json, sha256_of, write_json
from cinn_clusters.storage.posterior_file import read_attributes
from cinn_clusters.storage.run import model_hash
from cinn_clusters.storage.run_paths import ResultPaths, RunPaths

ORIGIN = "origin.json"
"""In a folder of products: the hash of the model that made them."""
_COMMANDS = {
    "sensitivity": "sensitivity",
    "figures": "figures",
    "diagnostics.json": "diagnose",
}
_UNKNOWN = "one of an older version, which does not say"
_INDEPENDENT = ""
"""Origin of a product that no posterior model took part in."""


def demand_one_model(run: RunPaths, products: Iterable[Path]) -> None:
    """Refuse products that another model than that of the run made; absent ones are no matter.

    Raises:
        BundleError: If a product is of another model, with the command that makes it anew.
    """
    if not run.model.is_dir():
        return
    expected = model_hash(run.model)
    for product in products:
        if not product.exists():
            continue
        origin = _origin(product)
        if origin not in (expected, _INDEPENDENT):
            command = _COMMANDS.get(product.name, "evaluate")
            target = run.posterior if command == "diagnose" else run.root
            got = _UNKNOWN if origin is None else "one of another model"
            hint = f"run cinn-clusters {command} {target} --overwrite"
            raise BundleError(
                product, "a product of the model of this run", got, "", hint
            )


def write_origin(folder: Path, run: RunPaths) -> None:
    """Note in a folder of products which model of the run made them."""
    origin = model_hash(run.model) if run.model.is_dir() else _INDEPENDENT
    write_json(folder / ORIGIN, {"model_sha256": origin})


def _origin(product: Path) -> str | None:
    """Hash of the model that made a product; None where it does not say."""
    if product.is_dir():
        note = product / ORIGIN
        values: JsonObject = read_json(note) if note.is_file() else {}
    elif product.suffix == ".nc":
        values = read_attributes(product)
    elif product.suffix == ".csv":  # written together with the scores
        scores = read_json(ResultPaths(product.parent).scores)
        values = scores if scores.get("summary_sha256") == sha256_of(product) else {}
    else:
        values = read_json(product)
    return values.get("model_sha256")
