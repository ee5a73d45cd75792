"""Vectors of X-ray maps joined to the rows of a catalogue: a view for every map of a row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.embeddings import (
    DEAD_FEATURES,
    ENCODER_HASH,
    KNOWN_NAMING,
    Embeddings,
    read_embeddings,
    read_named_embeddings,
    unmatched_maps,
)
from cinn_clusters.data.reading.map_names import MapNaming, pair_maps
from cinn_clusters.errors import DataError
from cinn_clusters.files import JsonObject
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import OBJECT
from cinn_clusters.schema import Keys

EmbeddingFiles = str | Path | tuple[str | Path, str | Path]
"""A folder of ``embed encode``, a ``.npy`` file with ``filenames.npy`` beside it, or both files."""


@dataclass(frozen=True)
class NamedVectors:
    """Vectors of maps, and how the names of the maps say whose they are."""

    paths: EmbeddingFiles
    naming: MapNaming = KNOWN_NAMING


NO_MAP = "no map among the embeddings"
_ENCODER_HINT = "encode the maps with the encoder that the model was trained with"


@dataclass(frozen=True, eq=False)
class Views:
    """Views of the rows of a catalogue; a row without a map has one, without an embedding.

    Args:
        rows: Row of the catalogue of each view, ascending, (V,).
        projections: Number of the projection, (V,); ``NO_PROJECTION`` without a map.
        embeddings: Columns ``embedding_000`` ..., V rows; NaN without a map.
        unmatched: Names of maps that belong to no row.
    """

    rows: np.ndarray
    projections: np.ndarray
    embeddings: pd.DataFrame
    unmatched: tuple[str, ...] = ()

    @classmethod
    def without_maps(cls, num_rows: int) -> Views:
        """One view of each row, without a map."""
        projections = np.full(num_rows, schema.NO_PROJECTION)
        return cls(
            np.arange(num_rows), projections, pd.DataFrame(index=range(num_rows))
        )

    def summary(self, num_rows: int) -> list[str]:
        """Say how many of the rows of the catalogue have a map."""
        num_missing = int((self.projections == schema.NO_PROJECTION).sum())
        num_maps, num_seen = len(self.rows) - num_missing, num_rows - num_missing
        lines = [f"maps: {num_maps} of {num_seen} rows, {num_missing} rows have none"]
        if self.unmatched:
            lines.append(
                f"maps: {len(self.unmatched)} of no row, first {self.unmatched[0]}"
            )
        return lines


def join_views(
    keys: pd.DataFrame,
    files: NamedVectors,
    posterior: Posterior,
    provenance: JsonObject | None = None,
) -> Views:
    """Join maps to the rows of a catalogue, by HaloID and Snapshot or by the name of the object.

    Args:
        keys: Key columns of the catalogue, N rows.
        files: Vectors and names of the maps.
        posterior: Its inputs say which features a vector has.
        provenance: Of its training: its encoder and the features it left out, where known.

    Raises:
        DataError: If the model takes no embeddings, or those of another number of features or of
            another encoder, or no map belongs to a row.
    """
    vectors_file, names_file = embedding_files(files.paths)
    rows, names = _keyed(keys, posterior.transforms.schema.keys, vectors_file)
    if names == [OBJECT]:
        embeddings = read_named_embeddings(vectors_file, names_file)
    else:
        embeddings = read_embeddings(vectors_file, names_file, files.naming)
    facts = provenance or {}
    features = _features(posterior, facts, embeddings, vectors_file)
    _demand_encoder(facts.get(ENCODER_HASH), embeddings, vectors_file)

    row_of_view, map_of_view = pair_maps(rows, embeddings.table, names)
    if (map_of_view < 0).all():
        example = ", ".join(f"{name} {rows[name].iloc[0]}" for name in names)
        expected = f"maps of the catalogue, such as {example}"
        hint = "are they of one simulation or survey, and do the names of the maps hold the key?"
        raise DataError(vectors_file, expected, "none", "", hint)
    maps = embeddings.table.reindex(map_of_view).reset_index(drop=True)
    projections = maps[schema.PROJECTION].fillna(schema.NO_PROJECTION)
    order = np.lexsort((projections.to_numpy(), row_of_view))
    return Views(
        row_of_view[order],
        projections.to_numpy().astype("int64")[order],
        maps[features].iloc[order].reset_index(drop=True),
        unmatched_maps(embeddings.table, map_of_view),
    )


def _keyed(
    keys: pd.DataFrame, declared: Keys, vectors_file: Path
) -> tuple[pd.DataFrame, list[str]]:
    """The rows with the keys that say whose a map is, and the names of these."""
    names = list(schema.KEYS)
    if set(declared.row_keys) <= set(keys) and declared.halo is not None:
        columns = {declared.halo: names[0], declared.snapshot: names[1]}
        rows = keys.rename(columns=columns)
        if declared.snapshot is None:
            rows = rows.assign(**{names[1]: 0})
        return rows, names
    if set(names) <= set(keys):
        return keys, names
    if OBJECT in keys:
        return keys, [OBJECT]
    expected = f"rows with {' and '.join(declared.row_keys or names)}, or named objects"
    got = f"rows with {', '.join(map(str, keys))} alone"
    hint = "name the column with object_name in a --mapping"
    raise DataError(vectors_file, expected, got, "", hint)


def embedding_files(files: EmbeddingFiles) -> tuple[Path, Path]:
    """Return the files of the vectors and of their names."""
    if isinstance(files, tuple):
        return Path(files[0]), Path(files[1])
    path = Path(files)
    if path.is_dir():
        return path / "components.npy", path / "filenames.npy"
    return path, path.with_name("filenames.npy")


def _features(
    posterior: Posterior,
    provenance: JsonObject,
    embeddings: Embeddings,
    vectors_file: Path,
) -> list[str]:
    """Features of a vector that the model takes; the others must be those it was trained without."""
    features = [name for name in posterior.inputs if schema.is_embedding(name)]
    if not features:
        expected = "one that was trained with embeddings of maps"
        raise DataError(
            "model", expected, "one of scalars alone", "", "leave out --embeddings"
        )
    dead = provenance.get(DEAD_FEATURES, [])
    if {*features, *dead} != set(embeddings.columns):
        expected = f"vectors of {len(features) + len(dead)} features"
        got = str(len(embeddings.columns))
        raise DataError(vectors_file, expected, got, "", _ENCODER_HINT)
    absent = embeddings.table[features].isna().any()
    if absent.any():
        got = f"NaN in all of feature {absent.idxmax()}"
        raise DataError(vectors_file, "finite values", got)
    return features


def _demand_encoder(
    encoder_sha256: str | None, embeddings: Embeddings, vectors_file: Path
) -> None:
    """Refuse vectors of another encoder than that of the training, where both are known."""
    hashes = (encoder_sha256, embeddings.encoder_sha256)
    if None not in hashes and len(set(hashes)) > 1:
        expected = "vectors of the encoder that the model was trained with"
        raise DataError(vectors_file, expected, "another's", "", _ENCODER_HINT)
