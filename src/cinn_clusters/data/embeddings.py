"""Vectors that stand for X-ray maps, joined to a catalogue as further observables.

Every projection of a cluster is a row of its own; a cluster without a map is one row whose
embedding is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.data.catalogue import HALO, SNAPSHOT, Catalogue
from cinn_clusters.errors import DataError
from cinn_clusters.schema import EMBEDDING, KEYS, NO_PROJECTION, PROJECTION, ROW_KEYS

NAME = re.compile(r"(?:.*[/\\])?snap_(\d+)_halo_(\d+)_proj_(\d+)(?:\.\w+)?")
PATTERN = "snap_<snapshot>_halo_<HaloID>_proj_<number>, such as snap_050_halo_123456_proj_0.jpg"
ENCODER = "encoder.json"
"""Beside vectors of ``embed encode``: which encoder made them, and the clusters it was trained
on."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors by map.

    Args:
        table: HaloID, Snapshot and Projection of each map, columns ``embedding_000`` ... and its
            file name.
        columns: The columns of the vector.
        encoder_clusters: Clusters that the encoder was trained on; None where nobody said.
    """

    table: pd.DataFrame = field(repr=False)
    columns: tuple[str, ...]
    encoder_clusters: tuple[str, ...] | None = None


def read_embeddings(
    embeddings_file: str | Path, filenames_file: str | Path
) -> Embeddings:
    """Read vectors and the names of the maps that they stand for.

    Args:
        embeddings_file: ``.npy``, (M, E) numbers.
        filenames_file: ``.npy`` of text, or a text file with a name a line; M names.

    Returns:
        The vectors, by cluster, snapshot and projection, with what ``encoder.json`` beside them
        says of their encoder.

    Raises:
        DataError: If a file is not what it should be, lengths differ, a vector is not finite, a
            name cannot be read, or two files show the same projection.
    """
    keys, vectors = _read_vectors(
        Path(embeddings_file), Path(filenames_file), parsed_names
    )
    repeated = keys[keys.duplicated(list(ROW_KEYS), keep=False)]
    if len(repeated):
        first, second, *_ = repeated.sort_values(list(ROW_KEYS)).filename
        raise DataError(
            str(filenames_file), "one file a projection", f"two: {first} and {second}"
        )
    return _embeddings(keys, vectors, Path(embeddings_file))


def read_named_embeddings(
    embeddings_file: str | Path, filenames_file: str | Path
) -> Embeddings:
    """Read vectors of maps that are named after their object, such as ``A2142.fits``.

    A name may end in ``_proj_<number>``; other maps of one object are numbered in their order. The
    table has ``object`` in place of HaloID and Snapshot.

    Raises:
        DataError: As ``read_embeddings``.
    """
    keys, vectors = _read_vectors(
        Path(embeddings_file), Path(filenames_file), _object_names
    )
    return _embeddings(keys, vectors, Path(embeddings_file))


def _embeddings(
    keys: pd.DataFrame, vectors: pd.DataFrame, embeddings_file: Path
) -> Embeddings:
    clusters = _read_encoder_clusters(embeddings_file.with_name(ENCODER))
    return Embeddings(
        pd.concat([keys, vectors], axis=1), tuple(map(str, vectors)), clusters
    )


def _object_names(names: Sequence[str], where: str) -> pd.DataFrame:
    """Split the names of maps into object and Projection; any name will do."""
    stems = pd.Series([re.split(r"[/\\]", name)[-1] for name in names], dtype=object)
    parts = stems.str.extract(r"^(.*?)(?:_proj_(\d+))?(?:\.(?:fits|npy|png|jpe?g))?$")
    order = parts.groupby(0).cumcount()
    projection = pd.to_numeric(parts[1]).fillna(order).astype("int64")
    return pd.DataFrame(
        {"object": parts[0], PROJECTION: projection, "filename": list(names)}
    )


def _read_vectors(
    embeddings_file: Path,
    filenames_file: Path,
    parse: Callable[[Sequence[str], str], pd.DataFrame],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the keys and the vectors of M maps: key columns, and ``embedding_000`` ..."""
    values, names = _read_array(embeddings_file), _read_names(filenames_file)
    source = str(embeddings_file)
    if (
        values.ndim != 2
        or not np.issubdtype(values.dtype, np.number)
        or not values.shape[1]
    ):
        got = f"{values.dtype} of shape {values.shape}"
        raise DataError(source, "numbers, (maps, features)", got)
    if len(values) != len(names):
        got = f"{len(values)} vectors and {len(names)} names"
        raise DataError(source, f"a vector for each name of {filenames_file}", got)
    is_bad = ~np.isfinite(values).all(1)
    if is_bad.any():
        first = f"first row {int(is_bad.argmax())}, {names[int(is_bad.argmax())]}"
        got = f"{int(is_bad.sum())} rows with NaN or infinity"
        raise DataError(source, "finite values", got, first)
    width = max(3, len(str(values.shape[1] - 1)))
    columns = [f"{EMBEDDING}_{number:0{width}d}" for number in range(values.shape[1])]
    return parse(names, str(filenames_file)), pd.DataFrame(
        values.astype(float), columns=columns
    )


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
    maps = embeddings.table
    table = catalogue.table.merge(
        maps, on=list(KEYS), how="left", validate="one_to_many"
    )
    matched = set(table.filename.dropna())
    if not matched:
        example = ", ".join(
            f"{key} {catalogue.table[key].iloc[0]}" for key in (SNAPSHOT, HALO)
        )
        expected = f"maps of rows of the catalogue, such as {example}"
        hint = "are they one simulation, and is the number in the name the HaloID?"
        raise DataError("embeddings", expected, "none", "", hint)
    table[PROJECTION] = table[PROJECTION].fillna(NO_PROJECTION).astype("int64")
    observables = (*catalogue.observables, *embeddings.columns)
    joined = replace(
        catalogue, table=table.drop(columns="filename"), observables=observables
    )
    return joined, tuple(name for name in maps.filename if name not in matched)


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


