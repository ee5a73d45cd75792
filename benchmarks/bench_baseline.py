"""The MLP ensemble against the published configuration in plain torch.nn, one network after the other.

    python benchmarks/bench_baseline.py ../shared/data/tng_cluster --seeds 3

Both learn the same rows of the original preparation in one process, seed by seed in turn. Printed:
mean absolute error of each target, its spread over seeds, and the ratio of the times.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cinn_clusters import Preparation, TableFiles, prepare
from cinn_clusters.data.split import Split
from cinn_clusters.evaluation.mlp_ensemble import EnsembleOptions, fit_ensemble


def plain_network(
    num_inputs: int, num_outputs: int, hidden: tuple[int, ...]
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((num_inputs, *hidden)):
        layers += [
            nn.Linear(before, after, bias=False),
            nn.BatchNorm1d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], num_outputs))


def descend(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    held: tuple[Tensor, Tensor],
    loss: nn.Module,
    rate: float,
    epochs: int,
    options: EnsembleOptions,
) -> None:
    """Adam until the validation loss has not fallen for the patience; the best state is kept."""
    adam = torch.optim.Adam(network.parameters(), lr=rate)
    best, waited, kept = float("inf"), 0, copy.deepcopy(network.state_dict())
    for _ in range(epochs):
        network.train()
        for rows in torch.randperm(len(x)).split(options.batch):
            if len(rows) < 2:
                continue
            adam.zero_grad()
            loss(network(x[rows]), y[rows]).backward()
            adam.step()
        network.eval()
        with torch.no_grad():
            now = float(loss(network(held[0]), held[1]))
        if now < best:
            best, waited, kept = now, 0, copy.deepcopy(network.state_dict())
        else:
            waited += 1
            if waited >= options.patience:
                break
    network.load_state_dict(kept)


def one_by_one(
    x: np.ndarray,
    theta: np.ndarray,
    split: tuple[np.ndarray, ...],
    options: EnsembleOptions,
) -> np.ndarray:
    """Median prediction (N_test, D) of members trained one after the other."""
    train, validation, test = split
    scale = [(values[train].mean(0), values[train].std(0)) for values in (x, theta)]
    inputs, truth = (
        torch.tensor((v - mean) / spread).float()
        for v, (mean, spread) in zip((x, theta), scale, strict=True)
    )
    held = (inputs[validation], truth[validation])
    found = []
    for member in range(options.members):
        torch.manual_seed(1000 * options.seed + member)
        network = plain_network(x.shape[1], theta.shape[1], options.hidden)
        for loss, rate, epochs in zip(
            (nn.MSELoss(), nn.L1Loss()),
            options.learning_rates,
            options.epochs,
            strict=True,
        ):
            descend(
                network, inputs[train], truth[train], held, loss, rate, epochs, options
            )
        with torch.no_grad():
            found.append(
                network(inputs[test]).double().numpy() * scale[1][1] + scale[1][0]
            )
    return np.median(found, axis=0)


def side_by_side(
    x: np.ndarray,
    theta: np.ndarray,
    split: tuple[np.ndarray, ...],
    options: EnsembleOptions,
) -> np.ndarray:
    return fit_ensemble(x, theta, Split(*split), options).predict(x[split[2]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="holds observables1.csv and unobservables1.csv"
    )
    parser.add_argument(
        "--protocol", default="original", choices=("original", "cluster")
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        tables = (args.folder / "observables1.csv", args.folder / "unobservables1.csv")
        run = prepare(
            TableFiles(*tables),
            Path(scratch) / "run",
            options=Preparation(protocol=args.protocol),
        )
    rows, split = run.catalogue, (run.split.train, run.split.validation, run.split.test)
    x, theta = rows.inputs(rows.observables), rows.theta
    ways = {"ours, side by side": side_by_side, "torch.nn, one by one": one_by_one}
    errors, seconds = {name: [] for name in ways}, dict.fromkeys(ways, 0.0)
    for seed in range(args.seeds):
        options = replace(EnsembleOptions(), batch=args.batch, seed=seed)
        for name, way in ways.items():
            begin = time.perf_counter()
            errors[name].append(
                np.abs(way(x, theta, split, options) - theta[split[2]]).mean(0)
            )
            seconds[name] += time.perf_counter() - begin
    print(
        f"{args.protocol} protocol, {len(split[0])} training and {len(split[2])} test rows, batch {args.batch}\n"
    )
    print(
        "| MAE | "
        + " | ".join(rows.targets)
        + " |\n|---"
        + "|---" * len(rows.targets)
        + "|"
    )
    for name, found in errors.items():
        values = np.array(found)
        cells = [
            f"{m:.3f} +- {s:.3f}"
            for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    ours, theirs = seconds.values()
    print(f"\none by one / side by side: {theirs / ours:.2f} times as long")


if __name__ == "__main__":
    main()
