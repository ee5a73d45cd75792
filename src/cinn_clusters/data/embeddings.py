"""Vectors that stand for X-ray maps, joined to a catalogue as further observables.

Every projection of a cluster is a row of its own; a cluster without a map is one row whose
embedding is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pandas as pd

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.reading.map_names import MapNaming, pair_maps
from cinn_clusters.documents import demand_regular, parse_json, read_text, reason
from cinn_clusters.errors import DataError
from cinn_clusters.schema import (
    EMBEDDING,
    KEYS,
    NO_PROJECTION,
    PROJECTION,
    is_embedding,
)

KNOWN_NAMING = MapNaming()
_NPY_MAGIC = b"\x93NUMPY"
_MAGIC = {
    b"PK": "an archive such as .npz",
    b"\x89HDF": "an HDF5 file",
    b"SIMPLE": "a FITS file",
    b"\x80": "a pickle",
}
ENCODER = "encoder.json"
"""Beside vectors of ``embed encode``: which encoder made them, and the clusters it was trained
on."""
DEAD_FEATURES = "dead_features"
"""Features that a run left out, in its record and in the provenance of a model: they tell nothing."""
ENCODER_HASH = "encoder_sha256"
"""Hash of the encoder, in its facts, in the record of a run and in the provenance of a model."""


_ROUNDING = 1e-6
"""Part of its size by which a feature of a network in single precision differs by rounding."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors by map.

    Args:
        table: HaloID, Snapshot and Projection of each map, columns ``embedding_000`` ... and its
            file name.
        columns: The columns of the vector.
        encoder_clusters: Clusters that the encoder was trained on; None where nobody said.
        encoder_sha256: Hash of the encoder; None where nobody said.
    """

    table: pd.DataFrame = field(repr=False)
    columns: tuple[str, ...]
    encoder_clusters: tuple[str, ...] | None = None
    encoder_sha256: str | None = None


def read_embeddings(
    embeddings_file: str | Path,
    filenames_file: str | Path,
    naming: MapNaming = KNOWN_NAMING,
) -> Embeddings:
    """Read vectors and the names of the maps that they stand for.

    Args:
        embeddings_file: ``.npy``, (M, E) numbers.
        filenames_file: ``.npy`` of text, or a text file with a name a line; M names.
        naming: How the names say whose the maps are.

    Returns:
        The vectors, by cluster, snapshot and projection, with what ``encoder.json`` beside them
        says of their encoder.

    Raises:
        DataError: If a file is not what it should be, lengths differ, a vector is not finite, a
            name cannot be read, or two files show the same projection.
    """
    embeddings_path, filenames_path = Path(embeddings_file), Path(filenames_file)
    keys, vectors = _read_vectors(embeddings_path, filenames_path, naming.keys)
    return _embeddings(keys, vectors, embeddings_path, filenames_path)


def read_named_embeddings(
    embeddings_file: str | Path, filenames_file: str | Path
) -> Embeddings:
    """Read vectors of maps that are named after their object, such as ``A2142.fits``.

    A name may end in ``_proj_<number>``; other maps of one object are numbered in their order. The
    table has ``object`` in place of HaloID and Snapshot.

    Raises:
        DataError: As ``read_embeddings``.
    """
    embeddings_path, filenames_path = Path(embeddings_file), Path(filenames_file)
    keys, vectors = _read_vectors(embeddings_path, filenames_path, _object_names)
    return _embeddings(keys, vectors, embeddings_path, filenames_path)


def _embeddings(
    keys: pd.DataFrame,
    vectors: pd.DataFrame,
    embeddings_file: Path,
    filenames_file: Path,
) -> Embeddings:
    _demand_one_file_a_projection(keys, str(filenames_file))
    encoder = _read_encoder(embeddings_file.with_name(ENCODER))
    table = pd.concat([keys, vectors], axis=1)
    return Embeddings(table, tuple(map(str, vectors)), *encoder)


def _demand_one_file_a_projection(keys: pd.DataFrame, source: str) -> None:
    columns = [str(name) for name in keys if name != "filename"]
    is_repeated = keys.duplicated(columns, keep=False)
    if is_repeated.any():
        first, second, *_ = keys[is_repeated].sort_values(columns).filename
        got = f"two: {first} and {second}"
        raise DataError(source, "one file a projection", got)


def _object_names(names: Sequence[str], where: str) -> pd.DataFrame:
    """Split the names of maps into object and Projection; any name will do."""
    stems = pd.Series([re.split(r"[/\\]", name)[-1] for name in names], dtype=object)
    parts = stems.str.extract(r"^(.*?)(?:_proj_(\d+))?(?:\.(?:fits|npy|png|jpe?g))?$")
    objects, numbers = parts[0], parts[1]
    order = objects.groupby(objects).cumcount()
    projection = pd.to_numeric(numbers).fillna(order).astype("int64")
    return pd.DataFrame(
        {"object": objects, PROJECTION: projection, "filename": list(names)}
    )


def _read_vectors(
    embeddings_file: Path,
    filenames_file: Path,
    parse: Callable[[Sequence[str], str], pd.DataFrame],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the keys and the vectors of M maps: key columns, and ``embedding_000`` ..."""
    values = _read_array(embeddings_file)
    names = _read_names(filenames_file)
    source = str(embeddings_file)
    is_numeric = np.issubdtype(values.dtype, np.number)
    if values.ndim != 2 or not is_numeric or not values.shape[1]:
        got = f"{values.dtype} of shape {values.shape}"
        raise DataError(source, "numbers, (maps, features)", got)
    num_maps, num_features = values.shape
    if num_maps != len(names):
        expected = f"a vector for each name of {filenames_file}"
        got = f"{num_maps} vectors and {len(names)} names"
        raise DataError(source, expected, got)
    is_alive = ~np.isnan(values).all(
        0
    )  # prepare leaves features out that are never there
    is_bad = ~np.isfinite(values[:, is_alive]).all(1) | (not is_alive.any())
    if is_bad.any():
        row = int(is_bad.argmax())
        got = f"{int(is_bad.sum())} rows with NaN or infinity"
        raise DataError(source, "finite values", got, f"first row {row}, {names[row]}")

    columns = embedding_names(num_features)
    vectors = pd.DataFrame(values.astype(float), columns=columns)
    return parse(names, str(filenames_file)), vectors


