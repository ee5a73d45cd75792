"""Probes of embeddings: what each tells of observables and targets, on clusters it never learned.

A k-NN probe and a linear probe are fitted on maps of training clusters and scored on those of test
clusters, beside classical morphology and the principal components of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cinn_clusters import schema
from cinn_clusters.claims import reserving
from cinn_clusters.diagnostics.probes import alignment, knn_predictions, probe_embedding
from cinn_clusters.diagnostics.tarp import positive_spread
from cinn_clusters.embed.encode import encode, fit_components
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.embed.views import make_view, rotate
from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination, atomic_directory, write_json
from cinn_clusters.pipeline.maps.embed import match_maps
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.embedding import ViewsConfig
from cinn_clusters.storage.encoder import NAMES, VECTORS, Encoder, load_encoder
from cinn_clusters.storage.map_store import MapStore
from cinn_clusters.storage.run import Run, csv_text
from cinn_clusters.xray.morphology import morphology

SINCE_COLLISION = "time_since_collision"
_PIXEL_COMPONENTS = 32
_TABLES = {"knn": "knn.csv", "linear": "linear.csv"}


@dataclass(frozen=True, eq=False)
class _ProbeData:
    """Maps of a run and the quantities that embeddings are to predict."""

    maps: np.ndarray  # number of each map in the store, (M,)
    rows: np.ndarray  # row of the catalogue of each map, (M,)
    names: tuple[str, ...]  # of the quantities
    quantities: np.ndarray  # values for each map, (M, C)
    train: np.ndarray  # complete maps of training clusters, as positions in ``maps``
    test: np.ndarray  # complete maps of test clusters


@reserving()
def probe_encoders(
    run: Run, store: MapStore, encoders: Mapping[str, Path], destination: Destination
) -> dict[str, pd.DataFrame]:
    """Probe encoders beside classical morphology and the principal components of the pixels.

    Args:
        run: Split by cluster, observables and targets.
        store: Maps of its clusters.
        encoders: Bundles of ``embed train``, or folders of ``embed encode``, by a name to show.
        destination: Folder to make: ``knn.csv``, ``linear.csv`` (explained variance, embedding x
            quantity) and ``embeddings.json`` (rank, uniformity, alignment, rotation against
            projection).

    Returns:
        The tables ``knn``, ``linear`` and ``health``.

    Raises:
        DataError: If no test cluster has a map, or vectors do not fit the maps.
        BundleError: If an encoder cannot be read.
        OutputError: If the folder is taken.
    """
    destination.demand_free()
    data = _probe_data(run, store)
    vectors: dict[str, np.ndarray] = {}
    loaded: dict[str, Encoder] = {}
    for name, path in encoders.items():
        if (path / VECTORS).is_file():
            vectors[name] = _read_vectors(path, store)
        else:
            loaded[name] = load_encoder(path)
            vectors[name] = loaded[name].vectors(store.values)
    vectors |= _baselines(store, data)
    explained: dict[str, dict[str, np.ndarray]] = {"knn": {}, "linear": {}}
    health: dict[str, dict[str, float]] = {}
    for name, values in vectors.items():
        probe = probe_embedding(
            values[data.maps], data.quantities, data.train, data.test
        )
        explained["knn"][name], explained["linear"][name] = probe.knn, probe.linear
        health[name] = {
            "effective_rank": probe.rank,
            "has_collapsed": probe.has_collapsed,
            "uniformity": probe.uniformity,
        }
        if name in loaded:
            health[name] |= _invariance(loaded[name], store, data)
    quantity = pd.Index(data.names, name="quantity")
    frames = {
        kind: pd.DataFrame(table, quantity).T for kind, table in explained.items()
    }
    markers, overwrite = tuple(_TABLES.values()), destination.overwrite
    with atomic_directory(
        destination.path, overwrite=overwrite, markers=markers
    ) as scratch:
        for kind, frame in frames.items():
            text = csv_text(frame.rename_axis("embedding").reset_index())
            (scratch / _TABLES[kind]).write_text(text, encoding="utf-8")
        write_json(scratch / "embeddings.json", health)
    return frames | {"health": pd.DataFrame(health).T}


def quantities_of(run: Run) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names and values (N, C) of what an embedding may tell of each row.

    These are observables, targets and the time since the collision.
    """
    catalogue = run.catalogue
    scalars = tuple(
        name for name in catalogue.observables if not schema.is_embedding(name)
    )
    names, values = (
        (*scalars, *catalogue.targets),
        [catalogue.inputs(scalars), catalogue.theta],
    )
    if schema.COLLISION_TIME in catalogue.targets:
        collision_age = catalogue.theta[
            :, catalogue.targets.index(schema.COLLISION_TIME)
        ]
        names = (*names, SINCE_COLLISION)
        values.append((catalogue.age - collision_age)[:, None])
    return names, np.concatenate(values, 1)