def parsed_names(names: Sequence[str], source: str) -> pd.DataFrame:
    """Read HaloID, Snapshot and Projection out of file names; ``source`` is for the error."""
    matches = [NAME.fullmatch(name) for name in names]
    unread = [name for name, match in zip(names, matches, strict=True) if match is None]
    if unread:
        raise DataError(
            source, PATTERN, f"{len(unread)} other names", f"first '{unread[0]}'"
        )
    numbers = [[int(part) for part in match.groups()] for match in matches if match]
    snapshot, halo, projection = np.array(numbers, dtype="int64").reshape(-1, 3).T
    keys = dict(zip(ROW_KEYS, (halo, snapshot, projection), strict=True))
    return pd.DataFrame({**keys, "filename": list(names)})


def _read_encoder_clusters(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        return tuple(map(str, json.loads(path.read_text(encoding="utf-8"))["clusters"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = "the clusters that the encoder was trained on"
        raise DataError(str(path), expected, "damaged JSON") from error


def _read_array(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except OSError as error:
        raise DataError(
            str(path), "a readable .npy file", error.strerror or str(error)
        ) from error
    except (
        ValueError
    ) as error:  # no .npy file, cut short, or pickled objects, which would be code
        expected, got = "an array in numpy's .npy format", str(error).splitlines()[0]
        hint = "write it with numpy.save of an array of numbers or of text (dtype=str)"
        raise DataError(str(path), expected, got, "", hint) from error


def _read_names(path: Path) -> list[str]:
    if path.suffix != ".npy":
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(str(path), "a text file of names", str(error)) from error
        return [line.strip() for line in lines if line.strip()]
    names = _read_array(path)
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(
            str(path), "a list of text", f"{names.dtype} of shape {names.shape}"
        )
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8")
    return [str(name) for name in names]
