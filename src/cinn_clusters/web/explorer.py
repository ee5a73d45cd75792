"""The explorer: a page of one file in which a model runs by itself, and the same as a widget.

``engine.js`` computes the posterior, ``explorer.js`` shows it; both stand in the page as they are,
beside the packed model. Nothing is loaded from anywhere.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from cinn_clusters.catalogues.mapping import read_preset
from cinn_clusters.claims import reserving
from cinn_clusters.errors import ConfigError
from cinn_clusters.files import JsonObject, atomic_file, demand_free
from cinn_clusters.pipeline.inference.catalogue_query import CatalogueSource, read_query
from cinn_clusters.pipeline.inference.demo_observed import (
    published_table,
    read_known_clusters,
)
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.schema import DEFAULT, ERROR_PREFIX
from cinn_clusters.settings.config import Config
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
    clusters = provenance.get("num_clusters", {}).get("train", "unknown")
    return template.render(
        title=TITLE,
        notes=[_sentence(note) for note in pack["notes"].values()],
        provenance=f"cinn-clusters {version('cinn-clusters')}, clusters in training: {clusters}",
        pack=_embedded(pack),
        style=_source("explorer.css"),
        engine=_source("engine.js"),
        script=_source("explorer.js"),
    )


def _sentence(text: str) -> str:
    """Begin with a capital letter; names within stay as they are."""
    return text[:1].upper() + text[1:]


def explorer(posterior: Posterior | TrainedModel) -> Any:
    """Make a widget of a model for JupyterLab, VS Code and marimo (extra ``[widget]``).

    Args:
        posterior: A posterior that was loaded or trained here, or its whole model. Of a posterior
            alone the page cannot say whether it applies.

    Returns:
        An ``anywidget.AnyWidget``, which a notebook shows as the value of a cell.

    Raises:
        DataError: If the model is of a kind that pages do not run.
        ConfigError: If anywidget is not installed.

    Examples:
        >>> from cinn_clusters import load_model
        >>> len(explorer(load_model()).pack) > 500_000
        True
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        hint = "pip install 'cinn-clusters[widget]'"
        raise ConfigError("explorer", "anywidget", "none", "", hint) from error
    model = posterior
    if not isinstance(model, TrainedModel):
        model = TrainedModel(model, Config())
    traits = {
        "_esm": widget_module(),
        "_css": _source("explorer.css"),
        "pack": traitlets.Unicode(_embedded(pack_explorer(model))).tag(sync=True),
    }
    return type("Explorer", (anywidget.AnyWidget,), traits)()


def widget_module() -> str:
    """Return the module that a notebook runs: engine, explorer, and how to begin."""
    return "\n".join(map(_source, ("engine.js", "explorer.js", "widget.js")))


def pack_explorer(model: TrainedModel) -> JsonObject:
    """Pack a model with the known clusters as presets, where it has their columns."""
    presets: list[JsonObject] = []
    if model.posterior.transforms.schema == DEFAULT:
        presets = _known_clusters(model.posterior)
    return {**pack_model(model), "clusters": presets}


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
