"""The explorer: a page of one file in which a model runs by itself, and the same as a widget.

``engine.js`` computes the posterior, ``explorer.js`` shows it; both stand in the page as they are,
beside the packed model. Nothing is loaded from anywhere.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

from cinn_clusters.catalogues.mapping import read_preset
from cinn_clusters.claims import reserving
from cinn_clusters.files import JsonObject, atomic_file, demand_free
from cinn_clusters.pipeline.inference.catalogue_query import CatalogueSource, read_query
from cinn_clusters.pipeline.inference.demo_observed import (
    published_table,
    read_known_clusters,
)
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.schema import ERROR_PREFIX
from cinn_clusters.storage.model import load_model
from cinn_clusters.web.packed_model import pack_model

_FOLDER = files("cinn_clusters.web")
TITLE = "Merger histories of galaxy clusters"


@reserving()
def write_explorer(
    out: str | Path, *, model: str | Path | None = None, overwrite: bool = False
) -> Path:
    """Write the explorer of a model: one page without any request to a network.

    Args:
        out: HTML file to write.
        model: A trained model; None: the one that comes with the package.
        overwrite: Replace a file that stands there.

    Returns:
        The file.

    Raises:
        BundleError: If the model is missing or damaged.
        DataError: If the model is of a kind that pages do not run.
        OutputError: If the file is taken or cannot be written.

    Examples:
        >>> page = write_explorer(getfixture("tmp_path") / "explorer.html")
        >>> "<script src" in page.read_text()
        False
    """
    out = Path(out)
    demand_free(out, overwrite)
    page = _render(load_model(model))
    with atomic_file(out) as scratch:
        scratch.write_text(page, encoding="utf-8")
    return out


def _render(model: TrainedModel) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_source("explorer.html.j2"))
    pack = pack_explorer(model)
    provenance = model.provenance
    clusters = provenance["num_clusters"]["train"]
    return template.render(
        title=TITLE,
        condition=_sentence(str(pack["condition"])),
        provenance=f"cinn-clusters {version('cinn-clusters')}, trained on {clusters} clusters",
        pack=_embedded(pack),
        style=_source("explorer.css"),
        engine=_source("engine.js"),
        script=_source("explorer.js"),
    )


def _sentence(text: str) -> str:
    """Begin with a capital letter; names within stay as they are."""
    return text[:1].upper() + text[1:]


def pack_explorer(model: TrainedModel) -> JsonObject:
    """Pack a model with the known clusters as presets."""
    return {**pack_model(model), "clusters": _known_clusters(model.posterior)}


def _embedded(values: JsonObject) -> str:
    """JSON that ends no script element."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def _source(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _known_clusters(posterior: Posterior) -> list[JsonObject]:
    """Name and measured inputs of each known cluster, converted as ``infer`` converts them."""
    import tempfile

    clusters = read_known_clusters()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known.ecsv"
        published_table(clusters).write(path, format="ascii.ecsv")
        source = CatalogueSource(path, read_preset("known"))
        query = read_query(source, posterior).query
    return [
        {"name": cluster.name, "measured": _measured(posterior.inputs, row)}
        for cluster, row in zip(clusters, query.inputs, strict=True)
    ]


def _measured(names: tuple[str, ...], row: np.ndarray) -> JsonObject:
    """Value and error of the inputs that are there."""
    columns = dict(zip(names, row.tolist(), strict=True))
    return {
        name: {"value": value, "error": columns.get(ERROR_PREFIX + name, 0.0)}
        for name, value in columns.items()
        if not name.startswith(ERROR_PREFIX) and np.isfinite(value)
    }