def embedding_names(num_features: int) -> list[str]:
    """Return the columns of a vector, zeros in front so that their order is that of the components.

    Examples:
        >>> embedding_names(2)
        ['embedding_000', 'embedding_001']
    """
    num_digits = max(3, len(str(num_features - 1)))
    return [f"{EMBEDDING}_{i:0{num_digits}d}" for i in range(num_features)]


def join_embeddings(
    catalogue: Catalogue, embeddings: Embeddings
) -> tuple[Catalogue, tuple[str, ...]]:
    """Put a row for every projection in place of each row of a catalogue that has maps.

    Args:
        catalogue: Rows by HaloID and Snapshot.
        embeddings: Vectors by HaloID, Snapshot and Projection.

    Returns:
        The catalogue with the vectors among its observables and a column ``Projection``; a row
        without a map stays, its embedding NaN and its projection ``NO_PROJECTION``. And the file
        names of maps without a row.

    Raises:
        DataError: If no map belongs to a row.
    """
    maps, rows = embeddings.table, catalogue.table
    row_of_view, map_of_view = pair_maps(rows, maps, KEYS)
    if (map_of_view < 0).all():
        first = ", ".join(f"{key} {rows[key].iloc[0]}" for key in reversed(KEYS))
        expected = f"maps of rows of the catalogue, such as {first}"
        hint = "are they one simulation, and is the number in the name the HaloID?"
        raise DataError("embeddings", expected, "none", "", hint)
    views = maps.reindex(map_of_view).reset_index(drop=True)
    projections = views[PROJECTION].fillna(NO_PROJECTION).astype("int64")
    vectors = views[list(embeddings.columns)]
    keyed = rows.iloc[row_of_view].reset_index(drop=True)
    table = pd.concat([keyed, projections, vectors], axis=1)
    observables = (*catalogue.observables, *embeddings.columns)
    joined = replace(catalogue, table=table, observables=observables)
    return joined, unmatched_maps(maps, map_of_view)


