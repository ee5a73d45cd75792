"""Pictures: grey and known colour maps are inverted, other colours are refused."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from cinn_clusters.errors import DataError
from cinn_clusters.xray.pictures.colours import COLOUR_MAPS, colour_map, grey_levels
from cinn_clusters.xray.read import read_maps
from xray_files import blob

UNKNOWN = ["rainbow", "hsv", "coolwarm", "Spectral", "Reds", "YlOrRd_r", "twilight"]
SHAPES = {
    "blob": blob(64, (32.0, 32.0), 8.0),
    "log": np.clip(1.0 + np.log10(blob(64, (30.0, 32.0)) + 1e-6) / 5, 0, 1),
}


def painted(name: str, shape: str) -> np.ndarray:
    levels = SHAPES[shape]
    if name.startswith("ds9"):
        colours = colour_map(name)[np.rint(255 * levels).astype(int)]
    else:
        colours = matplotlib.colormaps["gray" if name == "grey" else name](levels)
    return np.asarray((colours[..., :3] * 255).round().astype(np.uint8))


@pytest.mark.parametrize(
    "name", [name for name in COLOUR_MAPS if not name.startswith("ds9")]
)
def test_colour_maps_are_those_of_matplotlib(name: str) -> None:
    original = matplotlib.colormaps["gray" if name == "grey" else name](
        np.linspace(0, 1, 256)
    )[:, :3]
    np.testing.assert_allclose(colour_map(name), original, atol=0.03)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_colour_maps_are_inverted(
    tmp_path: Path, name: str, shape: str, suffix: str
) -> None:
    Image.fromarray(painted(name, shape)).save(tmp_path / f"one.{suffix}")
    (image,) = read_maps(tmp_path / f"one.{suffix}")
    error = np.abs(image.values[::-1] - SHAPES[shape])
    assert error.mean() < (0.004 if suffix == "png" else 0.03)
    if suffix == "png":
        assert error.max() < 0.02
    assert not image.notes


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNKNOWN)
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
