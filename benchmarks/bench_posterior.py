"""Draws and densities a second of a default-sized posterior, beside the floor of its matrix products.

    python benchmarks/bench_posterior.py --objects 200 --draws 1000

The floor is what the multiply-adds of the flow would take at the machine's measured matrix-product
speed on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from cinn_clusters import Config, Posterior
from cinn_clusters.data.transforms import fit_transforms
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior import posterior as implementation
from cinn_clusters.posterior.mode import joint_mode
from cinn_clusters.schema import DEFAULT_OBSERVABLES

TARGETS = tuple(f"target{d}" for d in range(6))


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the fastest of some runs."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def multiply_adds(posterior: Posterior) -> int:
    """Count multiply-adds of one member for one point."""
    weights = [
        value
        for name, value in posterior.flow.named_parameters()
        if name.endswith("weight")
    ]
    return sum(value[0].numel() for value in weights)


def matrix_speed() -> float:
    """Measure multiply-adds a second of a large float32 product."""
    a = torch.randn(1024, 1024)
    return 1024**3 / seconds(lambda: a @ a)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=args.objects) for name in DEFAULT_OBSERVABLES}
    columns["bcg_SubhaloBHMass"] = np.exp(columns["bcg_SubhaloBHMass"])
    theta = rng.normal(size=(args.objects, len(TARGETS)))
    transforms = fit_transforms(columns, theta, DEFAULT_OBSERVABLES, TARGETS)
    posterior = Posterior(make_flow(Config(), 6, 7).requires_grad_(False), transforms)
    inputs = np.stack([columns[name] for name in transforms.inputs], 1)
    num = args.objects * args.draws
    floor = matrix_speed() / multiply_adds(posterior)
    print(f"{'floor of the matrix products':<40}{floor:>14,.0f} draws/s")
    for points in (200_000, 32_000, 5_000):
        implementation.POINTS_A_BATCH = points
        rate = num / seconds(lambda: posterior.sample(inputs, args.draws), 3)
        print(
            f"{f'sample, {points:,} points a batch':<40}{rate:>14,.0f} draws/s   {rate / floor:.2f} of the floor"
        )
    samples = posterior.sample(inputs, args.draws)
    rate = args.objects / seconds(lambda: posterior.log_prob(theta, inputs), 3)
    print(f"{'log_prob, all members':<40}{rate:>14,.0f} points/s")
    rate = args.objects / seconds(lambda: joint_mode(posterior, inputs, samples), 1)
    print(f"{'joint mode':<40}{rate:>14,.0f} objects/s")


if __name__ == "__main__":
    main()
