"""Posteriors with random weights: lumpy, conditional, far from Gaussian, and made in a
millisecond."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.posterior.posterior import Posterior
from support import glow

MakePosterior = Callable[..., Posterior]

TARGET_MAPS = {
    "last_T_coll": TargetMap(
        "last_T_coll", "age", False, 0.0, 13.9, shift=-1.0, scale=1.5
    ),
    "last_V_coll": TargetMap(
        "last_V_coll", "logit", False, 0.0, 5.4768, shift=0.5, scale=0.13
    ),
    "last_M_Crit500_coll": TargetMap(
        "last_M_Crit500_coll", "logit", True, 1e-4, 1e3, shift=0.8, scale=0.2
    ),
    "last_Mass_ratio": TargetMap(
        "last_Mass_ratio", "logit", False, 0.0, 1.0, shift=-1.0, scale=1.0
    ),
    "my_own": TargetMap("my_own", shift=5.0, scale=2.0),
    "another": TargetMap("another", shift=-1.0, scale=0.3),
}
SEEN = (
    ObservableMap(schema.LOOKBACK, shift=4.0, scale=2.5),
    ObservableMap("m", shift=14.0, scale=0.5),
)


def _posterior(
    *targets: str,
    num_members: int = 1,
    distance: float = 0.0,
    seed: int = 0,
    zero_init: bool = True,
) -> Posterior:
    maps = tuple(TARGET_MAPS[name] for name in targets)
    flow = glow(
        len(maps),
        len(SEEN),
        members=num_members,
        blocks=3,
        hidden=16,
        clamp=1.0,
        zero_init=zero_init,
        seed=seed,
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += distance * torch.randn(parameter.shape, generator=generator)
    return Posterior(flow, Transforms(SEEN, maps))


@pytest.fixture(scope="session")
def make_posterior() -> MakePosterior:
    """Posterior of some targets: ``distance`` 0 is the identity in u, 0.3 is far from it."""
    return _posterior


@pytest.fixture(scope="session")
def inputs() -> np.ndarray:
    """Lookback times and masses of seven objects."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(0.0, 9.0, 7), rng.normal(14.0, 0.5, 7)], 1)
