"""What several tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import Recipe, make_flow

SHARED = Path(os.environ.get("CINN_CLUSTERS_SHARED", Path(__file__).parents[1].parent / "shared"))
TINY = (
    "--set model.members=2 --set model.blocks=2 --set model.hidden=8 --set train.epochs=3 "
    "--set train.held_out_groups=2 --set train.checkpoint_every=1"
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


def glow(num_targets: int, num_observables: int, **options: Any) -> Flow:
    """An untrained GLOW flow."""
    return make_flow(Recipe("glow", **options), num_targets, num_observables)
