"""A posterior file of anyone beside the histories it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue, read_catalogue
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.data.tables import demand_columns, read_csv
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.pipeline.simulation.evaluate import is_marked, reference_samples
from cinn_clusters.storage.posterior_file import (
    SampleIndex,
    read_index,
    read_log_prob,
    read_samples,
)
from cinn_clusters.storage.run import Run, open_run
from cinn_clusters.storage.run_paths import RunPaths

NUM_FOLDS = 5


@dataclass(frozen=True)
class Judged:
    """Samples of objects with known histories.

    Args:
        catalogue: All rows with a known history; references are drawn from them.
        places: Row of each judged object in the catalogue, (N,).
        samples: (S, N, D).
        log_prob: Log-densities of draws (S, N), NaN where not evaluated, and of truths (N,); None
            if there are none.
        ignored: Variables of the file that no table knows.
    """

    catalogue: Catalogue
    places: np.ndarray
    samples: np.ndarray
    log_prob: tuple[np.ndarray, np.ndarray] | None
    ignored: tuple[str, ...] = ()

    @property
    def rows(self) -> Catalogue:
        """The judged rows."""
        return self.catalogue.rows(self.places)

    def references(self, *, seed: int = 0) -> dict[str, np.ndarray]:
        """Draws of the references for each judged row, from rows of other clusters, each (S, N, D).

        Raises:
            DataError: If there are too few clusters.
        """
        num_folds = min(NUM_FOLDS, len(np.unique(self.catalogue.clusters)))
        drawn: dict[str, np.ndarray] = {}
        for split in folds_by_cluster(self.catalogue.clusters, num_folds, seed):
            here = np.isin(self.places, split.test)
            if not here.any():
                continue
            seen = np.concatenate([split.train, split.validation])
            found = reference_samples(
                self.catalogue, seen, self.places[here], len(self.samples), seed
            )
            for name, draws in found.items():
                drawn.setdefault(name, np.empty(self.samples.shape, np.float32))[:, here] = draws
        return drawn


def read_judged(
    posterior: str | Path,
    targets: str | Path | None = None,
    observables: str | Path | None = None,
    cluster_column: str = schema.CLUSTER_COLUMN,
    *,
    run: Run | None = None,
) -> Judged:
    """Read a posterior and the histories of its objects, matched on HaloID and Snapshot.

    Args:
        posterior: netCDF file in the ArviZ layout.
        targets: CSV of the histories; may be left out for a file that lies in a run.
        observables: CSV of the observables; likewise.
        cluster_column: Column that identifies a cluster in these files.
        run: Where the histories stand, instead of two files or the run that the posterior lies in.

    Returns:
        Rows with all targets and without a missing-value mark, in the order of the catalogue.

    Raises:
        BundleError: If the posterior is no such file, or the run is damaged.
        DataError: If a table or column is missing, no object has a known history, or a sample is
            not finite.
    """
    posterior = Path(posterior)
    if not posterior.is_file():
        raise BundleError(
            str(posterior),
            "a posterior file",
            "none",
            "",
            "run cinn-clusters crossval or infer first",
        )
    layout = read_index(posterior)
    catalogue, ignored = (
        (run.catalogue, ())
        if run
        else _catalogue(posterior, layout, targets, observables, cluster_column)
    )
    catalogue = catalogue.rows(np.flatnonzero(~is_marked(catalogue)))
    keys = [str(key) for key in layout.keys]
    demand_columns(
        catalogue.table, keys, f"{posterior} is of rows seen from several sides, the table"
    )
    index = pd.MultiIndex.from_frame(layout.keys)
    found = index.get_indexer(pd.MultiIndex.from_frame(catalogue.table[keys].astype("int64")))
    places, where = np.flatnonzero(found >= 0), found[found >= 0]
    if not len(places):
        raise DataError(
            str(posterior),
            "objects with a known history",
            "none in common",
            "",
            "are they one simulation?",
        )
    samples = read_samples(posterior, catalogue.targets)[:, where].astype(float)
    _demand_finite(samples, catalogue.rows(places), posterior)
    densities = read_log_prob(posterior)
    if densities is not None:
        densities = densities[0][:, where], densities[1][where]
    return Judged(catalogue, places, samples, densities, ignored)


def _catalogue(
    posterior: Path,
    layout: SampleIndex,
    targets: str | Path | None,
    observables: str | Path | None,
    cluster_column: str,
) -> tuple[Catalogue, tuple[str, ...]]:
    if targets is None and observables is None:
        return open_run(_run_of(posterior)).catalogue, ()
    if targets is None or observables is None:
        missing = "--targets" if targets is None else "--observables"
        raise DataError("the truths", "both --targets and --observables", f"no {missing}")
    known, seen = read_csv(targets), read_csv(observables)
    ignored = tuple(
        name for name in layout.variables if name not in known and name not in schema.DEFAULT
    )
    names = [name for name in layout.variables if name not in ignored]
    if not names:
        raise DataError(
            str(posterior), f"variables that are columns of {targets}", ", ".join(layout.variables)
        )
    demand_columns(known, names, str(targets))
    x_columns = [name for name in schema.DEFAULT_OBSERVABLES if name in seen]
    demand_columns(seen, [schema.LOOKBACK], str(observables))
    catalogue = read_catalogue(
        observables,
        targets,
        schema.DEFAULT.choose(x_columns, names, cluster=cluster_column),
        drop_incomplete=True,
        allow_atypical=True,
    )
    return catalogue, ignored


def _run_of(posterior: Path) -> Path:
    paths = RunPaths.around(posterior)
    if paths is not None:
        return paths.root
    hint = "pass --targets and --observables"
    raise DataError(
        str(posterior), "a file in a run, whose tables hold the truths", "none", "", hint
    )


def _demand_finite(samples: np.ndarray, rows: Catalogue, posterior: Path) -> None:
    if len(samples) < 2:
        raise DataError(str(posterior), "two draws an object or more", str(len(samples)))
    bad = ~np.isfinite(samples).all(axis=(0, 2))
    if bad.any():
        first = rows.table[bad].iloc[0]
        where = "first at " + ", ".join(f"{key} {first[key]}" for key in schema.KEYS)
        raise DataError(
            str(posterior), "finite samples", f"{int(bad.sum())} objects with others", where
        )
