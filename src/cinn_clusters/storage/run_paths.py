"""Where each file of a run stands; scripts rely on these names (docs/run.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cinn_clusters.errors import BundleError


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
    without_maps = _Entry("posterior_without_maps.nc")
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

    def demand_prepared(self) -> None:
        """Refuse a folder that is no prepared run.

        Raises:
            BundleError: If it has no split.
        """
        if not self.split.is_file():
            expected = f"a prepared run (a folder with {self.split.name})"
            raise BundleError(
                self.root, expected, "none", "", "run cinn-clusters prepare"
            )

    @classmethod
    def around(cls, posterior: Path) -> RunPaths | None:
        """Return the run that a posterior file lies in, its own or out of fold; None without."""
        folder = posterior.resolve().parent
        for paths in (cls(folder), cls(folder.parent)):
            homes = (paths.root, paths.crossval.root)
            if folder in homes and paths.split.is_file():
                return paths
        return None
