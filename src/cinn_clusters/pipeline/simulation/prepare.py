"""Two CSV files to a run: joined, validated, split by cluster, transforms fitted on training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from cinn_clusters.claims import reserving
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.catalogue import Catalogue, read_catalogue
from cinn_clusters.data.embeddings import (
    DEAD_FEATURES,
    ENCODER_HASH,
    KNOWN_NAMING,
    demand_unseen,
    join_embeddings,
    read_embeddings,
)
from cinn_clusters.data.reading.keys import key_types
from cinn_clusters.data.reading.map_names import MapNaming
from cinn_clusters.data.shared_histories import demand_unshared, merge_shared
from cinn_clusters.data.split import Split, split_by_cluster, split_by_row
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.files import (
    JsonObject,
    atomic_directory,
    demand_free,
    scratch_folder,
    sha256_of,
    write_json,
)
from cinn_clusters.legacy.processed import processed_tables, source_files
from cinn_clusters.pipeline.simulation.cautions import find_cautions
from cinn_clusters.pipeline.simulation.mock import MOCK_MARK
from cinn_clusters.posterior.fit import fit_catalogue_transforms
from cinn_clusters.schema import (
    CLUSTER_COLUMN,
    DEFAULT,
    KEYS,
    NO_PROJECTION,
    PROJECTION,
    Schema,
)
from cinn_clusters.storage.run import Run, csv_text, decision_hash, table_hash, versions
from cinn_clusters.storage.run_paths import RunPaths

Protocol = Literal["cluster", "original"]
SharedHistories = Literal["refuse", "merge", "allow"]
PathLike = str | Path
CAUTIONS = "cautions"
"""In the record of a run: what its table holds that may be wrong, in sentences."""
_NUM_LISTED = 6
_ENCODER_HINT = "train the encoder on a run of the same clusters and --seed (cinn-clusters embed train)"


@dataclass(frozen=True)
class TableFiles:
    """The files that a run is made from.

    Args:
        observables: CSV with keys and observables.
        targets: CSV with keys and targets.
        embeddings: Vectors of maps and their names, see ``read_embeddings``: further optional
            columns of x, a row a projection.
        sources: Files that the two tables were made from, to be named in their stead.

    Examples:
        >>> TableFiles("observables1.csv", "unobservables1.csv").embeddings is None
        True
    """

    observables: PathLike
    targets: PathLike
    embeddings: tuple[PathLike, PathLike] | None = None
    sources: tuple[PathLike, ...] = ()

    @property
    def named(self) -> tuple[Path, ...]:
        """All files, as the record of the run names them."""
        tables = self.sources or (self.observables, self.targets)
        return tuple(map(Path, (*tables, *(self.embeddings or ()))))


@dataclass(frozen=True)
class Preparation:
    """How tables become a run.

    Args:
        protocol: ``cluster`` splits by cluster; ``original`` reproduces the published preparation,
            data leakage included.
        seed: Seed of the split.
        drop_incomplete: See ``read_catalogue``.
        allow_atypical: See ``read_catalogue``.
        naming: How the names of maps say whose they are.
        shared: Clusters that share exact target vectors are refused, merged to one for the split,
            or allowed to stand in several parts.

    Examples:
        >>> Preparation(seed=1).protocol
        'cluster'
    """

    protocol: Protocol = "cluster"
    seed: int = 42
    drop_incomplete: bool = False
    allow_atypical: bool = False
    naming: MapNaming = KNOWN_NAMING
    shared: SharedHistories = "refuse"

    @property
    def is_original(self) -> bool:
        """Whether the published preparation is reproduced."""
        return self.protocol == "original"


@reserving()
def prepare(
    files: TableFiles,
    out: PathLike,
    *,
    schema: Schema = DEFAULT,
    options: Preparation | None = None,
    overwrite: bool = False,
) -> Run:
    """Make a run from the two files of a simulation, and embeddings of maps where there are any.

    Clusters fall into the same parts with embeddings as without.

    Args:
        files: What is read.
        out: Folder to make.
        schema: What the columns are, and which are used; ``read_schema`` reads a simulation's own.
        options: How; by default a grouped split, seed 42.
        overwrite: Replace a run that stands there, with all its results.

    Returns:
        The run.

    Raises:
        DataError: If the files are not what the schema says, or the encoder was trained on test
            clusters.
        OutputError: If the folder is taken or cannot be written.

    Examples:
        >>> import cinn_clusters as cc
        >>> files = cc.TableFiles("mock/observables1.csv", "mock/unobservables1.csv")
        >>> run = cc.prepare(files, "prepared")
        >>> sorted(path.name for path in run.path.glob("*.json"))
        ['split.json', 'transforms.json']
    """
    out, options = Path(out), options or Preparation()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        demand_free(out, overwrite)
    catalogue = _read_catalogue(files, schema, options)
    encoder: JsonObject = {"unmatched_maps": []}
    if files.embeddings is not None:
        catalogue, encoder = _with_embeddings(catalogue, files.embeddings, options)
    if options.is_original:
        split = split_by_row(len(catalogue.table), options.seed)
        transforms = standard_transforms(catalogue)
    else:
        split = split_by_cluster(catalogue.clusters, options.seed)
        trained, tested = (
            encoder.get("encoder_clusters") or (),
            catalogue.clusters[split.test],
        )
        demand_unseen(
            trained, tested, str((files.embeddings or ("",))[0]), _ENCODER_HINT
        )
        transforms = fit_catalogue_transforms(catalogue, split, seed=options.seed)
    catalogue, dead = _without_dead_features(catalogue, transforms)
    cautions = [*_dead_features_caution(dead), *find_cautions(catalogue, transforms)]
    record = _record(catalogue, split, options, files) | encoder
    record[CAUTIONS] = cautions
    if dead:
        record[DEAD_FEATURES] = list(dead)
    record = _write(Run(out, catalogue, split, transforms, record), overwrite)
    return Run(out, catalogue, split, transforms, record)


def _without_dead_features(
    catalogue: Catalogue, transforms: Transforms
) -> tuple[Catalogue, tuple[str, ...]]:
    """The catalogue without features that tell nothing of training rows, and their names."""
    used = {entry.name for entry in transforms.observables}
    dead = tuple(name for name in catalogue.observables if name not in used)
    alive = tuple(name for name in catalogue.observables if name in used)
    table = catalogue.table.drop(columns=list(dead))
    return replace(catalogue, table=table, observables=alive), dead


def _dead_features_caution(dead: tuple[str, ...]) -> list[str]:
    if not dead:
        return []
    listed = ", ".join(dead[:_NUM_LISTED]) + ", ..." * (len(dead) > _NUM_LISTED)
    return [
        f"{len(dead)} features of the embedding are constant over the training rows (dead units "
        f"of a network) and are left out, in infer as well: {listed}"
    ]


def _read_catalogue(
    files: TableFiles, schema: Schema, options: Preparation
) -> Catalogue:
    """Read the two files; clusters that share histories are refused unless it is asked for."""
    catalogue = read_catalogue(
        files.observables,
        files.targets,
        schema,
        original=options.is_original,
        drop_incomplete=options.drop_incomplete,
        allow_atypical=options.allow_atypical,
    )
    if options.shared == "merge":
        return merge_shared(catalogue)
    if options.shared == "refuse" and not options.is_original:
        demand_unshared(catalogue)
    return catalogue


def _with_embeddings(
    catalogue: Catalogue, files: tuple[PathLike, PathLike], options: Preparation
) -> tuple[Catalogue, JsonObject]:
    """Join the vectors of maps, and say what the record is to say of them."""
    vectors = read_embeddings(*files, options.naming)
    joined, unmatched = join_embeddings(catalogue, vectors)
    if options.is_original:  # which knows no missing value
        has_map = (joined.table[PROJECTION] != NO_PROJECTION).to_numpy()
        joined = joined.without(~has_map, "no map among the embeddings")
    trained = vectors.encoder_clusters
    clusters = None if trained is None else list(trained)
    record: JsonObject = {"unmatched_maps": list(unmatched)}
    record["encoder_clusters"] = clusters
    if vectors.encoder_sha256 is not None:
        record[ENCODER_HASH] = vectors.encoder_sha256
    return joined, record


def _write(run: Run, overwrite: bool) -> JsonObject:
    """Write a run and return its record, hashes included."""
    record = run.record
    with atomic_directory(
        run.path, overwrite=overwrite, markers=(run.paths.split.name,)
    ) as scratch:
        paths = RunPaths(scratch)
        for file, frame in zip(paths.tables, _tables(run), strict=True):
            file.write_text(csv_text(frame), encoding="utf-8")
        if run.catalogue.left_out is not None:
            paths.left_out.write_text(
                csv_text(run.catalogue.left_out), encoding="utf-8"
            )
            record = {**record, "left_out_sha256": sha256_of(paths.left_out)}
        record = {"table_sha256": table_hash(paths), **record}
        record["sha256"] = decision_hash(record, run.transforms.to_dict())
        write_json(paths.split, record)
        write_json(paths.transforms, run.transforms.to_dict())
    return record


def prepare_processed(
    processed: PathLike,
    out: PathLike,
    *,
    clusters: PathLike | None = None,
    embeddings: tuple[PathLike, PathLike] | None = None,
    schema: Schema = DEFAULT,
    **options: Any,
) -> Run:
    """Make a run from the processed tables of the original scripts, their scaling undone.

    Args:
        processed: Folder with X.csv, Y.csv, meta.csv and the scalers.
        out: Folder to make.
        clusters: See ``processed_tables``.
        embeddings: See ``TableFiles``.
        schema: What the columns are; all are used unless others than the default are chosen.
        **options: Further arguments of ``prepare``.

    Returns:
        The run.

    Raises:
        DataError: If the files are not what they should be.
        OutputError: If the folder is taken or cannot be written.
    """
    cluster_column = schema.keys.cluster or CLUSTER_COLUMN
    frames = processed_tables(processed, clusters, cluster_column)
    observables, targets = (
        [str(name) for name in frame if name not in (*KEYS, cluster_column)]
        for frame in frames
    )
    if schema.observables != DEFAULT.observables:
        observables = list(schema.observables)
    if schema.targets != DEFAULT.targets:
        targets = list(schema.targets)
    with scratch_folder(Path(out)) as scratch:
        tables = scratch / "X.csv", scratch / "Y.csv"
        for file, frame in zip(tables, frames, strict=True):
            file.write_text(csv_text(frame), encoding="utf-8")
        sources = source_files(processed, clusters)
        files = TableFiles(*tables, embeddings, sources)
        return prepare(
            files, out, schema=schema.choose(observables, targets), **options
        )


def standard_transforms(
    catalogue: Catalogue, rows: np.ndarray | slice = slice(None)
) -> Transforms:
    """Shift and scale raw columns only, as the original did: no bounds, logarithms or ratios."""

    def moments(name: str) -> tuple[float, float]:
        column = catalogue.table[name].to_numpy(float)
        values = column[rows]
        mean, deviation = float(values.mean()), float(values.std())
        return mean, deviation or 1.0

    observables, targets = [], []
    for name in catalogue.observables:
        shift, scale = moments(name)
        observables.append(ObservableMap(name, shift=shift, scale=scale))
    for name in catalogue.targets:
        shift, scale = moments(name)
        targets.append(TargetMap(name, shift=shift, scale=scale))
    return Transforms(tuple(observables), tuple(targets), schema=catalogue.schema)


def _tables(run: Run) -> tuple[pd.DataFrame, ...]:
    """Observables, targets and keys; scaled under the original protocol."""
    table, catalogue = run.catalogue.table, run.catalogue
    x, y = table[list(catalogue.observables)], table[list(catalogue.targets)]
    keys = table.drop(columns=[*catalogue.observables, *catalogue.targets])
    if run.is_original:
        x, y = (
            _scaled(x, run.transforms.observables),
            _scaled(y, run.transforms.targets),
        )
    return x, y, keys


def _scaled(
    frame: pd.DataFrame, maps: tuple[ObservableMap, ...] | tuple[TargetMap, ...]
) -> pd.DataFrame:
    return (frame - [entry.shift for entry in maps]) / [entry.scale for entry in maps]


def _record(
    catalogue: Catalogue, split: Split, options: Preparation, files: TableFiles
) -> JsonObject:
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    clusters = catalogue.clusters
    record: JsonObject = {
        "protocol": options.protocol,
        "seed": options.seed,
        "cluster_column": catalogue.cluster_column,
        "key_types": key_types(
            catalogue.table, dict.fromkeys((*KEYS, catalogue.cluster_column))
        ),
        "files": [
            {"name": file.name, "sha256": sha256_of(file)} for file in files.named
        ],
        "is_mock": Path(files.observables).with_name(MOCK_MARK).is_file(),
        "rows_read": catalogue.rows_read,
        "unknown_columns": list(catalogue.unknown),
        "num_missing": catalogue.num_missing(),
        "dropped": [asdict(entry) for entry in catalogue.dropped],
        "versions": versions(),
        "num_clusters": {
            name: len(np.unique(clusters[rows])) for name, rows in parts.items()
        },
        "rows": {name: rows.tolist() for name, rows in parts.items()},
    }
    if catalogue.marks:
        record["marks"] = list(catalogue.marks)
    if catalogue.schema != DEFAULT:
        record["schema"] = catalogue.schema.to_dict()
    return record