def _probe_data(run: Run, store: MapStore) -> _ProbeData:
    rows, maps = match_maps(run.catalogue, store)
    names, quantities = quantities_of(run)
    quantities = quantities[rows]
    is_complete = np.isfinite(quantities).all(1)
    train = np.flatnonzero(np.isin(rows, run.split.train) & is_complete)
    test = np.flatnonzero(np.isin(rows, run.split.test) & is_complete)
    if not len(train) or not len(test):
        expected = "maps of training and of test clusters"
        raise DataError(store.source, expected, f"{len(train)} and {len(test)}")
    return _ProbeData(maps, rows, names, quantities, train, test)


def _read_vectors(folder: Path, store: MapStore) -> np.ndarray:
    """Return the vectors of a folder of ``embed encode`` in the order of the store."""
    vectors = np.load(folder / VECTORS, allow_pickle=False)
    names = np.load(folder / NAMES, allow_pickle=False)
    order = pd.Index(names.astype(object)).get_indexer(pd.Index(store.table.filename))
    if (order < 0).any():
        got = f"none for {store.table.filename[order < 0].iloc[0]}"
        raise DataError(folder / NAMES, "a vector for every map", got)
    return np.asarray(vectors[order])


def _baselines(store: MapStore, data: _ProbeData) -> dict[str, np.ndarray]:
    """Return vectors of all maps that need no network."""
    pixels = as_inputs(store.values, 32).flatten(1).numpy()
    offset, projection = fit_components(
        pixels[data.maps[data.train]], _PIXEL_COMPONENTS
    )
    baselines = {"pixels (PCA)": (pixels - offset) @ projection}
    if store.half_width >= 1.0:
        brightness = 10.0 ** np.nan_to_num(store.values.astype(float), nan=-9.0)
        baselines["morphology"] = morphology(brightness, store.half_width)
    return baselines


def _invariance(
    encoder: Encoder, store: MapStore, data: _ProbeData
) -> dict[str, float]:
    """Return how alike an encoder's vectors are under views, rotations and projections."""
    generator = torch_stream(0, "judge")
    inputs = as_inputs(store.values[data.maps], encoder.size)
    first, second = (
        encode(encoder.backbone, make_view(inputs[data.test], ViewsConfig(), generator))
        for _ in range(2)
    )
    changes = _rotation_against_projection(encoder, inputs, data)
    return {"alignment": alignment(first, second), **changes}


def _rotation_against_projection(
    encoder: Encoder, inputs: torch.Tensor, data: _ProbeData
) -> dict[str, float]:
    """Return how much the k-NN prediction changes by a rotation and by another projection.

    Changes are root mean squares over test maps, in standard deviations of the quantities.
    """
    train, test = data.train, data.test
    learned = data.quantities[train]
    goal = (learned - learned.mean(0)) / positive_spread(learned)
    vectors = encode(encoder.backbone, inputs)
    centre, spread = vectors[train].mean(0), positive_spread(vectors[train])

    def predict(queries: np.ndarray) -> np.ndarray:
        neighbours = (vectors[train] - centre) / spread
        return knn_predictions(neighbours, goal, (queries - centre) / spread)

    angle = (
        torch.rand(len(test), generator=torch_stream(0, "judge", "angle"))
        * 2.0
        * math.pi
    )
    predicted = predict(vectors[test])
    turned = predict(encode(encoder.backbone, rotate(inputs[test], angle)))
    changes = {"change_by_rotation": _rms(turned - predicted)}
    snapshots = pd.Series(test).groupby(data.rows[test])
    partner = snapshots.transform(lambda group: np.roll(group, 1)).to_numpy()
    has_partner = partner != test
    if has_partner.any():
        from_partner = predict(vectors[partner[has_partner]])
        changes["change_by_projection"] = _rms(from_partner - predicted[has_partner])
    return changes


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt((difference**2).mean()))
