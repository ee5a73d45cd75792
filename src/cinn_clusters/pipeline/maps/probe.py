"""Embeddings side by side: what each tells of every observable and target, on clusters nothing
was fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cinn_clusters import schema
from cinn_clusters.data.embeddings import parsed_names
from cinn_clusters.diagnostics.probes import (
    EmbeddingProbe,
    alignment,
    knn_predictions,
    probe_embedding,
)
from cinn_clusters.embed.encode import encode, fit_components
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.embed.views import make_view, rotate
from cinn_clusters.errors import DataError
from cinn_clusters.files import atomic_directory, demand_free, write_json
from cinn_clusters.pipeline.maps.embed import matched
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.embedding import ViewsConfig
from cinn_clusters.storage.encoder import NAMES, VECTORS, Encoder, load_encoder
from cinn_clusters.storage.map_store import MapStore
from cinn_clusters.storage.run import Run, csv_text
from cinn_clusters.xray.morphology import morphology

PIXEL_COMPONENTS = 32
SINCE = "time_since_collision"
TABLES = {"nearest": "nearest.csv", "linear": "linear.csv"}


def judge_embeddings(
    run: Run,
    store: MapStore,
    encoders: Mapping[str, str | Path],
    out: str | Path,
    *,
    overwrite: bool = False,
) -> dict[str, pd.DataFrame]:
    """Judge encoders beside classical morphology and the principal components of the pixels.

    Args:
        run: Split by cluster, observables and targets.
        store: Maps of its clusters.
        encoders: Bundles of ``embed train``, or folders of ``embed encode``, by a name to show.
        out: Folder to make: ``nearest.csv``, ``linear.csv`` (explained variance, embedding x
            quantity) and ``embeddings.json`` (rank, uniformity, alignment, rotation against
            projection).
        overwrite: Replace a judgement that stands there.

    Returns:
        Both tables and ``health``.

    Raises:
        DataError: If no test cluster has a map, or vectors do not fit the maps.
        BundleError: If an encoder cannot be read.
        OutputError: If the folder is taken.
    """
    out = Path(out)
    demand_free(out, overwrite)
    rows, maps = matched(run.catalogue, store)
    train, test = (
        np.flatnonzero(np.isin(rows, part)) for part in (run.split.train, run.split.test)
    )
    if not len(train) or not len(test):
        raise DataError(
            store.source, "maps of training and of test clusters", f"{len(train)} and {len(test)}"
        )
    names, known = quantities(run)
    told = {name: _loaded(path, store) for name, path in encoders.items()}
    candidates = {
        name: (vectors, encoder) for name, (vectors, encoder) in told.items()
    } | _baselines(store, maps, train)
    tables: dict[str, dict[str, np.ndarray]] = {"nearest": {}, "linear": {}}
    health: dict[str, dict[str, Any]] = {}
    for name, (vectors, encoder) in candidates.items():
        found = probe_embedding(vectors[maps], known[rows], train, test)
        tables["nearest"][name], tables["linear"][name] = found.knn, found.linear
        health[name] = _health(found, encoder, store, maps, rows, known, train, test)
    frames = {
        kind: pd.DataFrame(table, index=pd.Index(names, name="quantity")).T
        for kind, table in tables.items()
    }
    with atomic_directory(out, overwrite=overwrite, markers=tuple(TABLES.values())) as scratch:
        for kind, frame in frames.items():
            (scratch / TABLES[kind]).write_text(
                csv_text(frame.rename_axis("embedding").reset_index()), encoding="utf-8"
            )
        write_json(scratch / "embeddings.json", health)
    return frames | {"health": pd.DataFrame(health).T}


def quantities(run: Run) -> tuple[list[str], np.ndarray]:
    """Names and values (N, C) of what an embedding may tell: observables, targets and the time
    since the collision.
    """
    catalogue = run.catalogue
    scalars = [name for name in catalogue.observables if not schema.is_embedding(name)]
    values = [catalogue.inputs(tuple(scalars)), catalogue.theta]
    names = [*scalars, *catalogue.targets]
    if schema.COLLISION_TIME in catalogue.targets:
        since = catalogue.age - catalogue.theta[:, catalogue.targets.index(schema.COLLISION_TIME)]
        names, values = [*names, SINCE], [*values, since[:, None]]
    return names, np.concatenate(values, 1)


def _loaded(path: str | Path, store: MapStore) -> tuple[np.ndarray, Encoder | None]:
    """Vectors of all maps, and the encoder if the path is one."""
    path = Path(path)
    if (path / VECTORS).is_file():
        vectors, names = (np.load(path / name, allow_pickle=False) for name in (VECTORS, NAMES))
        where = parsed_names([str(name) for name in names], str(path))
        order = pd.Index(where.filename).get_indexer(pd.Index(store.table.filename))
        if (order < 0).any():
            raise DataError(
                str(path / NAMES),
                "a vector for every map",
                f"none for {store.table.filename[order < 0].iloc[0]}",
            )
        return vectors[order], None
    encoder = load_encoder(path)
    return encoder.vectors(store.values), encoder


def _baselines(
    store: MapStore, maps: np.ndarray, train: np.ndarray
) -> dict[str, tuple[np.ndarray, None]]:
    """Vectors without a network."""
    brightness = 10.0 ** np.nan_to_num(store.values.astype(float), nan=-9.0)
    pixels = as_inputs(store.values, 32).flatten(1).numpy()
    offset, projection = fit_components(pixels[maps[train]], PIXEL_COMPONENTS)
    found = {"pixels (PCA)": ((pixels - offset) @ projection, None)}
    if store.half_width >= 1.0:
        found["morphology"] = (morphology(brightness, store.half_width), None)
    return found


def _health(
    found: EmbeddingProbe,
    encoder: Encoder | None,
    store: MapStore,
    maps: np.ndarray,
    rows: np.ndarray,
    known: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> dict[str, Any]:
    """Numbers that say whether an embedding is sound."""
    told: dict[str, Any] = {
        "effective_rank": found.rank,
        "has_collapsed": found.has_collapsed,
        "uniformity": found.uniformity,
    }
    if encoder is None:
        return told
    generator = torch_stream(0, "judge")
    inputs = as_inputs(store.values[maps], encoder.size)
    views = [
        encode(encoder.backbone, make_view(inputs[test], ViewsConfig(), generator))
        for _ in range(2)
    ]
    told["alignment"] = alignment(*views)
    return told | rotation_against_projection(encoder, inputs, rows, known, train, test)


def rotation_against_projection(
    encoder: Encoder,
    inputs: torch.Tensor,
    rows: np.ndarray,
    known: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> dict[str, float]:
    """How much the neighbours' answer changes when a test map is turned, and when another projection is taken.

    Args:
        encoder: Judged.
        inputs: Of all maps, (M, 1, H, H).
        rows: Row of the catalogue of each map, (M,).
        known: Quantities by row, (N, C).
        train: Maps whose neighbours answer.
        test: Maps that ask.

    Returns:
        Root mean square changes in standard deviations of the quantities: by a rotation, by another
        projection.
    """
    goal = (known - known[rows[train]].mean(0)) / known[rows[train]].std(0)
    base = encode(encoder.backbone, inputs)
    centre, spread = base[train].mean(0), base[train].std(0) + 1e-12

    def answer(vectors: np.ndarray) -> np.ndarray:
        return knn_predictions(
            (base[train] - centre) / spread, goal[rows[train]], (vectors - centre) / spread
        )

    angle = torch.rand(len(test), generator=torch_stream(0, "judge", "angle")) * 2.0 * math.pi
    asked = answer(base[test])
    turned = answer(encode(encoder.backbone, rotate(inputs[test], angle)))
    result = {"change_by_rotation": float(np.sqrt(((turned - asked) ** 2).mean()))}
    other = (
        pd.Series(test).groupby(rows[test]).transform(lambda group: np.roll(group, 1)).to_numpy()
    )
    is_other = other != test
    if is_other.any():
        seen = answer(base[other[is_other]])
        result["change_by_projection"] = float(np.sqrt(((seen - asked[is_other]) ** 2).mean()))
    return result
