"""A posterior file of anyone, matched row by row with the ground truth of its objects."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue, read_catalogue
from cinn_clusters.data.reading.keys import alike
from cinn_clusters.data.reading.tables import demand_columns, read_csv
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.evaluation.ground_truth import is_marked
from cinn_clusters.evaluation.own_tables import match_own_tables
from cinn_clusters.evaluation.reference_posteriors import reference_samples
from cinn_clusters.schema import DEFAULT, KEYS, Schema
from cinn_clusters.storage.foreign_samples import read_foreign
from cinn_clusters.storage.posterior_file import (
    SampleIndex,
    read_index,
    read_log_prob,
    read_samples,
)
from cinn_clusters.storage.run import Run, open_run
from cinn_clusters.storage.run_paths import RunPaths

_NUM_FOLDS = 5
MIN_CLUSTERS = 2
"""Fewest clusters that can be diagnosed."""


@dataclass(frozen=True)
class TruthFiles:
    """Tables of the simulation that a posterior is compared with.

    Args:
        targets: CSV of the histories.
        observables: CSV of the observables.
        schema: What their columns are, and which are keys.
    """

    targets: Path | None = None
    observables: Path | None = None
    schema: Schema = field(default=DEFAULT, repr=False)


@dataclass(frozen=True, eq=False)
class MatchedPosterior:
    """Posterior samples of N objects with known histories.

    Args:
        catalogue: All rows with a known history; references are drawn from them.
        rows: Row of each object in the catalogue, (N,).
        samples: Posterior samples, (S, N, D).
        log_prob: Log-densities of samples (S, N), NaN where not evaluated, and of ground truth
            (N,); None if the file holds none.
        ignored: Variables of the file that no table knows.
        notes: What was taken for granted in matching.
    """

    catalogue: Catalogue
    rows: np.ndarray
    samples: np.ndarray
    log_prob: tuple[np.ndarray, np.ndarray] | None
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def objects(self) -> Catalogue:
        """The objects with their ground truth."""
        return self.catalogue.rows(self.rows)

    @property
    def has_densities(self) -> bool:
        """Whether every ground truth and some samples of every object have a log-density."""
        if self.log_prob is None:
            return False
        of_samples, of_truth = self.log_prob
        return not (np.isnan(of_truth).any() or np.isnan(of_samples).all(axis=0).any())

    @property
    def num_clusters(self) -> int:
        """Clusters that the objects are of."""
        return len(np.unique(self.objects.clusters))

    def demand_clusters(self) -> None:
        """Refuse objects of a single cluster: bands and tests compare clusters.

        Raises:
            DataError: If all objects are snapshots of one cluster.
        """
        if self.num_clusters < MIN_CLUSTERS:
            expected = f"objects of at least {MIN_CLUSTERS} clusters, which bands and tests compare"
            got = f"{len(self.rows)} rows of {self.num_clusters}"
            hint = "diagnose RUN/crossval/posterior.nc, which crossval makes of all clusters of a run"
            raise DataError("the posterior", expected, got, "", hint)

    def references(self, *, seed: int = 0) -> dict[str, np.ndarray]:
        """Samples (S, N, D) of each reference posterior, drawn from rows of other clusters.

        Raises:
            DataError: If there are too few clusters.
        """
        clusters = self.catalogue.clusters
        num_folds = min(_NUM_FOLDS, len(np.unique(clusters)))
        references: dict[str, np.ndarray] = {}
        for split in folds_by_cluster(clusters, num_folds, seed):
            is_test = np.isin(self.rows, split.test)
            if not is_test.any():
                continue
            train = np.concatenate([split.train, split.validation])
            test, num_samples = self.rows[is_test], len(self.samples)
            fold = reference_samples(self.catalogue, train, test, num_samples, seed)
            for name, samples in fold.items():
                empty = np.empty_like(self.samples)
                references.setdefault(name, empty)[:, is_test] = samples
        return references


def match_ground_truth(
    posterior: str | Path, files: TruthFiles | None = None, *, run: Run | None = None
) -> MatchedPosterior:
    """Read a posterior and the histories of its objects, matched on their keys.

    Args:
        posterior: netCDF file in the ArviZ layout.
        files: Tables of the histories; not needed for a file that lies in a run.
        run: Where the histories stand, instead of files or the run that the posterior lies in.

    Returns:
        Rows with all targets and without a missing-value mark, in the order of the catalogue.

    Raises:
        BundleError: If the posterior is no such file, or the run is damaged.
        DataError: If a table or column is missing, no object has a known history, or a sample is
            not finite.
    """
    posterior = Path(posterior)
    if not posterior.is_file():
        hint = "run cinn-clusters crossval or infer first"
        raise BundleError(posterior, "a posterior file", "none", "", hint)
    files = files or TruthFiles()
    if run is None and _is_foreign(posterior, files):
        return _match_foreign(posterior, files)
    index = read_index(posterior, files.schema.keys)
    ignored: tuple[str, ...] = ()
    if run is None:
        catalogue, ignored = _ground_truth(posterior, index, files)
    else:
        catalogue = run.catalogue
    catalogue = catalogue.rows(np.flatnonzero(~is_marked(catalogue)))
    keys = [str(key) for key in index.keys]
    demand_columns(
        catalogue.table,
        keys,
        f"{posterior} is of rows seen from several sides, the table",
    )
    of_table, of_file = _key_index(catalogue.table[keys], index.keys)
    positions = of_file.get_indexer(of_table)
    rows = np.flatnonzero(positions >= 0)
    positions = positions[rows]
    if not len(rows):
        expected, hint = "objects with a known history", "are they one simulation?"
        raise DataError(posterior, expected, "none in common", "", hint)
    samples = read_samples(posterior, catalogue.targets)[:, positions].astype(float)
    _demand_finite(samples, catalogue.rows(rows), posterior)
    log_prob = read_log_prob(posterior)
    if log_prob is not None:
        log_prob = log_prob[0][:, positions], log_prob[1][positions]
    return MatchedPosterior(catalogue, rows, samples, log_prob, ignored)


def _is_foreign(posterior: Path, files: TruthFiles) -> bool:
    """Whether tables or file are not of the layout that the schema declares."""
    if files.targets is None:
        return False
    if zipfile.is_zipfile(posterior) or files.observables is None:
        return True
    keys = files.schema.keys.row_keys
    return keys == KEYS and not set(keys) & set(read_csv(files.targets, text=keys))


def _match_foreign(posterior: Path, files: TruthFiles) -> MatchedPosterior:
    """Match samples of any origin with anyone's tables."""
    assert files.targets is not None
    foreign = read_foreign(posterior)
    truth = match_own_tables(
        posterior, foreign, files.targets, files.observables, files.schema
    )
    is_usable = ~is_marked(truth.catalogue)
    catalogue = truth.catalogue.rows(np.flatnonzero(is_usable))
    times = catalogue.table.filter([files.schema.time or ""])
    catalogue = replace(catalogue, schema=_untimed(files.schema, times))
    numbers = [foreign.targets.index(name) for name in catalogue.targets]
    chosen = foreign.samples[:, truth.positions[is_usable]]
    samples = chosen[:, :, numbers].astype(float)
    _demand_finite(samples, catalogue, posterior)
    rows = np.arange(len(catalogue.table))
    return MatchedPosterior(catalogue, rows, samples, None, truth.ignored, truth.notes)


