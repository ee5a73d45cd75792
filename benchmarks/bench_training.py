"""Members trained side by side against one after the other; kernels against PyTorch; and against matrix products alone.

    python benchmarks/bench_training.py --members 10 --folds 5

All train the same networks on the same synthetic rows in one process, in turn, so that ratios stand
whatever else the machine does; times are those of the CPU. The floor is the time of the matrix
products alone: forward and backward, three times the forward's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from cinn_clusters.data.split import Split
from cinn_clusters.evaluation.mlp_ensemble import (
    EnsembleOptions,
    fit_ensemble,
    make_network,
)
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.nn.stacked import StackedLinear
from cinn_clusters.posterior.fit import compile_splines
from cinn_clusters.settings.config import (
    AutoregressiveConfig,
    Config,
    ModelConfig,
    OptimiserConfig,
)
from cinn_clusters.training.fit import TrainingObjective, epochs, start

NUM_TARGETS, NUM_OBSERVABLES = 6, 11


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """CPU seconds of some work, on average."""
    begin = time.thread_time()
    for _ in range(repeats):
        work()
    return (time.thread_time() - begin) / repeats


def train(flow: Flow, u: Tensor, x: Tensor, num_epochs: int, batch: int) -> float:
    """CPU seconds an epoch."""
    config = OptimiserConfig(epochs=num_epochs, batch=batch)

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return flow.loss(u[rows], x[rows], generator).mean(-1)

    rows = [torch.arange(len(u))] * flow.num_members
    objective = TrainingObjective(
        batch_loss, lambda: torch.zeros(flow.num_members), rows
    )
    state = start(flow, flow.num_members, config)
    return (
        seconds(lambda: list(epochs(flow, objective, config, state, 42))) / num_epochs
    )


def products_only(network: nn.Module, num_rows: int, batch: int) -> float:
    """CPU seconds of the matrix products of an epoch."""
    layers = [
        module for module in network.modules() if isinstance(module, StackedLinear)
    ]
    inputs = [
        torch.randn(layer.weight.shape[0], batch, layer.weight.shape[1])
        for layer in layers
    ]

    def multiply() -> None:
        for layer, features in zip(layers, inputs, strict=True):
            for _ in range(3):
                torch.bmm(features, layer.weight)

    with torch.no_grad():
        return seconds(multiply, num_rows // batch) * (num_rows // batch)


def print_flows(args: argparse.Namespace, num_together: int) -> None:
    """One line a flow: members side by side, and one after the other."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(args.rows, NUM_TARGETS, generator=generator)
    x = torch.randn(args.rows, NUM_OBSERVABLES, generator=generator)
    affine = AutoregressiveConfig(element="affine")
    configs = {
        "default preset, kernels": Config(),
        "default preset, PyTorch": Config(),
        "spline couplings, kernels": Config(model=ModelConfig(flow="spline")),
        "spline couplings, PyTorch": Config(model=ModelConfig(flow="spline")),
        "glow": Config(model=ModelConfig(flow="glow", mixing="permutation")),
        "affine autoregressive": Config(autoregressive=affine),
        "mixture": Config(model=ModelConfig(flow="mixture")),
        "flow matching": Config(model=ModelConfig(flow="flow_matching")),
    }
    sizes = 1, args.members, num_together
    columns = " | ".join(f"{size} members, ms a step" for size in sizes)
    print(f"| flow | {columns} | one by one / side by side | products alone |")
    print("|---|---|---|---|---|---|")
    num_steps = -(-args.rows // args.batch)
    for name, config in configs.items():
        flows = [
            make_flow(config.with_members(size), NUM_TARGETS, NUM_OBSERVABLES)
            for size in sizes
        ]
        if name.endswith("kernels"):
            for flow in flows:
                compile_splines(flow)
        for flow in flows:
            train(flow, u, x, 1, args.batch)  # warm
        times = [train(flow, u, x, args.epochs, args.batch) for flow in flows]
        floor = products_only(flows[-1], args.rows, args.batch)
        steps = " | ".join(f"{1000 * each / num_steps:.2f}" for each in times)
        gain = num_together * times[0] / times[-1]
        print(
            f"| {name} | {steps} | {gain:.1f} | {floor / times[-1]:.0%} |", flush=True
        )


def print_ensembles(args: argparse.Namespace) -> None:
    """The seven MLPs of the baseline together, and one of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(args.rows + 200, 7))
    theta = rng.normal(size=(args.rows + 200, NUM_TARGETS))
    rows = np.arange(len(x))
    split = Split(rows[: args.rows], rows[args.rows : -50], rows[-50:])
    phases = (args.epochs, args.epochs)

    def cost(members: int) -> float:
        options = EnsembleOptions(members=members, epochs=phases)
        return seconds(lambda: fit_ensemble(x, theta, split, options)) / sum(phases)

    cost(1)  # warm
    together, alone = cost(7), cost(1)
    network = make_network(7, NUM_TARGETS, EnsembleOptions())
    floor = products_only(network, args.rows, EnsembleOptions().batch)
    print(f"7 MLPs: {1000 * together:.0f} ms an epoch, one {1000 * alone:.0f} ms:")
    print(f"one by one / side by side {7 * alone / together:.1f};")
    print(f"matrix products alone are {floor / together:.0%} of it")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print_flows(args, args.members * args.folds)
    print_ensembles(args)


if __name__ == "__main__":
    main()
