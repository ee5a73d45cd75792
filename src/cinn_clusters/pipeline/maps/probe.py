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

    explained: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in _TABLES}
    health: dict[str, dict[str, float]] = {}
    for name, values in vectors.items():
        learned = values[data.maps]
        probe = probe_embedding(learned, data.quantities, data.train, data.test)
        explained["knn"][name] = probe.knn
        explained["linear"][name] = probe.linear
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
    _write_tables(frames, health, destination)
    return frames | {"health": pd.DataFrame(health).T}


def _write_tables(
    frames: dict[str, pd.DataFrame],
    health: dict[str, dict[str, float]],
    destination: Destination,
) -> None:
    overwrite = destination.overwrite
    markers = tuple(_TABLES.values())
    with atomic_directory(
        destination.path, overwrite=overwrite, markers=markers
    ) as scratch:
        for kind, frame in frames.items():
            table = frame.rename_axis("embedding").reset_index()
            path = scratch / _TABLES[kind]
            path.write_text(csv_text(table), encoding="utf-8")
        write_json(scratch / "embeddings.json", health)


def quantities_of(run: Run) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names and values (N, C) of what an embedding may tell of each row.

    These are observables, targets and the time since the collision.
    """
    catalogue = run.catalogue
    targets = catalogue.targets
    scalars = tuple(
        name for name in catalogue.observables if not schema.is_embedding(name)
    )
    names = (*scalars, *targets)
    values = [catalogue.inputs(scalars), catalogue.theta]
    if schema.COLLISION_TIME in targets:
        column = targets.index(schema.COLLISION_TIME)
        collision_age = catalogue.theta[:, column]
        since_collision = catalogue.age - collision_age
        names = (*names, SINCE_COLLISION)
        values.append(since_collision[:, None])
    return names, np.concatenate(values, 1)


def _probe_data(run: Run, store: MapStore) -> _ProbeData:
    rows, maps = match_maps(run.catalogue, store)
    names, all_quantities = quantities_of(run)
    quantities = all_quantities[rows]
    is_complete = np.isfinite(quantities).all(1)
    is_train = np.isin(rows, run.split.train)
    is_test = np.isin(rows, run.split.test)
    train = np.flatnonzero(is_train & is_complete)
    test = np.flatnonzero(is_test & is_complete)
    if not len(train) or not len(test):
        expected = "maps of training and of test clusters"
        got = f"{len(train)} and {len(test)}"
        raise DataError(store.source, expected, got)
    return _ProbeData(maps, rows, names, quantities, train, test)


def _read_vectors(folder: Path, store: MapStore) -> np.ndarray:
    """Return the vectors of a folder of ``embed encode`` in the order of the store."""
    vectors = np.load(folder / VECTORS, allow_pickle=False)
    names = np.load(folder / NAMES, allow_pickle=False)
    filenames = store.table.filename
    index = pd.Index(names.astype(object))
    order = index.get_indexer(pd.Index(filenames))
    is_absent = order < 0
    if is_absent.any():
        absent = filenames[is_absent]
        got = f"none for {absent.iloc[0]}"
        raise DataError(folder / NAMES, "a vector for every map", got)
    return np.asarray(vectors[order])


def _baselines(store: MapStore, data: _ProbeData) -> dict[str, np.ndarray]:
    """Return vectors of all maps that need no network."""
    pixels = as_inputs(store.values, 32).flatten(1).numpy()
    train_maps = data.maps[data.train]
    offset, projection = fit_components(pixels[train_maps], _PIXEL_COMPONENTS)
    centred = pixels - offset
    baselines = {"pixels (PCA)": centred @ projection}
    if store.half_width >= 1.0:
        log_brightness = store.values.astype(float)
        filled = np.nan_to_num(log_brightness, nan=-9.0)
        brightness = 10.0**filled
        baselines["morphology"] = morphology(brightness, store.half_width)
    return baselines


def _invariance(
    encoder: Encoder, store: MapStore, data: _ProbeData
) -> dict[str, float]:
    """Return how alike an encoder's vectors are under views, rotations and projections."""
    generator = torch_stream(0, "judge")
    inputs = as_inputs(store.values[data.maps], encoder.size)
    test_inputs = inputs[data.test]
    vectors = []
    for _ in range(2):
        view = make_view(test_inputs, ViewsConfig(), generator)
        vectors.append(encode(encoder.backbone, view))
    changes = _rotation_against_projection(encoder, inputs, data)
    return {"alignment": alignment(*vectors), **changes}


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
    train_vectors = vectors[train]
    centre = train_vectors.mean(0)
    spread = positive_spread(train_vectors)
    neighbours = (train_vectors - centre) / spread

    def predict(queries: np.ndarray) -> np.ndarray:
        scaled = (queries - centre) / spread
        return knn_predictions(neighbours, goal, scaled)

    generator = torch_stream(0, "judge", "angle")
    turn = torch.rand(len(test), generator=generator)
    angle = turn * 2.0 * math.pi
    predicted = predict(vectors[test])
    turned_maps = rotate(inputs[test], angle)
    turned = predict(encode(encoder.backbone, turned_maps))
    changes = {"change_by_rotation": _rms(turned - predicted)}

    # The next projection of the same snapshot
    snapshots = pd.Series(test).groupby(data.rows[test])
    partner = snapshots.transform(lambda group: np.roll(group, 1)).to_numpy()
    has_partner = partner != test
    if has_partner.any():
        partner_vectors = vectors[partner[has_partner]]
        difference = predict(partner_vectors) - predicted[has_partner]
        changes["change_by_projection"] = _rms(difference)
    return changes


def _rms(difference: np.ndarray) -> float:
    squared = difference**2
    return float(np.sqrt(squared.mean()))