def _key_index(
    table: pd.DataFrame, of_file: pd.DataFrame
) -> tuple[pd.MultiIndex, pd.MultiIndex]:
    """Keys of a table and of a file, of one type."""
    pairs = [alike(table[key], of_file[key]) for key in of_file]
    arrays = zip(*pairs, strict=True)
    first, second = (pd.MultiIndex.from_arrays(list(columns)) for columns in arrays)
    return first, second


def _ground_truth(
    posterior: Path, index: SampleIndex, files: TruthFiles
) -> tuple[Catalogue, tuple[str, ...]]:
    """The rows of the run or of the tables, and the variables that no table knows."""
    if files.targets is None and files.observables is None:
        paths = RunPaths.around(posterior)
        if paths is not None:
            return open_run(paths.root).catalogue, ()
        expected = "a file in a run, whose tables hold the ground truth"
        hint = "pass --targets and --observables"
        raise DataError(posterior, expected, "none", "", hint)
    if files.targets is None or files.observables is None:
        raise DataError("the ground truth", "--targets", "--observables alone")
    return _read_tables(
        posterior, index.variables, files.targets, files.observables, files.schema
    )


def _read_tables(
    posterior: Path,
    variables: tuple[str, ...],
    targets_file: Path,
    observables_file: Path,
    declared: Schema,
) -> tuple[Catalogue, tuple[str, ...]]:
    """The rows of the tables, and the variables that are neither in them nor declared."""
    keys = declared.keys.names
    targets, observables = (
        read_csv(file, text=keys) for file in (targets_file, observables_file)
    )
    names = [name for name in variables if name in targets or name in declared]
    if not names:
        expected = f"variables that are columns of {targets_file}"
        raise DataError(posterior, expected, ", ".join(variables))
    demand_columns(targets, names, str(targets_file))
    x_columns = [name for name in declared.observables if name in observables]
    catalogue = read_catalogue(
        observables_file,
        targets_file,
        _untimed(declared, observables).choose(x_columns, names),
        drop_incomplete=True,
        allow_atypical=True,
    )
    return catalogue, tuple(name for name in variables if name not in names)


def _untimed(declared: Schema, observables: pd.DataFrame) -> Schema:
    """Lift bound and spread of collision times where the table has no time of observation."""
    if {declared.time, declared.having("redshift")} & set(observables):
        return declared
    columns = []
    for column in declared.columns:
        if column.bijection == "age":
            column = replace(column, bijection="identity", resolution=0.0)
        columns.append(column)
    return replace(declared, columns=tuple(columns))


def _demand_finite(samples: np.ndarray, objects: Catalogue, posterior: Path) -> None:
    if len(samples) < 2:
        raise DataError(posterior, "two samples an object or more", str(len(samples)))
    is_bad = ~np.isfinite(samples).all(axis=(0, 2))
    if is_bad.any():
        bad = objects.table[is_bad]
        row = ", ".join(f"{key} {bad[key].iloc[0]}" for key in schema.KEYS)
        got = f"{int(is_bad.sum())} objects with others"
        raise DataError(posterior, "finite samples", got, f"first at {row}")
