"""Members trained side by side against one after the other, each kind of flow; and how an epoch spends its time.

    python benchmarks/bench_training.py --members 10

Both train the same networks on the same synthetic rows in one process, in turn, so that the ratio
stands whatever else the machine does. The floor is the time of the matrix products alone: forward
and backward, three times the forward's.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.nn.stacked import StackedLinear
from cinn_clusters.settings.config import (
    AutoregressiveConfig,
    Config,
    ModelConfig,
    OptimiserConfig,
)
from cinn_clusters.training.fit import TrainingObjective, epochs, start

NUM_TARGETS, NUM_OBSERVABLES = 6, 7


def train(flow: Flow, u: Tensor, x: Tensor, num_epochs: int, batch: int) -> float:
    """Seconds an epoch."""
    config = OptimiserConfig(epochs=num_epochs, batch=batch)

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return flow.loss(u[rows], x[rows], generator).mean(-1)

    rows = [torch.arange(len(u))] * flow.num_members
    begin = time.perf_counter()
    objective = TrainingObjective(
        batch_loss, lambda: torch.zeros(flow.num_members), rows
    )
    for _ in epochs(flow, objective, config, start(flow, flow.num_members, config), 42):
        pass
    return (time.perf_counter() - begin) / num_epochs


def products_only(flow: Flow, num_rows: int, batch: int) -> float:
    """Seconds of the matrix products of an epoch."""
    layers = [module for module in flow.modules() if isinstance(module, StackedLinear)]
    inputs = [
        torch.randn(layer.weight.shape[0], batch, layer.weight.shape[1])
        for layer in layers
    ]
    begin = time.perf_counter()
    with torch.no_grad():
        for _ in range(num_rows // batch):
            for layer, features in zip(layers, inputs, strict=True):
                for _ in range(3):
                    torch.baddbmm(layer.bias, features, layer.weight)
    return time.perf_counter() - begin


def with_members(config: Config, num_members: int) -> Config:
    """The same settings for another number of members."""
    model = config.model.model_copy(update={"members": num_members})
    return config.model_copy(update={"model": model})


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
    affine = AutoregressiveConfig(element="affine")
    configs = {
        "default preset": Config(),
        "glow": Config(model=ModelConfig(flow="glow", mixing="permutation")),
        "spline": Config(model=ModelConfig(flow="spline")),
        "affine autoregressive": Config(autoregressive=affine),
        "mixture": Config(model=ModelConfig(flow="mixture")),
        "flow matching": Config(model=ModelConfig(flow="flow_matching")),
    }
    print(
        f"| flow, {args.members} members | s an epoch | one by one / side by side | side by side / products alone |"
    )
    print("|---|---|---|---|")
    for name, config in configs.items():
        flow = make_flow(
            with_members(config, args.members), NUM_TARGETS, NUM_OBSERVABLES
        )
        train(flow, u, x, 1, args.batch)  # warm
        together = train(flow, u, x, args.epochs, args.batch)
        single = make_flow(with_members(config, 1), NUM_TARGETS, NUM_OBSERVABLES)
        alone = train(single, u, x, args.epochs, args.batch)
        floor = products_only(flow, args.rows, args.batch)
        print(
            f"| {name} | {together:.2f} | {args.members * alone / together:.1f} | {together / floor:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
