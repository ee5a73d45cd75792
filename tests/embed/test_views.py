"""Views are observations of the same cluster: symmetries are exact, the rest stays in range and
is seeded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cinn_clusters.embed.scaling import as_inputs, normalise, resize
from cinn_clusters.embed.views import make_view, rotate
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.embedding import ViewsConfig

STILL = ViewsConfig(
    rotate=False,
    flip=False,
    zoom=0.0,
    shift=0.0,
    blur=0.0,
    photons_share=0.0,
    gap_share=0.0,
    sources=0.0,
)
CHANGES = {
    "rotate": {"rotate": True},
    "flip": {"flip": True},
    "zoom": {"zoom": 0.2},
    "shift": {"shift": 0.1},
    "blur": {"blur": 2.0, "blur_share": 1.0},
    "photons": {"photons_share": 1.0},
    "gap": {"gap_share": 1.0},
    "sources": {"sources": 3.0},
    "crop": {"crop": 0.5},
}


@pytest.fixture
def maps() -> torch.Tensor:
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij"
    )
    blobs = [torch.exp(-8 * ((x - 0.1 * k) ** 2 + (y + 0.2) ** 2)) for k in range(6)]
    return torch.stack(blobs)[:, None]


def test_without_changes_a_view_is_the_map(maps: torch.Tensor) -> None:
    torch.testing.assert_close(
        make_view(maps, STILL, torch_stream(0, "a")), maps, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_changes_and_is_seeded(maps: torch.Tensor, name: str) -> None:
    config = STILL.model_copy(update=CHANGES[name])
    one, two, other = (
        make_view(maps, config, torch_stream(seed, "a")) for seed in (0, 0, 1)
    )
    torch.testing.assert_close(one, two, atol=0, rtol=0)
    assert (one - other).abs().max() > 1e-3
    assert (one - maps).abs().max() > 1e-3
    assert one.shape == maps.shape
    assert one.min() >= 0.0
    assert one.max() <= 1.0 + 1e-6


def test_the_input_is_left_as_it_is(maps: torch.Tensor) -> None:
    before = maps.clone()
    make_view(
        maps,
        ViewsConfig(sources=5.0, gap_share=1.0, photons_share=1.0),
        torch_stream(0, "a"),
    )
    torch.testing.assert_close(maps, before, atol=0, rtol=0)


def test_quarter_turns_are_exact(maps: torch.Tensor) -> None:
    turned = rotate(maps, torch.full((len(maps),), math.pi / 2))
    exact = [torch.rot90(maps, turns, (2, 3)) for turns in (1, 3)]
    assert min((turned - one).abs().max() for one in exact) < 1e-5


def test_blur_keeps_the_light(maps: torch.Tensor) -> None:
    config = STILL.model_copy(update={"blur": 1.0, "blur_share": 1.0})
    blurred = make_view(maps, config, torch_stream(0, "a"))
    torch.testing.assert_close(
        blurred.sum((1, 2, 3)), maps.sum((1, 2, 3)), rtol=2e-3, atol=0
    )


def test_long_exposures_keep_the_map(maps: torch.Tensor) -> None:
    config = STILL.model_copy(
        update={"photons_share": 1.0, "photons": (1e9, 1e10), "background": 0.0}
    )
    counted = make_view(maps, config, torch_stream(0, "a"))
    torch.testing.assert_close(counted, maps, atol=0.01, rtol=0)


def test_normalised_maps_do_not_know_luminosity() -> None:
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(3, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(normalise(logs + 3.0), normalise(logs), atol=1e-5)
    assert normalise(logs).min() >= 0.0
    assert normalise(logs).max() <= 1.0


def test_holes_take_the_value_of_their_ring() -> None:
    y, x = np.indices((32, 32)) - 15.5
    logs = -np.hypot(x, y)[None] / 10
    holed = logs.copy()
    holed[0, 10:13, 5:9] = np.nan
    np.testing.assert_allclose(normalise(holed), normalise(logs), atol=0.03)


@pytest.mark.parametrize("size", [32, 16, 24])
def test_resizing_keeps_the_mean(maps: torch.Tensor, size: int) -> None:
    small = resize(maps, size)
    assert small.shape == (6, 1, size, size)
    torch.testing.assert_close(
        small.mean((1, 2, 3)), maps.mean((1, 2, 3)), rtol=0.02, atol=0.002
    )
    assert as_inputs(maps[:, 0].numpy(), size).shape == (6, 1, size, size)
