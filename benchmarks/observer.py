"""One model for any subset and any errors, beside models trained for exactly one subset; noise; coverage.

    python benchmarks/observer.py ../shared/data/tng_cluster --folds 0 1 2 3 4 --cache cache

Folds by cluster as in docs/peers.md. ``own`` models are the default preset trained on exactly the
subset; ``any`` is the one model of configs/default.toml that is told which values are missing and
what their errors are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cinn_clusters import read_catalogue, read_config, schema
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    bootstrap_weights,
    central_coverage,
    crps,
)
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth, score_scales
from cinn_clusters.posterior.fit import fit
from cinn_clusters.posterior.monte_carlo import MonteCarlo

NUM_DRAWS = 500
GAS, STARS, HOLE, HALO = (
    "GroupGasMass",
    "bcg_StellarMass",
    "bcg_SubhaloBHMass",
    "bcg_SubhaloMass",
)
SUBSETS = {
    "z": (),
    "M500": (schema.MASS,),
    "M500, gas": (schema.MASS, GAS),
    "M500, stars": (schema.MASS, STARS),
    "M500, gas, stars": (schema.MASS, GAS, STARS),
    "gas": (GAS,),
    "all six": (HOLE, HALO, STARS, schema.MASS, GAS),
}
ERRORS = {"0.1 dex": 0.1, "0.3 dex": 0.3, "1 dex": 1.0}


def inputs_of(
    transforms: MeasurementTransforms,
    values: np.ndarray,
    kept: tuple[str, ...],
    errors: float,
) -> np.ndarray:
    """Inputs with some values only, noise added."""
    rng = np.random.default_rng(1)
    result = values.copy()
    for column, name in enumerate(transforms.optional):
        place = transforms.names.index(name)
        noise = errors * rng.standard_normal(len(values))
        moved = (
            result[:, place] * 10.0**noise
            if transforms.observables[place].is_log
            else result[:, place] + noise
        )
        result[:, place] = moved if name in kept else np.nan
        result[:, len(transforms.names) + column] = errors
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--config", type=Path, default=Path("configs/default.toml"))
    parser.add_argument("--skip-own", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.cache.mkdir(exist_ok=True)
    files = args.table / "observables1.csv", args.table / "unobservables1.csv"
    catalogue = read_catalogue(*files)
    scale = score_scales(catalogue)
    for k, split in enumerate(folds_by_cluster(catalogue.clusters, 5, 0)):
        if k not in args.folds:
            continue
        truth = dequantised_ground_truth(catalogue, split.test)
        found: dict[str, np.ndarray] = {"cluster": catalogue.clusters[split.test]}

        def judge(
            name: str,
            samples: np.ndarray,
            truth: np.ndarray = truth,
            found: dict = found,
            test=split.test,
        ) -> None:
            found[f"{name}|crps"] = crps(
                samples / scale, catalogue.theta[test] / scale
            ).mean(1)
            found[f"{name}|width"] = (samples.std(0) / scale).mean(1)
            for level, inside in zip(
                COVERAGE_LEVELS, central_coverage(samples, truth).mean(-1), strict=True
            ):
                if round(level, 2) in (0.5, 0.7, 0.9):
                    found[f"{name}|{level:.2f}"] = np.broadcast_to(
                        inside.mean(), len(truth)
                    )

        if not (args.cache / f"any.{k}.csv").exists():
            posterior = fit(catalogue, split, read_config(args.config, args.set))
            values = catalogue.inputs(posterior.inputs)[split.test]
            for name, kept in SUBSETS.items():
                judge(
                    f"any|{name}",
                    posterior.sample(
                        inputs_of(posterior.transforms, values, kept, 0.0), NUM_DRAWS
                    ),
                )
            for name, errors in ERRORS.items():
                given = inputs_of(
                    posterior.transforms, values, SUBSETS["all six"], errors
                )
                judge(f"network|{name}", posterior.sample(given, NUM_DRAWS))
                parts = posterior.flow, posterior.transforms, posterior.device
                judge(
                    f"Monte Carlo|{name}", MonteCarlo(*parts).sample(given, NUM_DRAWS)
                )
            pd.DataFrame(found).to_csv(args.cache / f"any.{k}.csv", index=False)
        found.clear()
        found["cluster"] = catalogue.clusters[split.test]
        if not args.skip_own and not (args.cache / f"own.{k}.csv").exists():
            for name, kept in SUBSETS.items():
                names = (*kept, schema.LOOKBACK)
                own = read_catalogue(*files, schema.DEFAULT.choose(names))
                posterior = fit(own, split, read_config("configs/exact.toml"))
                judge(
                    f"own|{name}",
                    posterior.sample(
                        own.inputs(posterior.inputs)[split.test], NUM_DRAWS
                    ),
                )
            pd.DataFrame(found).to_csv(args.cache / f"own.{k}.csv", index=False)
        print("fold", k, flush=True)
    table(args.cache)


def table(cache: Path) -> None:
    parts = {
        kind: pd.concat([pd.read_csv(p) for p in sorted(cache.glob(f"{kind}.*.csv"))])
        for kind in ("any", "own")
        if list(cache.glob(f"{kind}.*.csv"))
    }
    if "own" in parts and len(parts["own"]) == len(parts["any"]):
        weights = bootstrap_weights(parts["any"].cluster.to_numpy(), 2000)
    print(
        "| given | CRPS, own model | CRPS, one model | change | width, one model | coverage of 50, 70, 90 % |"
    )
    print("|---|---|---|---|---|---|")
    for column in [name for name in parts["any"] if name.endswith("|crps")]:
        kind, name, _ = column.split("|")
        ours = parts["any"][column]
        told = ""
        if kind == "any" and "own" in parts and len(parts["own"]) == len(parts["any"]):
            theirs = parts["own"][f"own|{name}|crps"]
            change = (weights @ ours.to_numpy()) / (weights @ theirs.to_numpy()) - 1.0
            low, high = 100 * np.quantile(change, [0.025, 0.975])
            percent = 100 * (ours.mean() / theirs.mean() - 1)
            told = f"{theirs.mean():.4f} | {ours.mean():.4f} | {percent:+.1f} % [{low:+.1f}, {high:+.1f}]"
        else:
            told = f" | {ours.mean():.4f} | "
        width = parts["any"][f"{kind}|{name}|width"].mean()
        covered = ", ".join(
            f"{parts['any'][f'{kind}|{name}|{level}'].mean():.3f}"
            for level in ("0.50", "0.70", "0.90")
        )
        print(
            f"| {name if kind == 'any' else f'{name}, {kind}'} | {told} | {width:.3f} | {covered} |"
        )


if __name__ == "__main__":
    main()
