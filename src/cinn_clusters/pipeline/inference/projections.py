"""Answers from scalars and maps: an object that was seen from several sides gets the average of
their posteriors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.checks import demand_typical
from cinn_clusters.data.embeddings import Embeddings, read_embeddings
from cinn_clusters.data.tables import FIRST_LINE, demand_columns, read_csv
from cinn_clusters.errors import DataError
from cinn_clusters.files import atomic_file, sha256_of
from cinn_clusters.pipeline.inference.infer import (
    DISAGREEMENT,
    EXTRAPOLATED,
    KEYS,
    ROW,
    Inferred,
    OnObjects,
    Rejected,
    demand_places,
    usable_rows,
)
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.summary import summarise
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.storage.posterior_file import SampleLayout, library_attributes, sample_writer
from cinn_clusters.storage.summary import write_summary

POINTS = 2_000_000
"""Draws in memory at once."""
COUNT = "num_projections"


def infer_projections(
    model: str | Path,
    catalogue: str | Path,
    embeddings: tuple[str | Path, str | Path],
    out: str | Path,
    *,
    summary: str | Path | None = None,
    average: bool = True,
    allow_atypical: bool = False,
    num_draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    on_objects: OnObjects | None = None,
) -> Inferred:
    """Answer for every row of a catalogue that has a map.

    Args:
        model: A bundle that was trained on scalars and the vectors of this encoder.
        catalogue: CSV with HaloID, Snapshot and the model's scalars.
        embeddings: Vectors and names, see ``read_embeddings``.
        out: netCDF file for the samples.
        summary: CSV or ECSV file; default: beside ``out``, ``<name>_summary.csv``.
        average: One posterior an object, the mixture of those of its projections with equal
            weights; else one each.
        allow_atypical: Accept medians that tell of another unit (asked of 20 rows or more).
        num_draws: Draws an object.
        seed: Seed.
        device: See ``fit``.
        overwrite: Replace files that stand there.
        on_objects: Called with the number of objects done.

    Returns:
        What it came to; rows without a map are among the rejected.

    Raises:
        DataError: If a column or a feature is missing, a column is in another unit, or no row is
            usable.
        BundleError: If the model is damaged.
        OutputError: If a file is taken or cannot be written.
    """
    out = Path(out)
    summary_path = (
        Path(summary) if summary is not None else out.with_name(f"{out.stem}_summary.csv")
    )
    demand_places(out, summary_path, Path(catalogue), overwrite)
    posterior = load_posterior(model, device=device)
    vectors = read_embeddings(*embeddings)
    _demand_features(posterior, vectors, str(embeddings[0]))
    table = read_csv(catalogue)
    scalars = [name for name in posterior.inputs if name not in vectors.columns]
    demand_columns(table, [*schema.KEYS, *scalars], str(catalogue))
    seen, rejected = _seen(table, vectors, posterior.inputs, str(catalogue))
    if not allow_atypical:
        demand_typical(seen.drop_duplicates(ROW), scalars)
    if not average:
        seen[ROW] = np.arange(len(seen))
    groups = [np.asarray(rows) for rows in seen.groupby(ROW, sort=True).indices.values()]
    objects = seen.iloc[[rows[0] for rows in groups]].reset_index(drop=True)
    kept = [name for name in (*KEYS, *([] if average else [schema.PROJECTION])) if name in objects]
    attributes: dict[str, str | int] = {
        "catalogue_sha256": sha256_of(Path(catalogue)),
        "embeddings_sha256": sha256_of(Path(embeddings[0])),
        "model_sha256": sha256_of(Path(model) / "manifest.json"),
        "num_rejected": len(rejected),
    }
    with (
        atomic_file(out, overwrite=overwrite) as samples,
        atomic_file(summary_path, overwrite=overwrite) as lines,
        sample_writer(
            samples,
            SampleLayout(
                posterior.targets,
                num_draws,
                objects[list(dict.fromkeys(kept))],
                {**library_attributes(seed), **attributes},
            ),
        ) as writer,
    ):
        pieces = []
        for place, draws, piece in _answers(posterior, seen, groups, num_draws, seed):
            writer.put(place, draws)
            pieces.append(piece)
            if on_objects is not None:
                on_objects(place.stop - place.start)
        told = objects.drop(
            columns=[*vectors.columns, "filename", *([schema.PROJECTION] if average else [])]
        )
        frame = pd.concat([told, pd.concat(pieces, ignore_index=True)], axis=1)
        write_summary(frame, lines)
    return Inferred(
        out, summary_path, len(groups), int((frame[EXTRAPOLATED] > 0).sum()), tuple(rejected)
    )


def mixed(draws: np.ndarray, counts: list[int]) -> np.ndarray:
    """Mixtures of posteriors with equal weights.

    Args:
        draws: Of rows that stand object after object, (S, N, D).
        counts: Rows of each object, G of them, N in all.

    Returns:
        (S, G, D): draw i of an object comes from its row i modulo their number.

    Examples:
        >>> mixed(np.array([[[1.0], [2.0], [9.0]], [[1.0], [2.0], [9.0]]]), [2, 1])[:, :, 0].tolist()
        [[1.0, 9.0], [2.0, 9.0]]
    """
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    which = starts + np.arange(len(draws))[:, None] % np.array(counts)
    return np.asarray(draws[np.arange(len(draws))[:, None], which])


def _answers(
    posterior: Posterior, seen: pd.DataFrame, groups: list[np.ndarray], num_draws: int, seed: int
) -> Iterator[tuple[slice, np.ndarray, pd.DataFrame]]:
    """Yield objects, their draws (S, n, D) and their summary, in pieces of bounded memory."""
    inputs = seen[list(posterior.inputs)].to_numpy(float)
    largest = max(map(len, groups))
    step = max(1, POINTS // (num_draws * largest))
    for begin in range(0, len(groups), step):
        chosen = groups[begin : begin + step]
        rows, counts = np.concatenate(chosen), [len(one) for one in chosen]
        query = Query(inputs[rows], rows)
        pieces = posterior.sample_batches(query, Sampling(num_draws, seed))
        draws = mixed(np.concatenate([part for _, part in pieces], axis=1), counts)
        firsts = np.array([one[0] for one in chosen])
        piece = summarise(posterior, inputs[firsts], draws)
        by_object = np.repeat(np.arange(len(chosen)), counts)
        told = {
            DISAGREEMENT: disagreement(posterior, query, seed=seed),
            EXTRAPOLATED: posterior.transforms.num_clipped(inputs[rows]),
        }
        spread = (
            pd.DataFrame(told).groupby(by_object).agg({DISAGREEMENT: "mean", EXTRAPOLATED: "max"})
        )
        yield slice(begin, begin + len(chosen)), draws, piece.assign(**{COUNT: counts}).join(spread)


def _seen(
    table: pd.DataFrame, vectors: Embeddings, names: tuple[str, ...], where: str
) -> tuple[pd.DataFrame, list[Rejected]]:
    """A row for every projection of a usable row of the catalogue; and the rows that cannot be
    used.
    """
    numbered = table.assign(**{ROW: np.arange(len(table))})
    clash = sorted(map(str, set(table) & {ROW, schema.PROJECTION, "filename", *vectors.columns}))
    if clash:
        raise DataError(where, "no column that maps bring", f"'{clash[0]}'", "", "rename it")
    joined = numbered.merge(vectors.table, on=list(schema.KEYS), how="left").sort_values(
        [ROW, schema.PROJECTION], ignore_index=True
    )
    has_map = joined["filename"].notna().to_numpy()
    values, bad = usable_rows(joined[has_map].reset_index(drop=True), names)
    reasons = {int(row): "no map among the embeddings" for row in joined.loc[~has_map, ROW]}
    lines = joined.loc[has_map, ROW].to_numpy()
    reasons |= {int(lines[one.line - FIRST_LINE]): one.reason for one in bad}
    rejected = [Rejected(row + FIRST_LINE, reasons[row]) for row in sorted(reasons)]
    seen = joined[has_map].reset_index(drop=True)
    seen[list(names)] = values
    seen = seen[~seen[ROW].isin(list(reasons))].reset_index(drop=True)
    if seen.empty:
        first = f"line {rejected[0].line} ({rejected[0].reason})" if rejected else ""
        raise DataError(where, "a row that has a map and can be used", "none", first)
    seen[schema.PROJECTION] = seen[schema.PROJECTION].astype("int64")
    return seen, rejected


def _demand_features(posterior: Posterior, vectors: Embeddings, where: str) -> None:
    wanted = [name for name in posterior.inputs if schema.is_embedding(name)]
    if not wanted:
        raise DataError(
            "model",
            "one that was trained with embeddings of maps",
            "one of scalars alone",
            "",
            "leave out --embeddings",
        )
    if set(wanted) != set(vectors.columns):
        raise DataError(
            where,
            f"vectors of {len(wanted)} features",
            f"{len(vectors.columns)}",
            "",
            "encode the maps with the encoder that the model was trained with",
        )
