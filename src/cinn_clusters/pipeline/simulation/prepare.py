"""Two CSV files to a run: joined, validated, split by cluster, transforms fitted on training
clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.catalogue import Catalogue, read_catalogue
from cinn_clusters.data.embeddings import demand_unseen, join_embeddings, read_embeddings
from cinn_clusters.data.split import Split, same_parts, split_by_cluster, split_by_row
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.files import atomic_directory, demand_free, sha256_of, write_json
from cinn_clusters.legacy.processed import processed_tables
from cinn_clusters.posterior.fit import fit_catalogue_transforms
from cinn_clusters.storage.run import Run, csv_text, decision_hash, table_hash, versions
from cinn_clusters.storage.run_paths import RunPaths

Protocol = Literal["cluster", "original"]


def prepare(
    observables_file: str | Path,
    targets_file: str | Path,
    out: str | Path,
    *,
    observables: Sequence[str] = schema.DEFAULT_OBSERVABLES,
    targets: Sequence[str] = schema.DEFAULT_TARGETS,
    cluster_column: str = schema.CLUSTER_COLUMN,
    protocol: Protocol = "cluster",
    seed: int = 42,
    embeddings: tuple[str | Path, str | Path] | None = None,
    sources: Sequence[str | Path] = (),
    drop_incomplete: bool = False,
    allow_atypical: bool = False,
    overwrite: bool = False,
) -> Run:
    """Make a run from the two files of a simulation.

    Args:
        observables_file: See ``read_catalogue``.
        targets_file: See ``read_catalogue``.
        out: Folder to make.
        observables: Columns of x.
        targets: Columns of theta.
        cluster_column: Column that identifies a cluster.
        protocol: ``cluster`` splits by cluster; ``original`` reproduces the published preparation,
            leak included.
        seed: Seed of the split.
        embeddings: Vectors of maps and the names of these, see ``read_embeddings``: further columns
            of x, a row a projection. Clusters fall into the same parts as without.
        sources: Files that the two tables were made from, to be named in their stead.
        drop_incomplete: See ``read_catalogue``.
        allow_atypical: See ``read_catalogue``.
        overwrite: Replace a run that stands there, with all its results.

    Returns:
        The run.

    Raises:
        DataError: If the files are not what the schema says, or the encoder was trained on test
            clusters.
        OutputError: If the folder is taken or cannot be written.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        demand_free(out, overwrite)
    catalogue = read_catalogue(
        observables_file,
        targets_file,
        observables=observables,
        targets=targets,
        cluster_column=cluster_column,
        keep_marks=protocol == "original",
        drop_incomplete=drop_incomplete,
        allow_atypical=allow_atypical,
    )
    files, everyone = list(sources or (observables_file, targets_file)), catalogue
    unmatched: tuple[str, ...] = ()
    seen: tuple[str, ...] | None = None
    if embeddings is not None:
        vectors = read_embeddings(*embeddings)
        (catalogue, unmatched), seen = join_embeddings(catalogue, vectors), vectors.seen
        files += embeddings
    if protocol == "original":
        split = split_by_row(len(catalogue.table), seed)
        transforms = standard_transforms(catalogue)
    else:
        split = same_parts(
            split_by_cluster(everyone.clusters, seed), everyone.clusters, catalogue.clusters
        )
        hint = (
            "train the encoder on a run of the same clusters and --seed (cinn-clusters embed train)"
        )
        demand_unseen(
            seen or (), catalogue.clusters[split.test], str((embeddings or ("",))[0]), hint
        )
        transforms = fit_catalogue_transforms(catalogue, split, seed=seed)
    record = _record(catalogue, split, protocol, seed, files) | {"unmatched_maps": list(unmatched)}
    if embeddings is not None:
        record["encoder_clusters"] = None if seen is None else list(seen)
    kept = (RunPaths(out).split.name,)
    with atomic_directory(out, overwrite=overwrite, markers=kept) as scratch:
        paths = RunPaths(scratch)
        for file, frame in zip(paths.tables, _tables(catalogue, transforms, protocol), strict=True):
            file.write_text(csv_text(frame), encoding="utf-8")
        if everyone.left_out is not None:
            paths.left_out.write_text(csv_text(everyone.left_out), encoding="utf-8")
            record["left_out_sha256"] = sha256_of(paths.left_out)
        record = {"table_sha256": table_hash(paths), **record}
        record["sha256"] = decision_hash(record, transforms.to_dict())
        write_json(paths.split, record)
        write_json(paths.transforms, transforms.to_dict())
    return Run(out, catalogue, split, transforms, record)


