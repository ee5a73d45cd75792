"""The folder of a run and the table behind it, verified when opened."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.bundle import rebuilding
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.declared import declared_schema
from cinn_clusters.data.reading.keys import INTEGER, typed_keys
from cinn_clusters.data.reading.tables import read_csv
from cinn_clusters.data.split import Split
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import BundleError
from cinn_clusters.files import JsonObject, read_json, sha256_of
from cinn_clusters.schema import KEYS
from cinn_clusters.storage.run_paths import RunPaths

PARTS = ("train", "validation", "test")
_HEADER_AND_ROW = 2
_PREPARE_AGAIN = "prepare the run again"


@dataclass(frozen=True)
class Run:
    """A prepared run.

    Args:
        path: Its folder.
        catalogue: Its rows, in catalogue units whatever the files hold.
        split: Its parts.
        transforms: Fitted on its training rows (on all rows under the original protocol).
        record: Content of ``split.json``.
    """

    path: Path
    catalogue: Catalogue
    split: Split
    transforms: Transforms
    record: JsonObject

    @property
    def paths(self) -> RunPaths:
        """Where its files stand."""
        return RunPaths(self.path)

    @property
    def is_original(self) -> bool:
        """Whether the published, leaking protocol prepared it."""
        return bool(self.record["protocol"] == "original")

    def left_out(self) -> pd.DataFrame | None:
        """Read the rows without a usable history; None where there are none, or none were kept.

        Raises:
            BundleError: If they changed since the run was prepared.
        """
        path = self.paths.left_out
        if "left_out_sha256" not in self.record:
            return None
        if not path.is_file() or sha256_of(path) != self.record["left_out_sha256"]:
            raise _changed(path, "the rows that were left out", "other or none")
        if len(path.read_text(encoding="utf-8").splitlines()) < _HEADER_AND_ROW:
            return None
        types = _types_of_keys(self.record)
        frame = read_csv(path, text=types)
        return typed_keys(frame, types)


def open_run(path: str | Path) -> Run:
    """Open a prepared run and check that its table is the one that was split.

    Raises:
        BundleError: If the folder is not a run, or a file of it is missing, damaged or changed.

    Examples:
        >>> import cinn_clusters as cc
        >>> cc.open_run("run").is_original
        False
    """
    paths = RunPaths(Path(path))
    paths.demand_prepared()
    with rebuilding(paths.root, "a run as it was prepared", _PREPARE_AGAIN):
        return _parse(paths)


def _parse(paths: RunPaths) -> Run:
    record, transforms = _read_record(paths)
    for table in paths.tables:
        if not table.is_file():
            raise _changed(table, "a file of the run", "nothing")
    if table_hash(paths) != record["table_sha256"]:
        raise _changed(paths.root, "the tables that were split", "changed ones")
    split = Split(*(np.array(record["rows"][part], dtype=int) for part in PARTS))
    catalogue = _catalogue(paths, record, transforms)
    _demand_columns(paths, catalogue, transforms)
    every_row = np.concatenate([split.train, split.validation, split.test])
    if not np.array_equal(np.sort(every_row), np.arange(len(catalogue.table))):
        raise _changed(paths.split, "every row in one part", "other rows")
    return Run(paths.root, catalogue, split, transforms, record)


def _demand_columns(
    paths: RunPaths, catalogue: Catalogue, transforms: Transforms
) -> None:
    """Demand the columns that the transforms and the split speak of."""
    observables = tuple(entry.name for entry in transforms.observables)
    columns = catalogue.observables, catalogue.targets
    if columns != (observables, transforms.target_names):
        raise _changed(paths.transforms, "transforms of the columns", "others")
    if catalogue.cluster_column not in catalogue.table:
        raise _changed(paths.split, "the column of the clusters", "another")


def _changed(path: Path, expected: str, got: str) -> BundleError:
    return BundleError(path, expected, got, "", _PREPARE_AGAIN)


def _read_record(paths: RunPaths) -> tuple[JsonObject, Transforms]:
    """Read what was decided when the run was prepared, unchanged since."""
    record, maps = read_json(paths.split), read_json(paths.transforms)
    try:
        is_whole = set(record["rows"]) == set(PARTS)
        is_whole &= record["sha256"] == decision_hash(record, maps)
        transforms = Transforms.from_dict(maps)
    except (AttributeError, LookupError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        expected = f"{paths.split.name} and {paths.transforms.name} as prepared"
        raise _changed(paths.root, expected, "changed or damaged ones")
    return record, transforms


def decision_hash(record: JsonObject, maps: JsonObject) -> str:
    """Return the sha256 of a record (but for this hash) and of its transforms."""
    decided = {key: value for key, value in record.items() if key != "sha256"}
    return json_hash([decided, maps])


def table_hash(paths: RunPaths) -> str:
    """Return one sha256 for the three tables of a run."""
    joined = "".join(sha256_of(table) for table in paths.tables)
    return hashlib.sha256(joined.encode()).hexdigest()


def split_hash(record: JsonObject) -> str:
    """Return the sha256 of the parts of a split."""
    return json_hash(record["rows"])


def json_hash(values: object) -> str:
    """Return the sha256 of plain values as JSON with sorted keys."""
    return hashlib.sha256(
        json.dumps(values, sort_keys=True, default=str).encode()
    ).hexdigest()


def model_hash(model: Path) -> str:
    """Return the sha256 that identifies a model: that of the list of its files and their hashes."""
    return sha256_of(model / "manifest.json")


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV that reads back to the same bits."""
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def versions() -> dict[str, str]:
    """Return the versions that made an artefact."""
    names = ("cinn-clusters", "torch", "numpy", "pandas", "scikit-learn")
    return {name: version(name) for name in names}


def _catalogue(
    paths: RunPaths, record: JsonObject, transforms: Transforms
) -> Catalogue:
    types = _types_of_keys(record)
    x, y, meta = (read_csv(table, text=types) for table in paths.tables)
    num_rows = {len(frame) for frame in (x, y, meta)}
    if len(num_rows) > 1 or meta.isna().any(axis=None):
        raise _changed(paths.root, "tables of as many rows, with keys", "others")
    if record["protocol"] == "original":
        x, y = _unscaled(x, transforms.observables), _unscaled(y, transforms.targets)
    table = pd.concat([typed_keys(meta, types), x, y], axis=1)
    return Catalogue(
        table,
        tuple(x.columns),
        tuple(y.columns),
        record["cluster_column"],
        schema=declared_schema(record.get("schema", {})),
    )


def _types_of_keys(record: JsonObject) -> dict[str, str]:
    """Type of each key column; a run of an earlier version says none, and values decide."""
    names = dict.fromkeys((*KEYS, record["cluster_column"]), INTEGER)
    return dict(record.get("key_types", names))


def _unscaled(frame: pd.DataFrame, maps: tuple[Any, ...]) -> pd.DataFrame:
    return frame * [entry.scale for entry in maps] + [entry.shift for entry in maps]
