"""What limits the scores: the noise floor by nearest neighbours, and the learning curve in clusters.

    python benchmarks/limits.py ../shared/data/tng_cluster
    python benchmarks/limits.py --check        # the same floor where it is known

**Floor.** The ideal posterior has an expected energy score of E|theta - theta'|/2 for two histories
drawn given the same x. Rows of different clusters that are near in x stand for such pairs. Near is
judged by what x tells of theta (out-of-fold linear predictions from x, squares and products), so
that distances that do not matter do not count; half the distance between k-th neighbours is
extrapolated to neighbours at no distance. Collision times are compared by the time since the
collision.

**Learning curve.** Inside the training clusters of outer fold 0: the default preset trained on a
share of the clusters of each inner fold, judged on the same rows. a + b / clusters is fitted.
"""

from __future__ import annotations

import argparse
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import torch

from cinn_clusters import read_catalogue, read_config, schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.diagnostics.scores import bootstrap_weights, crps, energy_score
from cinn_clusters.diagnostics.tarp import cluster_folds
from cinn_clusters.evaluation.ground_truth import score_scales
from cinn_clusters.posterior.fit import fit, fit_catalogue_transforms
from search_preset import INNER_FOLDS, INNER_SEED, training_clusters

NEIGHBOURS = (1, 2, 4, 8, 16, 32, 64)
SHARES = (0.25, 0.35, 0.5, 0.7, 1.0)
NUM_DRAWS = 500
RIDGE = 30.0


