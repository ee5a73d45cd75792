"""Pictures: grey and rising colour maps are read, other colours are refused."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from cinn_clusters.errors import DataError
from cinn_clusters.xray.pictures import COLOUR_MAPS, LUMINANCE, colour_map, grey_levels
from cinn_clusters.xray.read import read_maps
from xray_files import blob

RISING = [name for name in COLOUR_MAPS if name != "grey"]
FALLING = [
    "jet",
    "rainbow",
    "hsv",
    "turbo",
    "coolwarm",
    "Spectral",
    "Reds",
    "YlOrRd_r",
    "CMRmap",
    "twilight",
]
SHAPES = {
    "blob": blob(64, (32.0, 32.0), 8.0),
    "log": np.clip(1.0 + np.log10(blob(64, (30.0, 32.0)) + 1e-6) / 5, 0, 1),
}


def painted(name: str, shape: str) -> np.ndarray:
    colours = matplotlib.colormaps["gray" if name == "grey" else name](SHAPES[shape])[
        ..., :3
    ]
    return np.asarray((colours * 255).round().astype(np.uint8))


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_colour_maps_rise_in_luminance(name: str) -> None:
    assert (np.diff(colour_map(name) @ LUMINANCE) > 0).all()
    original = matplotlib.colormaps["gray" if name == "grey" else name](
        np.linspace(0, 1, 256)
    )[:, :3]
    np.testing.assert_allclose(colour_map(name), original, atol=0.05)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_rising_colour_maps_are_read_by_luminance(
    tmp_path: Path, name: str, shape: str, suffix: str
) -> None:
    colours = painted(name, shape)
    Image.fromarray(colours).save(tmp_path / f"one.{suffix}")
    (found,) = read_maps(tmp_path / f"one.{suffix}")
    if suffix == "png":
        np.testing.assert_allclose(found.values[::-1], colours @ LUMINANCE / 255.0)
    rank = np.corrcoef(found.values[::-1].ravel(), SHAPES[shape].ravel())[0, 1]
    assert rank > 0.97


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FALLING)
def test_other_colours_are_refused(
    tmp_path: Path, name: str, shape: str, suffix: str
) -> None:
    path = tmp_path / f"one.{suffix}"
    Image.fromarray(painted(name, shape)).save(path)
    with pytest.raises(
        DataError, match=r"one\..*: expected a grey picture.*; got other colours"
    ) as told:
        read_maps(path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize("size", [16, 64, 200])
def test_a_photograph_is_refused(size: int) -> None:
    with pytest.raises(DataError, match="other colours"):
        grey_levels(np.random.default_rng(0).random((size, size, 3)))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_washed_out_photograph_is_refused(tmp_path: Path, suffix: str) -> None:
    colours = (
        np.random.default_rng(0).random((8, 8, 3)).repeat(16, axis=0).repeat(16, axis=1)
    )
    Image.fromarray((255 * (0.4 + 0.2 * colours)).astype(np.uint8)).save(
        tmp_path / f"one.{suffix}"
    )
    with pytest.raises(DataError, match="other colours"):
        read_maps(tmp_path / f"one.{suffix}")
