"""Mean absolute errors of point estimates: median, mean, MAP, marginal mode, and the MLP ensemble.

    python benchmarks/point_estimates.py ../shared/data/tng_cluster --cache cache
    python benchmarks/point_estimates.py ../shared/data/tng_cluster --crossval run/crossval/posterior.nc

Five folds by cluster (seed 0), the default preset and the published MLP ensemble trained on the same
clusters. Errors are in the units of the catalogue (the time since collision has the error of its
cosmic age). Posterior samples and modes of a fold are kept in the cache; with a file of
``crossval`` (seed 0, five folds), median and mean are those of its samples and nothing is trained
but the ensemble. The last column is the largest excess over the ensemble of all targets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from cinn_clusters import Config, fit, joint_mode, read_catalogue
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.evaluation.mlp_ensemble import EnsembleOptions, fit_ensemble
from cinn_clusters.posterior.summary import marginal_modes
from cinn_clusters.storage.posterior_file import read_samples

NUM_FOLDS, SEED, NUM_SAMPLES = 5, 0, 1000


def predictions(
    catalogue: Catalogue, split: Split, path: Path
) -> dict[str, np.ndarray]:
    """Point estimates (N, D) of the test rows of a fold, from the cache where they are there."""
    if not path.exists():
        posterior = fit(catalogue, split, Config())
        query = posterior.query(catalogue.rows(split.test).table)
        samples = posterior.sample(query, NUM_SAMPLES)
        np.savez(
            path,
            median=np.median(samples, 0),
            mean=samples.mean(0),
            marginal_mode=marginal_modes(posterior, query, samples),
            MAP=joint_mode(posterior, query, samples)[0],
            lower95=np.quantile(samples, 0.025, axis=0),
            upper95=np.quantile(samples, 0.975, axis=0),
        )
    return dict(np.load(path))


def ensemble(catalogue: Catalogue, split: Split, path: Path) -> np.ndarray:
    """Predictions (N, D) of the MLP ensemble on the test rows of a fold."""
    if not path.exists():
        x, theta = catalogue.inputs(catalogue.observables), catalogue.theta
        trained = fit_ensemble(x, theta, split, EnsembleOptions())
        np.save(path, trained.predict(x[split.test]))
    return np.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--crossval", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.cache.mkdir(exist_ok=True)
    catalogue = read_catalogue(
        args.table / "observables1.csv", args.table / "unobservables1.csv"
    )
    estimates: dict[str, np.ndarray] = {}
    if args.crossval is not None:
        samples = read_samples(args.crossval, catalogue.targets)
        estimates = {"median": np.median(samples, 0), "mean": samples.mean(0)}
    for k, split in enumerate(folds_by_cluster(catalogue.clusters, NUM_FOLDS, SEED)):
        parts = {}
        if args.crossval is None:
            parts = predictions(catalogue, split, args.cache / f"points.{k}.npz")
        parts["MLP ensemble"] = ensemble(catalogue, split, args.cache / f"mlp.{k}.npy")
        for name, values in parts.items():
            estimates.setdefault(name, np.empty(catalogue.theta.shape))[split.test] = (
                values
            )
    lower, upper = estimates.pop("lower95", None), estimates.pop("upper95", None)
    errors = {
        name: np.abs(values - catalogue.theta).mean(0)
        for name, values in estimates.items()
    }
    names = " | ".join(catalogue.targets)
    print(
        f"| estimate | {names} | worst excess |\n|---"
        + "|---" * (len(catalogue.targets) + 1)
        + "|"
    )
    for name, error in errors.items():
        excess = (error / errors["MLP ensemble"] - 1.0).max()
        print(
            f"| {name} | "
            + " | ".join(f"{e:.4f}" for e in error)
            + f" | {excess:+.1%} |"
        )
    if lower is not None:
        d = catalogue.targets.index("last_T_coll")
        for name in ("median", "MAP", "marginal_mode"):
            is_inside = (estimates[name] >= lower) & (estimates[name] <= upper)
            shares = ", ".join(f"{share:.3f}" for share in is_inside.mean(0))
            since = catalogue.age - estimates[name][:, d]
            print(
                f"{name}: inside the central 95 % {shares}; time since below 0.05 Gyr "
                f"{(since < 0.05).mean():.3f}"
            )


if __name__ == "__main__":
    main()