def expected(x: np.ndarray, theta: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """What squares and products of x (N, L) tell of theta (N, D), fitted on other clusters, (N,
    D).
    """
    pairs = combinations_with_replacement(range(x.shape[1]), 2)
    features = np.concatenate(
        [x, np.stack([x[:, i] * x[:, j] for i, j in pairs], 1)], 1
    )
    told = np.empty_like(theta)
    for rest, here in cluster_folds(clusters):
        mean, spread = features[rest].mean(0), features[rest].std(0)
        known, asked = ((features[rows] - mean) / spread for rows in (rest, here))
        gram = known.T @ known + RIDGE * np.eye(known.shape[1])
        told[here] = theta[rest].mean(0) + asked @ np.linalg.solve(
            gram, known.T @ (theta[rest] - theta[rest].mean(0))
        )
    return told


def floors(
    told: np.ndarray, theta: np.ndarray, clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half the distance of theta between k-th neighbours, jointly and by target, and their
    squared distance: (K, N).
    """
    distance = ((told[:, None] - told[None]) ** 2).sum(-1)
    distance[clusters[:, None] == clusters[None]] = np.inf
    order = np.argsort(distance, axis=1)
    joint, single, apart = [], [], []
    for k in NEIGHBOURS:
        other = order[:, k - 1]
        joint.append(0.5 * np.linalg.norm(theta - theta[other], axis=1))
        single.append(0.5 * np.abs(theta - theta[other]).mean(1))
        apart.append(distance[np.arange(len(theta)), other])
    return np.stack(joint), np.stack(single), np.stack(apart)


def at_no_distance(values: np.ndarray, apart: np.ndarray) -> float:
    """Mean values (K,) over mean squared distances (K,), extrapolated along a straight line to
    zero.
    """
    return float(np.polyfit(apart, values, 1)[1])


def print_floor(told: np.ndarray, theta: np.ndarray, clusters: np.ndarray) -> None:
    joint, single, apart = floors(told, theta, clusters)
    weights = bootstrap_weights(clusters, 200)
    print(
        "| neighbour | "
        + " | ".join(map(str, NEIGHBOURS))
        + " | at no distance |\n|---"
        + "|---" * (len(NEIGHBOURS) + 1)
        + "|"
    )
    for name, values in (("energy score", joint), ("CRPS", single)):
        spread = np.std([at_no_distance(values @ w, apart @ w) for w in weights])
        end = f"{at_no_distance(values.mean(1), apart.mean(1)):.3f} +- {spread:.3f}"
        print(
            f"| {name} | "
            + " | ".join(f"{value:.3f}" for value in values.mean(1))
            + f" | {end} |"
        )


def times_since(catalogue: Catalogue) -> np.ndarray:
    """Scaled targets (N, D), the collision time as time since the collision."""
    theta = catalogue.theta
    d = catalogue.targets.index(schema.COLLISION_TIME)
    theta[:, d] = catalogue.age - theta[:, d]
    return np.asarray(theta / score_scales(catalogue))


def floor(catalogue: Catalogue) -> None:
    everything = Split(*[np.arange(len(catalogue.table))] * 3)
    transforms = fit_catalogue_transforms(catalogue, everything)
    x = transforms.standardise_inputs(catalogue.inputs(transforms.inputs)).numpy()
    theta = times_since(catalogue)
    print_floor(expected(x, theta, catalogue.clusters), theta, catalogue.clusters)


def check() -> None:
    """Floor of theta = A x + noise in as many rows, clusters and dimensions: there it is known."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(272), 6)
    x = rng.normal(size=(len(clusters), 6)) + np.repeat(
        rng.normal(size=(272, 6)), 6, axis=0
    )
    noise = rng.normal(size=(len(clusters), 6)) * 0.6
    theta = x @ rng.normal(size=(6, 6)) / 4 + noise
    pairs = np.linalg.norm(noise[::2] - noise[1::2], axis=1)
    print(f"known: CRPS {0.6 / np.pi**0.5:.3f}, energy score {0.5 * pairs.mean():.3f}")
    print_floor(expected(x, theta, clusters), theta, clusters)


def learning_curve(catalogue: Catalogue) -> None:
    catalogue = training_clusters(catalogue)
    scale, found = score_scales(catalogue), []
    print("| clusters | energy score | CRPS |\n|---|---|---|")
    for share in SHARES:
        samples = np.empty((NUM_DRAWS, *catalogue.theta.shape), np.float32)
        sizes = []
        for k, split in enumerate(
            folds_by_cluster(catalogue.clusters, INNER_FOLDS, INNER_SEED)
        ):
            rest = np.concatenate([split.train, split.validation])
            names = np.random.default_rng([INNER_SEED, k]).permutation(
                np.unique(catalogue.clusters[rest])
            )
            names = names[: round(share * len(names))]
            parts = [
                rows[np.isin(catalogue.clusters[rows], names)]
                for rows in (split.train, split.validation)
            ]
            posterior = fit(catalogue, Split(*parts, split.test), read_config())
            samples[:, split.test] = posterior.sample(
                catalogue.inputs(posterior.inputs)[split.test], NUM_DRAWS
            )
            sizes.append(len(names))
        scaled, truth = samples / scale, catalogue.theta / scale
        found.append(
            (
                np.mean(sizes),
                energy_score(scaled, truth).mean(),
                crps(scaled, truth).mean(),
            )
        )
        print(
            f"| {found[-1][0]:.0f} | {found[-1][1]:.4f} | {found[-1][2]:.4f} |",
            flush=True,
        )
    sizes, energy, single = np.array(found).T
    for name, values in (("energy score", energy), ("CRPS", single)):
        slope, limit = np.polyfit(1 / sizes, values, 1)
        print(
            f"{name}: {limit:.4f} + {slope:.2f} / clusters; at 350 clusters {limit + slope / 350:.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        help="holds observables1.csv and unobservables1.csv",
    )
    parser.add_argument(
        "--check", action="store_true", help="the floor where it is known"
    )
    parser.add_argument("--floor", action="store_true", help="the floor only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.check or args.folder is None:
        return check()
    catalogue = read_catalogue(
        args.folder / "observables1.csv", args.folder / "unobservables1.csv"
    )
    floor(catalogue)
    return None if args.floor else learning_curve(catalogue)


if __name__ == "__main__":
    main()
