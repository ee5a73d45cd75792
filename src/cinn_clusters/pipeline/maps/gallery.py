"""Pictures of an embedding: its plane, quantities over it, maps on it, neighbours of maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinn_clusters.claims import reserving
from cinn_clusters.embed.encode import fit_components
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.errors import DataError
from cinn_clusters.figures.plane import hexagons, map_gallery, neighbours, scatter_plane
from cinn_clusters.figures.style import Figure, rendered
from cinn_clusters.files import Destination, atomic_directory
from cinn_clusters.pipeline.maps.embed import match_maps
from cinn_clusters.pipeline.maps.probe import SINCE_COLLISION, quantities_of
from cinn_clusters.schema import column
from cinn_clusters.storage.encoder import Encoder, load_encoder
from cinn_clusters.storage.map_store import MapStore
from cinn_clusters.storage.run import Run
from cinn_clusters.xray.collect import Collection, Reading, collect
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.image import MapUnit

_DEFAULT_QUANTITIES = (
    SINCE_COLLISION,
    "last_Mass_ratio",
    "Group_M_Crit500",
    "last_V_coll",
    "last_d_peri",
    "GroupGasMass",
)
_NUM_QUERIES, _NUM_NEIGHBOURS, _PICTURE_SIZE = 6, 8, 64


@dataclass(frozen=True, eq=False)
class _EmbeddedMaps:
    """Names (M,), vectors (M, F) and pictures (M, 64, 64) in [0, 1] of maps.

    Clusters (M,) are None for maps of no cluster of the run.
    """

    names: np.ndarray
    vectors: np.ndarray
    pictures: np.ndarray
    clusters: np.ndarray | None = None


@dataclass(frozen=True)
class MapQuery:
    """A picture or FITS file whose neighbours are asked for, and what its values are."""

    path: str | Path
    unit: MapUnit | None = None

    def read(self, size: int) -> Collection:
        """Read it in pixels of the maps that it is compared with."""
        framing = Framing(size=size, centre="middle")
        return collect([self.path], framing, Reading(unit=self.unit))


@reserving()
def draw_gallery(
    run: Run,
    store: MapStore,
    encoder_path: str | Path,
    destination: Destination,
    *,
    query: MapQuery | None = None,
    quantity_names: Sequence[str] = (),
) -> tuple[str, ...]:
    """Draw the plane of an embedding.

    Args:
        run: Observables and targets.
        store: Maps of its clusters.
        encoder_path: Bundle of ``embed train``.
        destination: Folder to make.
        query: Map whose neighbours are shown; some test maps when absent.
        quantity_names: Quantities to show over the plane; a choice of them when empty.

    Returns:
        Names of the pictures.

    Raises:
        DataError: If a quantity is unknown or the query cannot be read.
        BundleError: If the encoder cannot be read.
        OutputError: If the folder is taken.
    """
    destination.demand_free()
    encoder = load_encoder(encoder_path)
    rows, maps = match_maps(run.catalogue, store)
    titles, values = _quantities(run, quantity_names)
    is_complete = np.isfinite(values[rows]).all(1)
    rows, maps = rows[is_complete], maps[is_complete]
    values = values[rows]
    names = store.table.filename.to_numpy()[maps]
    embedded = _embed(encoder, names, store.values[maps], run.catalogue.clusters[rows])
    if query is None:
        queries = _test_maps(embedded, np.isin(rows, run.split.test))
    else:
        collection = query.read(store.values.shape[1])
        queries = _embed(encoder, np.array(collection.names), collection.values)
    plane, axes = flatten(embedded.vectors)
    figures = {
        "plane": scatter_plane(plane, values[:, 0], titles[0], axes),
        "quantities": hexagons(plane, values, titles, axes),
        "gallery": map_gallery(plane, embedded.pictures, axes),
        "neighbours": _draw_neighbours(queries, embedded),
    }
    markers, overwrite = ("gallery.png",), destination.overwrite
    with atomic_directory(
        destination.path, overwrite=overwrite, markers=markers
    ) as scratch:
        for name, figure in figures.items():
            (scratch / f"{name}.png").write_bytes(rendered(figure, "png"))
    return tuple(figures)


def flatten(vectors: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Return two coordinates (N, 2) and their labels.

    They are those of UMAP where it is installed, else the first principal components.
    """
    offset, projection = fit_components(vectors, 16)
    components = (vectors - offset) @ projection
    try:
        import umap
    except ImportError:
        return components[:, :2], (
            "first principal component",
            "second principal component",
        )
    reducer = umap.UMAP(n_neighbors=30, random_state=0, n_jobs=1)
    return np.asarray(reducer.fit_transform(components)), ("UMAP 1", "UMAP 2")


def _quantities(run: Run, chosen: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return titles and values (N, C) of the quantities to show."""
    names, values = quantities_of(run)
    for name in chosen:
        if name not in names:
            raise DataError(
                f"'{name}'", f"one of {', '.join(names)}", "another quantity"
            )
    chosen = chosen or [name for name in _DEFAULT_QUANTITIES if name in names]
    titles = {SINCE_COLLISION: "time since collision [Gyr]"}
    columns = [names.index(name) for name in chosen]
    return [titles.get(name) or column(name).label for name in chosen], values[
        :, columns
    ]


def _embed(
    encoder: Encoder,
    names: np.ndarray,
    log_brightness: np.ndarray,
    clusters: np.ndarray | None = None,
) -> _EmbeddedMaps:
    pictures = as_inputs(log_brightness, _PICTURE_SIZE)[:, 0].numpy()
    return _EmbeddedMaps(names, encoder.vectors(log_brightness), pictures, clusters)


def _test_maps(maps: _EmbeddedMaps, is_test: np.ndarray) -> _EmbeddedMaps:
    """Return a few maps of test clusters."""
    assert maps.clusters is not None
    test = np.flatnonzero(is_test)
    num_queries = min(_NUM_QUERIES, len(test))
    positions = np.linspace(0, len(test) - 1, num_queries)
    rows = test[positions.astype(int)]
    return _EmbeddedMaps(
        maps.names[rows], maps.vectors[rows], maps.pictures[rows], maps.clusters[rows]
    )


def _draw_neighbours(queries: _EmbeddedMaps, maps: _EmbeddedMaps) -> Figure:
    """Draw queries and the maps of other clusters of the largest cosine similarity."""
    query_vectors, map_vectors = _unit(queries.vectors), _unit(maps.vectors)
    similarity = query_vectors @ map_vectors.T
    if queries.clusters is not None and maps.clusters is not None:
        similarity[queries.clusters[:, None] == maps.clusters] = -np.inf
    order = np.argsort(-similarity, axis=1)
    nearest = order[:, :_NUM_NEIGHBOURS]
    rows_of_names = zip(queries.names, maps.names[nearest], strict=True)
    labels = [[_short(query), *map(_short, names)] for query, names in rows_of_names]
    return neighbours(queries.pictures, maps.pictures[nearest], labels)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _short(name: str) -> str:
    """Return snapshot, halo and projection of a name of ours, the beginning of another."""
    parts = name.split("_")
    if len(parts) != 6:
        return name[:18]
    return f"{parts[1]}:{parts[3]}/{parts[5]}"
