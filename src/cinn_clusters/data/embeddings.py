"""Vectors that stand for X-ray maps, joined to a catalogue: every projection of a cluster is a
row of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue, Dropped
from cinn_clusters.errors import DataError

NAME = re.compile(r"(?:.*[/\\])?snap_(\d+)_halo_(\d+)_proj_(\d+)(?:\.\w+)?")
PATTERN = "snap_<snapshot>_halo_<HaloID>_proj_<number>, such as snap_050_halo_123456_proj_0.jpg"
ROW_KEYS = list(schema.ROW_KEYS)
ENCODER = "encoder.json"
"""Beside vectors of ``embed encode``: which encoder made them, and the clusters it was trained
on."""


@dataclass(frozen=True)
class Embeddings:
    """Vectors by map.

    Args:
        table: HaloID, Snapshot and Projection of each map, columns ``embedding_000`` ... and its
            file name.
        columns: The columns of the vector.
        seen: Clusters that the encoder was trained on; None where nobody said.
    """

    table: pd.DataFrame
    columns: tuple[str, ...]
    seen: tuple[str, ...] | None = None


def read_embeddings(embeddings_file: str | Path, filenames_file: str | Path) -> Embeddings:
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
    values, names = _read_array(Path(embeddings_file)), _read_names(Path(filenames_file))
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or not values.shape[1]:
        raise DataError(
            str(embeddings_file),
            "numbers, (maps, features)",
            f"{values.dtype} of shape {values.shape}",
        )
    if len(values) != len(names):
        got = f"{len(values)} vectors and {len(names)} names"
        raise DataError(str(embeddings_file), f"a vector for each name of {filenames_file}", got)
    bad = ~np.isfinite(values).all(1)
    if bad.any():
        where = f"first row {int(bad.argmax())}, {names[int(bad.argmax())]}"
        raise DataError(
            str(embeddings_file),
            "finite values",
            f"{int(bad.sum())} rows with NaN or infinity",
            where,
        )
    width = max(3, len(str(values.shape[1] - 1)))
    columns = tuple(f"{schema.EMBEDDING}_{number:0{width}d}" for number in range(values.shape[1]))
    table = pd.DataFrame(values.astype(float), columns=list(columns))
    table = pd.concat([parsed_names(names, str(filenames_file)), table], axis=1)
    twice = table.duplicated(ROW_KEYS, keep=False)
    if twice.any():
        first = table[twice].sort_values(ROW_KEYS).filename.iloc[:2].tolist()
        raise DataError(
            str(filenames_file), "one file a projection", f"two: {first[0]} and {first[1]}"
        )
    return Embeddings(table, columns, _read_seen(Path(embeddings_file).with_name(ENCODER)))


def join_embeddings(
    catalogue: Catalogue, embeddings: Embeddings
) -> tuple[Catalogue, tuple[str, ...]]:
    """Put a row for every projection in place of each row of a catalogue.

    Args:
        catalogue: Rows by HaloID and Snapshot.
        embeddings: Vectors by HaloID, Snapshot and Projection.

    Returns:
        The catalogue with the vectors among its observables and a column ``Projection``, rows
        without a map dropped and accounted for; file names of maps without a row.

    Raises:
        DataError: If no map belongs to a row.
    """
    maps = embeddings.table
    joined = catalogue.table.merge(
        maps, on=list(schema.KEYS), how="left", indicator=True, validate="one_to_many"
    )
    lost = joined["_merge"] == "left_only"
    if lost.all():
        known = (
            f"Snapshot {catalogue.table.Snapshot.iloc[0]}, HaloID {catalogue.table.HaloID.iloc[0]}"
        )
        hint = "are they one simulation, and is the number in the name the HaloID?"
        raise DataError(
            "embeddings", f"maps of rows of the catalogue, such as {known}", "none", "", hint
        )
    dropped = catalogue.dropped
    if lost.any():
        clusters = int(joined.loc[lost, catalogue.cluster_column].nunique())
        dropped = (*dropped, Dropped("no map among the embeddings", int(lost.sum()), clusters))
    used = set(joined.loc[~lost, "filename"])
    table = joined[~lost].drop(columns=["_merge", "filename"]).reset_index(drop=True)
    table[schema.PROJECTION] = table[schema.PROJECTION].astype("int64")
    observables = (*catalogue.observables, *embeddings.columns)
    return replace(catalogue, table=table, observables=observables, dropped=dropped), tuple(
        name for name in maps.filename if name not in used
    )


def demand_unseen(seen: Sequence[str], clusters: np.ndarray, where: str, hint: str) -> None:
    """Demand that an encoder was trained on none of some clusters, which are to be judged; ``hint`` is for the error.

    Raises:
        DataError: If it was.
    """
    tested = {str(cluster) for cluster in clusters}
    if known := tested & set(seen):
        raise DataError(
            where,
            "vectors of an encoder that was trained on no test cluster",
            f"{len(known)} of {len(tested)} test clusters in its training",
            f"first {min(known)}",
            hint,
        )


def parsed_names(names: Sequence[str], where: str) -> pd.DataFrame:
    """Read HaloID, Snapshot and Projection out of file names; ``where`` is for the error."""
    found = [NAME.fullmatch(name) for name in names]
    unread = [name for name, match in zip(names, found, strict=True) if match is None]
    if unread:
        raise DataError(where, PATTERN, f"{len(unread)} other names", f"first '{unread[0]}'")
    numbers = [[int(part) for part in match.groups()] for match in found if match is not None]
    snapshot, halo, projection = np.array(numbers, dtype="int64").reshape(-1, 3).T
    return pd.DataFrame(
        dict(zip(ROW_KEYS, (halo, snapshot, projection), strict=True)) | {"filename": list(names)}
    )


def _read_seen(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        return tuple(
            str(cluster) for cluster in json.loads(path.read_text(encoding="utf-8"))["clusters"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            str(path), "the clusters that the encoder was trained on", "damaged JSON"
        ) from error


def _read_array(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except OSError as error:
        raise DataError(str(path), "a readable .npy file", error.strerror or str(error)) from error
    except (
        ValueError
    ) as error:  # not a .npy file, cut short, or pickled objects, which would be code
        hint = "write it with numpy.save of an array of numbers or of text (dtype=str)"
        raise DataError(
            str(path), "an array in numpy's .npy format", str(error).splitlines()[0], "", hint
        ) from error


def _read_names(path: Path) -> list[str]:
    if path.suffix == ".npy":
        names = _read_array(path)
        if names.ndim != 1 or names.dtype.kind not in "US":
            raise DataError(str(path), "a list of text", f"{names.dtype} of shape {names.shape}")
        return [
            str(name, "utf-8") if isinstance(name, bytes) else str(name) for name in names.tolist()
        ]
    try:
        return [
            line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), "a text file of names", str(error)) from error
