"""Hold the mock catalogue against the simulation's: medians, spreads, and what a forest can learn.

python benchmarks/mock_against_real.py ../shared/data/tng_cluster
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GroupKFold, cross_val_predict

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue, read_catalogue
from cinn_clusters.data.dequantise import dequantise
from cinn_clusters.data.split import Split
from cinn_clusters.pipeline.simulation.mock import write_mock
from cinn_clusters.posterior.fit import fit_catalogue_transforms


def learnable(catalogue: Catalogue) -> np.ndarray:
    """Return R2 of a forest on each standardised target, split by cluster."""
    rows = np.arange(len(catalogue.table))
    transforms = fit_catalogue_transforms(catalogue, Split(rows, rows, rows))
    inputs = catalogue.inputs(transforms.inputs)
    theta = dequantise(
        catalogue.theta,
        catalogue.target_columns,
        catalogue.age,
        np.random.default_rng(0),
    )
    u = transforms.standardise_targets(theta, transforms.anchors(inputs)).numpy()
    forest = RandomForestRegressor(
        300, min_samples_leaf=8, max_features=0.5, random_state=0, n_jobs=2
    )
    x = transforms.standardise_inputs(inputs).numpy()
    predicted = cross_val_predict(
        forest, x, u, groups=catalogue.clusters, cv=GroupKFold(5)
    )
    return 1.0 - ((u - predicted) ** 2).mean(0) / u.var(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="holds observables1.csv and unobservables1.csv"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        mock = read_catalogue(*write_mock(Path(scratch) / "mock"))
    real = read_catalogue(
        args.folder / "observables1.csv", args.folder / "unobservables1.csv"
    )
    print(
        "| column | median, mock | real | standard deviation, mock | real | R2, mock | real |\n"
        + "|---" * 7
        + "|"
    )
    r2 = [
        dict(zip(catalogue.targets, learnable(catalogue), strict=True))
        for catalogue in (mock, real)
    ]
    for name in (*schema.DEFAULT_OBSERVABLES, *schema.DEFAULT_TARGETS):
        middle = [f"{catalogue.table[name].median():.2f}" for catalogue in (mock, real)]
        spread = [f"{catalogue.table[name].std():.2f}" for catalogue in (mock, real)]
        learnt = [f"{entry[name]:.2f}" if name in entry else "" for entry in r2]
        print(f"| `{name}` | " + " | ".join([*middle, *spread, *learnt]) + " |")


if __name__ == "__main__":
    main()
