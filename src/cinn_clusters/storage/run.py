"""The folder of a run: where each of its files stands, and the table behind it, verified when
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


class _Entry:
    """A file or folder of fixed name below the root of some paths."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, paths: _Paths, owner: type[_Paths]) -> Path:
        return paths.root / self.name


@dataclass(frozen=True)
class _Paths:
    root: Path


class ResultPaths(_Paths):
    """What is known of some posteriors: those of the test clusters, or those out of fold."""

    posterior = _Entry("posterior.nc")
    summary = _Entry("summary.csv")
    scores = _Entry("scores.json")
    diagnostics = _Entry("diagnostics.json")
    figures = _Entry("figures")


class BaselinePaths(_Paths):
    """The ensemble of MLPs of a run and its predictions of the test rows."""

    predictions = _Entry("mlp_test_pred.npy")
    ground_truth = _Entry("mlp_test_true.npy")
    mae = _Entry("mae.json")
    history = _Entry("history.csv")
    model = _Entry("model")


class TunePaths(_Paths):
    """A search for settings."""

    best = _Entry("best.toml")
    trials = _Entry("trials.csv")
    search = _Entry("search.json")


class SensitivityPaths(_Paths):
    """What is lost without an observable: a matrix of each kind, and its standard errors."""

    def matrix(self, kind: str) -> Path:
        """Return the file of a matrix, such as ``sensitivity`` or ``shapley``."""
        return self.root / f"{kind}_matrix.csv"

    def errors(self, kind: str) -> Path:
        """Return the file of the standard errors of a matrix."""
        return self.root / f"{kind}_errors.csv"


class RunPaths(ResultPaths):
    """Every file and folder of a run; scripts rely on these names (docs/run.md)."""

    observables = _Entry("X.csv")
    targets = _Entry("Y.csv")
    keys = _Entry("meta.csv")
    left_out = _Entry("left_out.csv")
    split = _Entry("split.json")
    transforms = _Entry("transforms.json")
    checkpoint = _Entry("checkpoint.safetensors")
    history = _Entry("history.csv")
    model = _Entry("model")
    report = _Entry("report.html")
    stages = _Entry("stages.json")

    @property
    def tables(self) -> tuple[Path, Path, Path]:
        """Observables, targets and keys of the rows."""
        return self.observables, self.targets, self.keys

    @property
    def crossval(self) -> ResultPaths:
        """Out-of-fold posteriors of all rows."""
        return ResultPaths(self.root / "crossval")

    @property
    def baseline(self) -> BaselinePaths:
        """The ensemble of MLPs."""
        return BaselinePaths(self.root / "baseline")

    @property
    def sensitivity(self) -> SensitivityPaths:
        """Importance of the observables."""
        return SensitivityPaths(self.root / "sensitivity")

    @property
    def tune(self) -> TunePaths:
        """The search for settings."""
        return TunePaths(self.root / "tune")

    @classmethod
    def around(cls, posterior: Path) -> RunPaths | None:
        """Return the run that a posterior file lies in, its own or out of fold; None without."""
        folder = posterior.resolve().parent
        for paths in (cls(folder), cls(folder.parent)):
            homes = (paths.root, paths.crossval.root)
            if folder in homes and paths.split.is_file():
                return paths
        return None


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
    def paths(self) -> RunPaths:
        """Where its files stand."""
        return RunPaths(self.path)

    @property
    def is_original(self) -> bool:
        """Whether the published, leaking protocol prepared it."""
        return bool(self.record["protocol"] == "original")

    def left_out(self) -> pd.DataFrame | None:
        """Read the rows without a usable history; None for runs that do not keep them.

        Raises:
            BundleError: If they changed since the run was prepared.
        """
        path = self.paths.left_out
        if "left_out_sha256" not in self.record:
            return None
        if not path.is_file() or sha256_of(path) != self.record["left_out_sha256"]:
            raise _changed(path, "the rows that were left out", "other or none")
        return pd.read_csv(path)


def open_run(path: str | Path) -> Run:
    """Open a prepared run and check that its table is the one that was split.

    Raises:
        BundleError: If the folder is not a run, or a file of it is missing, damaged or changed.
    """
    paths = RunPaths(Path(path))
    if not paths.split.is_file():
        expected = f"a prepared run (a folder with {paths.split.name})"
        raise BundleError(str(path), expected, "none", "", "run cinn-clusters prepare")
    record, transforms = _read_record(paths)
    for table in paths.tables:
        if not table.is_file():
            raise _changed(table, "a file of the run", "nothing")
    if table_hash(paths) != record["table_sha256"]:
        raise _changed(paths.root, "the tables that were split", "changed ones")
    split = Split(*(np.array(record["rows"][part], dtype=int) for part in PARTS))
    catalogue = _catalogue(paths, record, transforms)
    every_row = np.concatenate([split.train, split.validation, split.test])
    if not np.array_equal(np.sort(every_row), np.arange(len(catalogue.table))):
        raise _changed(paths.split, "every row in one part", "other rows")
    return Run(paths.root, catalogue, split, transforms, record)


def _changed(path: Path, expected: str, got: str) -> BundleError:
    return BundleError(str(path), expected, got, "", "prepare the run again")


def _read_record(paths: RunPaths) -> tuple[dict[str, Any], Transforms]:
    """Read what was decided when the run was prepared, unchanged since."""
    record, maps = read_json(paths.split), read_json(paths.transforms)
    try:
        is_whole = set(record["rows"]) == set(PARTS)
        is_whole &= record["sha256"] == decision_hash(record, maps)
        transforms = Transforms.from_dict(maps)
    except (KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        expected = f"{paths.split.name} and {paths.transforms.name} as prepared"
        raise _changed(paths.root, expected, "changed or damaged ones")
    return record, transforms


def decision_hash(record: dict[str, Any], maps: dict[str, Any]) -> str:
    """Return the sha256 of a record (but for this hash) and of its transforms."""
    decided = {key: value for key, value in record.items() if key != "sha256"}
    return json_hash([decided, maps])


def table_hash(paths: RunPaths) -> str:
    """Return one sha256 for the three tables of a run."""
    joined = "".join(sha256_of(table) for table in paths.tables)
    return hashlib.sha256(joined.encode()).hexdigest()


def split_hash(record: dict[str, Any]) -> str:
    """Return the sha256 of the parts of a split."""
    return json_hash(record["rows"])


def json_hash(values: object) -> str:
    """Return the sha256 of plain values as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV that reads back to the same bits."""
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def versions() -> dict[str, str]:
    """Return the versions that made an artefact."""
    names = ("cinn-clusters", "torch", "numpy", "pandas", "scikit-learn")
    return {name: version(name) for name in names}


def _catalogue(paths: RunPaths, record: dict[str, Any], transforms: Transforms) -> Catalogue:
    x, y, meta = (read_csv(table) for table in paths.tables)
    if record["protocol"] == "original":
        x, y = _unscaled(x, transforms.observables), _unscaled(y, transforms.targets)
    table = pd.concat([meta, x, y], axis=1)
    for key in (name for name in schema.ROW_KEYS if name in table):
        table[key] = table[key].astype("int64")
    return Catalogue(table, tuple(x.columns), tuple(y.columns), record["cluster_column"])


def _unscaled(frame: pd.DataFrame, maps: tuple[Any, ...]) -> pd.DataFrame:
    return frame * [entry.scale for entry in maps] + [entry.shift for entry in maps]
