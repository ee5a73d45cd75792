"""The folder of a run: fixed names that scripts rely on, and the table behind it, verified when
opened.
"""

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

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split
from cinn_clusters.data.tables import read_csv
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import BundleError
from cinn_clusters.files import read_json, sha256_of

PARTS = ("train", "validation", "test")
TABLES = ("X.csv", "Y.csv", "meta.csv")
SPLIT, TRANSFORMS, HISTORY, CHECKPOINT = (
    "split.json",
    "transforms.json",
    "history.csv",
    "checkpoint.safetensors",
)
MODEL, POSTERIOR, SUMMARY, SCORES, CROSSVAL = (
    "model",
    "posterior.nc",
    "summary.csv",
    "scores.json",
    "crossval",
)
DIAGNOSTICS, LEFT_OUT = "diagnostics.json", "left_out.csv"


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
    record: dict[str, Any]

    @property
    def is_original(self) -> bool:
        """Whether the published, leaking protocol prepared it."""
        return bool(self.record["protocol"] == "original")

    def left_out(self) -> pd.DataFrame | None:
        """Read the rows without a usable history; None for runs that do not keep them.

        Raises:
            BundleError: If they changed since the run was prepared.
        """
        path = self.path / LEFT_OUT
        if "left_out_sha256" not in self.record:
            return None
        if not path.is_file() or sha256_of(path) != self.record["left_out_sha256"]:
            raise BundleError(
                str(path),
                "the rows that were left out",
                "other or none",
                "",
                "prepare the run again",
            )
        return pd.read_csv(path)


def open_run(path: str | Path) -> Run:
    """Open a prepared run and check that its table is the one that was split.

    Raises:
        BundleError: If the folder is not a run, or a file of it is missing, damaged or changed.
    """
    path = Path(path)
    if not (path / SPLIT).is_file():
        raise BundleError(
            str(path),
            f"a prepared run (a folder with {SPLIT})",
            "none",
            "",
            "run cinn-clusters prepare",
        )
    record, transforms = _read_record(path)
    missing = [name for name in TABLES if not (path / name).is_file()]
    if missing:
        raise BundleError(
            str(path / missing[0]), "a file of the run", "nothing", "", "prepare the run again"
        )
    if table_hash(path) != record["table_sha256"]:
        raise BundleError(
            str(path), "the tables that were split", "changed ones", "", "prepare the run again"
        )
    split = Split(*(np.array(record["rows"][part], dtype=int) for part in PARTS))
    catalogue = _catalogue(path, record, transforms)
    every_row = np.concatenate([split.train, split.validation, split.test])
    if not np.array_equal(np.sort(every_row), np.arange(len(catalogue.table))):
        raise BundleError(
            str(path / SPLIT), "every row in one part", "other rows", "", "prepare the run again"
        )
    return Run(path, catalogue, split, transforms, record)


def _read_record(path: Path) -> tuple[dict[str, Any], Transforms]:
    """Read what was decided when the run was prepared, unchanged since."""
    record, maps = read_json(path / SPLIT), read_json(path / TRANSFORMS)
    try:
        is_whole = set(record["rows"]) == set(PARTS) and record["sha256"] == decision_hash(
            record, maps
        )
        transforms = Transforms.from_dict(maps)
    except (KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        what = f"{SPLIT} and {TRANSFORMS} as prepared"
        raise BundleError(str(path), what, "changed or damaged ones", "", "prepare the run again")
    return record, transforms


def decision_hash(record: dict[str, Any], maps: dict[str, Any]) -> str:
    """Return the sha256 of a record (but for this hash) and of its transforms."""
    decided = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps([decided, maps], sort_keys=True).encode()).hexdigest()


def table_hash(path: Path) -> str:
    """Return one sha256 for the three tables of a run."""
    joined = "".join(sha256_of(path / name) for name in TABLES)
    return hashlib.sha256(joined.encode()).hexdigest()


def split_hash(record: dict[str, Any]) -> str:
    """Return the sha256 of the parts of a split."""
    return hashlib.sha256(json.dumps(record["rows"], sort_keys=True).encode()).hexdigest()


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV that reads back to the same bits."""
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def versions() -> dict[str, str]:
    """Return the versions that made an artefact."""
    return {
        name: version(name)
        for name in ("cinn-clusters", "torch", "numpy", "pandas", "scikit-learn")
    }


def _catalogue(path: Path, record: dict[str, Any], transforms: Transforms) -> Catalogue:
    x, y, meta = (read_csv(path / name) for name in TABLES)
    if record["protocol"] == "original":
        x, y = _unscaled(x, transforms.observables), _unscaled(y, transforms.targets)
    table = pd.concat([meta, x, y], axis=1)
    for key in (name for name in schema.ROW_KEYS if name in table):
        table[key] = table[key].astype("int64")
    return Catalogue(table, tuple(x.columns), tuple(y.columns), record["cluster_column"])


def _unscaled(frame: pd.DataFrame, maps: tuple[Any, ...]) -> pd.DataFrame:
    return frame * [entry.scale for entry in maps] + [entry.shift for entry in maps]