def unmatched_maps(maps: pd.DataFrame, map_of_view: np.ndarray) -> tuple[str, ...]:
    """Return names of the maps that belong to no row."""
    is_matched = np.isin(np.arange(len(maps)), map_of_view)
    return tuple(maps.filename[~is_matched])


def _has_map(rows: Catalogue, features: list[str]) -> np.ndarray:
    """Whether a row has a vector, (N,)."""
    has_value: np.ndarray = np.isfinite(rows.inputs(features)).any(1)
    return has_value


def live_observables(rows: Catalogue) -> tuple[str, ...]:
    """Return the observables of training rows without constant features of an embedding.

    Raises:
        DataError: If all features are constant.
    """
    features = [name for name in rows.observables if is_embedding(name)]
    if not features:
        return rows.observables
    vectors = np.nan_to_num(rows.inputs(features)[_has_map(rows, features)])
    largest = vectors.max(axis=0, initial=-np.inf)
    smallest = vectors.min(axis=0, initial=np.inf)
    size = np.maximum(np.abs(largest), np.abs(smallest))
    is_dead = ~(largest - smallest > _ROUNDING * size)  # without maps, too
    if is_dead.all():
        got = f"{len(features)} constant ones"
        hint = "a network with these features is dead: train it anew, or leave --embeddings out"
        raise DataError("embeddings", "features that differ", got, "", hint)
    dead = {name for name, is_one in zip(features, is_dead, strict=True) if is_one}
    return tuple(name for name in rows.observables if name not in dead)


def demand_unseen(
    encoder_clusters: Sequence[str], clusters: np.ndarray, source: str, hint: str
) -> None:
    """Demand that an encoder was trained on none of some test clusters; ``hint`` is for the error.

    Raises:
        DataError: If it was.
    """
    tested = {str(cluster) for cluster in clusters}
    if leaked := tested & set(encoder_clusters):
        expected = "vectors of an encoder that was trained on no test cluster"
        got = f"{len(leaked)} of {len(tested)} test clusters in its training"
        raise DataError(source, expected, got, f"first {min(leaked)}", hint)


def _read_encoder(path: Path) -> tuple[tuple[str, ...] | None, str | None]:
    """Read the training clusters and the hash of an encoder, None where nobody says."""
    if not path.is_file():
        return None, None
    try:
        facts = parse_json(read_text(path))
        return tuple(map(str, facts["clusters"])), facts.get(ENCODER_HASH)
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = "the clusters that the encoder was trained on"
        raise DataError(str(path), expected, "damaged JSON") from error


def _read_array(path: Path) -> np.ndarray:
    try:
        demand_regular(path)
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except OSError as error:
        raise DataError(path, "a readable .npy file", reason(error)) from error
    except (ArithmeticError, TypeError, ValueError, TokenError) as error:
        # No .npy file, one that is cut short, or pickled objects, which would be code
        expected = "an array in numpy's .npy format"
        got = _content_of(path)
        hint = "write it with numpy.save of an array of numbers or of text (dtype=str)"
        raise DataError(path, expected, got, "", hint) from error


def _content_of(path: Path) -> str:
    """Say what a file is that is no readable .npy, by its first bytes."""
    with path.open("rb") as stream:
        start = stream.read(len(_NPY_MAGIC))
    if start == _NPY_MAGIC:
        return "Python objects, or a file that is cut short or damaged"
    kinds = (kind for magic, kind in _MAGIC.items() if start.startswith(magic))
    return next(kinds, "another format")


def _read_names(path: Path) -> list[str]:
    if path.suffix != ".npy":
        try:
            lines = read_text(path).removeprefix("\ufeff").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(path, "a text file of names", reason(error)) from error
        return [line.strip() for line in lines if line.strip()]
    names = _read_array(path)
    if names.ndim != 1 or names.dtype.kind not in "US":
        got = f"{names.dtype} of shape {names.shape}"
        raise DataError(str(path), "a list of text", got)
    try:
        if names.dtype.kind == "S":
            return [name.decode("utf-8") for name in names.tolist()]
        codes = names.astype(names.dtype.newbyteorder("<")).tobytes()
        codes.decode("utf-32-le")  # refuses codes that are no characters
    except ValueError as error:
        raise DataError(path, "a list of text", "codes that are none") from error
    return [str(name) for name in names]
