"""Pictures of an embedding on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cinn_clusters.embed.encode import fit_components
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.errors import DataError
from cinn_clusters.figures.plane import hexagons, map_gallery, neighbours, scatter_plane
from cinn_clusters.figures.style import Figure, rendered
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.pipeline.maps.embed import matched
from cinn_clusters.pipeline.maps.probe import SINCE, quantities
from cinn_clusters.schema import column
from cinn_clusters.storage.encoder import Encoder, load_encoder
from cinn_clusters.storage.map_store import MapStore
from cinn_clusters.storage.run import Run
from cinn_clusters.xray.collect import collect
from cinn_clusters.xray.framing import Framing

SHOWN = (SINCE, "last_Mass_ratio", "Group_M_Crit500", "last_V_coll", "last_d_peri", "GroupGasMass")
NUM_QUERIES, NUM_NEIGHBOURS, PICTURE_SIZE = 6, 8, 64


def draw_gallery(
    run: Run,
    store: MapStore,
    model: str | Path,
    out: str | Path,
    *,
    query: str | Path | None = None,
    quantities_shown: list[str] | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Draw the plane of an embedding.

    Args:
        run: Observables and targets.
        store: Maps of its clusters.
        model: Encoder.
        out: Folder to make.
        query: A picture or FITS file whose neighbours to show; some test maps when absent.
        quantities_shown: Names to show over the plane.
        overwrite: Replace pictures that stand there.

    Returns:
        Names of the pictures.

    Raises:
        DataError: If a quantity is unknown or the query cannot be read.
        BundleError: If the encoder cannot be read.
        OutputError: If the folder is taken.
    """
    out = Path(out)
    demand_free(out, overwrite)
    encoder = load_encoder(model)
    rows, maps = matched(run.catalogue, store)
    names, known = quantities(run)
    shown = _demand_known(quantities_shown or [name for name in SHOWN if name in names], names)
    vectors = encoder.vectors(store.values[maps])
    plane, axes = flatten(vectors)
    values = known[rows][:, [names.index(name) for name in shown]]
    pictures = as_inputs(store.values[maps], PICTURE_SIZE)[:, 0].numpy()
    figures = {
        "plane": scatter_plane(plane, values[:, 0], _told(shown[0]), axes),
        "quantities": hexagons(plane, values, [_told(name) for name in shown], axes),
        "gallery": map_gallery(plane, pictures, axes),
        "neighbours": _neighbours(encoder, vectors, pictures, store, maps, rows, run, query),
    }
    with atomic_directory(out, overwrite=overwrite, markers=("gallery.png",)) as scratch:
        for name, figure in figures.items():
            (scratch / f"{name}.png").write_bytes(rendered(figure, "png"))
    return tuple(figures)


def flatten(vectors: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Two coordinates (N, 2) and their labels: UMAP where it is installed, else the first
    principal components.
    """
    offset, projection = fit_components(vectors, 16)
    components = (vectors - offset) @ projection
    try:
        import umap
    except ImportError:
        return components[:, :2], ("first principal component", "second principal component")
    reducer = umap.UMAP(n_neighbors=30, random_state=0, n_jobs=1)
    return np.asarray(reducer.fit_transform(components)), ("UMAP 1", "UMAP 2")


def _neighbours(
    encoder: Encoder,
    vectors: np.ndarray,
    pictures: np.ndarray,
    store: MapStore,
    maps: np.ndarray,
    rows: np.ndarray,
    run: Run,
    query: str | Path | None,
) -> Figure:
    """Test maps, or the query, and the maps of other clusters most like them."""
    clusters = run.catalogue.clusters[rows]
    names = store.table.filename.to_numpy()[maps]
    if query is not None:
        asked_maps = collect([query], Framing(size=store.values.shape[1], centre="middle"))
        asked, shown = (
            encoder.vectors(asked_maps.values),
            as_inputs(asked_maps.values, PICTURE_SIZE)[:, 0].numpy(),
        )
        titles, own = list(asked_maps.names), np.full(len(asked), -1)
    else:
        test = np.flatnonzero(np.isin(rows, run.split.test))
        chosen = test[np.linspace(0, len(test) - 1, min(NUM_QUERIES, len(test))).astype(int)]
        asked, shown, titles, own = (
            vectors[chosen],
            pictures[chosen],
            list(names[chosen]),
            clusters[chosen],
        )
    unit, asked_unit = (
        one / np.linalg.norm(one, axis=1, keepdims=True) for one in (vectors, asked)
    )
    likeness = asked_unit @ unit.T
    likeness[own[:, None] == clusters[None]] = -np.inf
    order = np.argsort(-likeness, axis=1)[:, :NUM_NEIGHBOURS]
    labels = [[_short(titles[i]), *(_short(names[j]) for j in order[i])] for i in range(len(asked))]
    return neighbours(shown, pictures[order], labels)


def _short(name: str) -> str:
    """Snapshot and halo of a file name of ours, the name otherwise."""
    parts = name.split("_")
    return f"{parts[1]}:{parts[3]}/{parts[5]}" if len(parts) == 6 else name[:18]


def _told(name: str) -> str:
    return "time since collision [Gyr]" if name == SINCE else column(name).label


def _demand_known(asked: list[str], names: list[str]) -> list[str]:
    for name in asked:
        if name not in names:
            raise DataError(f"'{name}'", f"one of {', '.join(names)}", "another quantity")
    return asked
