"""Members trained side by side against one after the other, each kind of flow; and how an epoch spends its time.

    python benchmarks/bench_training.py --members 10

Both train the same networks on the same synthetic rows in one process, in turn, so that the ratio
stands whatever else the machine does. The floor is the time of the matrix products alone: forward
and backward, three times the forward's.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor

from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.nn.stacked import StackedLinear
from cinn_clusters.posterior.fit import make_recipe
from cinn_clusters.settings.config import Config
from cinn_clusters.training.fit import FitOptions, epochs, start

NUM_TARGETS, NUM_OBSERVABLES = 6, 7


def train(flow: Flow, u: Tensor, x: Tensor, num_epochs: int, batch: int) -> float:
    """Seconds an epoch."""
    options = FitOptions(epochs=num_epochs, batch=batch, learning_rate=1e-3, weight_decay=0.1)

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return flow.loss(u[rows], x[rows], generator).mean(-1)

    rows = [torch.arange(len(u))] * flow.num_members
    begin = time.perf_counter()
    for _ in epochs(
        flow,
        batch_loss,
        lambda: torch.zeros(flow.num_members),
        rows,
        options,
        start(flow, flow.num_members, options),
    ):
        pass
    return (time.perf_counter() - begin) / num_epochs


def products_only(flow: Flow, num_rows: int, batch: int) -> float:
    """Seconds of the matrix products of an epoch."""
    layers = [module for module in flow.modules() if isinstance(module, StackedLinear)]
    inputs = [torch.randn(layer.weight.shape[0], batch, layer.weight.shape[1]) for layer in layers]
    begin = time.perf_counter()
    with torch.no_grad():
        for _ in range(num_rows // batch):
            for layer, given in zip(layers, inputs, strict=True):
                for _ in range(3):
                    torch.baddbmm(layer.bias, given, layer.weight)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(args.rows, NUM_TARGETS, generator=generator)
    x = torch.randn(args.rows, NUM_OBSERVABLES, generator=generator)
    preset = replace(make_recipe(Config()), num_members=args.members)
    recipes = {
        "default preset": preset,
        "glow": replace(preset, kind="glow", num_blocks=6, num_hidden=24, mixing="permutation"),
        "spline": replace(preset, kind="spline"),
        "affine autoregressive": replace(preset, element="affine"),
        "mixture": replace(preset, kind="mixture", num_hidden=64),
        "flow-matching": replace(preset, kind="flow-matching", num_hidden=64, num_layers=2),
    }
    print(
        f"| flow, {args.members} members | s an epoch | one by one / side by side | side by side / products alone |"
    )
    print("|---|---|---|---|")
    for name, recipe in recipes.items():
        flow = make_flow(recipe, NUM_TARGETS, NUM_OBSERVABLES)
        train(flow, u, x, 1, args.batch)  # warm
        together = train(flow, u, x, args.epochs, args.batch)
        alone = train(
            make_flow(replace(recipe, num_members=1), NUM_TARGETS, NUM_OBSERVABLES),
            u,
            x,
            args.epochs,
            args.batch,
        )
        floor = products_only(flow, args.rows, args.batch)
        print(
            f"| {name} | {together:.2f} | {args.members * alone / together:.1f} | {together / floor:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