def prepare_processed(
    processed: str | Path, out: str | Path, *, clusters: str | Path | None = None, **options: Any
) -> Run:
    """Make a run from the processed tables of the original scripts, their scaling undone.

    Args:
        processed: Folder with X.csv, Y.csv, meta.csv and the scalers.
        out: Folder to make.
        clusters: See ``processed_tables``.
        **options: Further arguments of ``prepare``.

    Returns:
        The run.

    Raises:
        DataError: If the files are not what they should be.
        OutputError: If the folder is taken or cannot be written.
    """
    column = options.get("cluster_column", schema.CLUSTER_COLUMN)
    frames = processed_tables(processed, clusters, column)
    sides = zip(("observables", "targets"), frames, strict=True)
    columns = {
        side: [name for name in frame if name not in (*schema.KEYS, column)]
        for side, frame in sides
    }
    with TemporaryDirectory() as scratch:
        files = Path(scratch, "X.csv"), Path(scratch, "Y.csv")
        for file, frame in zip(files, frames, strict=True):
            file.write_text(csv_text(frame), encoding="utf-8")
        return prepare(
            *files, out, sources=RunPaths(Path(processed)).tables, **{**columns, **options}
        )


def standard_transforms(catalogue: Catalogue, rows: np.ndarray | slice = slice(None)) -> Transforms:
    """Shift and scale raw columns only, as the original did: no bounds, no logarithms, no
    ratios.
    """

    def moments(name: str) -> dict[str, Any]:
        values = catalogue.table[name].to_numpy(float)[rows]
        return {"name": name, "shift": float(values.mean()), "scale": float(values.std()) or 1.0}

    return Transforms(
        tuple(ObservableMap(**moments(name)) for name in catalogue.observables),
        tuple(TargetMap(**moments(name)) for name in catalogue.targets),
    )


def _tables(
    catalogue: Catalogue, transforms: Transforms, protocol: Protocol
) -> tuple[pd.DataFrame, ...]:
    x, y = catalogue.table[list(catalogue.observables)], catalogue.table[list(catalogue.targets)]
    meta = catalogue.table.drop(columns=[*catalogue.observables, *catalogue.targets])
    if protocol == "original":
        x, y = _scaled(x, transforms.observables), _scaled(y, transforms.targets)
    return x, y, meta


def _scaled(frame: pd.DataFrame, maps: tuple[Any, ...]) -> pd.DataFrame:
    return (frame - [entry.shift for entry in maps]) / [entry.scale for entry in maps]


def _record(
    catalogue: Catalogue, split: Split, protocol: Protocol, seed: int, files: Sequence[str | Path]
) -> dict[str, Any]:
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    return {
        "protocol": protocol,
        "seed": seed,
        "cluster_column": catalogue.cluster_column,
        "files": [{"name": Path(file).name, "sha256": sha256_of(Path(file))} for file in files],
        "rows_read": catalogue.rows_read,
        "unknown_columns": list(catalogue.unknown),
        "dropped": [asdict(entry) for entry in catalogue.dropped],
        "versions": versions(),
        "num_clusters": {
            name: len(np.unique(catalogue.clusters[rows])) for name, rows in parts.items()
        },
        "rows": {name: rows.tolist() for name, rows in parts.items()},
    }
