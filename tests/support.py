"""What several tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.settings.config import Config, FlowName, ModelConfig

SHARED = Path(
    os.environ.get("CINN_CLUSTERS_SHARED", Path(__file__).parents[1].parent / "shared")
)
TINY = (
    "--set model.members=2 --set autoregressive.blocks=2 --set autoregressive.hidden=8 --set train.epochs=3 "
    "--set train.held_out_groups=2 --set train.checkpoint_every=1 "
    "--set train.augment=false"
)


class Result(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    def demand_error(self, *parts: str) -> str:
        """Check that exactly one line says what is wrong, and return it."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert self.code == 1, self
        assert "Traceback" not in self.err
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: "), lines
        assert "expected" in lines[0], lines
        for part in parts:
            assert part in lines[0], lines
        return lines[0]


Command = Callable[..., Result]


def flow_config(flow: FlowName, seed: int = 42, **options: Any) -> Config:
    """Settings of one flow whose weights are random, from options of [model] or its section."""
    options = {"members": 1, "mixing": "permutation", "zero_init": False, **options}
    model = {
        name: options.pop(name) for name in ModelConfig.model_fields if name in options
    }
    return Config.model_validate(
        {"seed": seed, "model": {"flow": flow, **model}, flow: options}
    )


def glow(num_targets: int, num_observables: int, **options: Any) -> Flow:
    """An untrained GLOW flow, of the size of the published one but for the options."""
    config = flow_config(
        "glow", **{"blocks": 12, "hidden": 128, "clamp": 2.0, **options}
    )
    return make_flow(config, num_targets, num_observables)
