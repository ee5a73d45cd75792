"""Stores of real maps: how they were made, and several in one."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.maps.mock_maps import MAP_FORMATS, MockMaps, write_mock_maps
from cinn_clusters.storage.map_store import read_store
from support import Command


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of three clusters in every format."""
    out = tmp_path_factory.mktemp("maps") / "maps"
    options = MockMaps(3, size=32, num_projections=2, formats=MAP_FORMATS, processes=1)
    write_mock_maps(Destination(out), options)
    return out


def test_stores_of_real_maps_say_how_they_were_made(
    store: Path, tmp_path: Path, command: Command
) -> None:
    shown = next((store / "png").iterdir())
    scaled = f"--radius 300 --pixel-kpc 30 --half-width 1.2 --size 16 --out {tmp_path / 'a.h5'}"
    assert command(f"maps {shown} {scaled}").code == 0
    assert read_store(tmp_path / "a.h5").half_width == 1.2
    image = next((store / "fits").iterdir())
    assert (
        command(
            f"maps {image} --stretch asinh --size 32 --out {tmp_path / 'b.h5'}"
        ).code
        == 0
    )
    with h5py.File(tmp_path / "b.h5") as file:
        assert file.attrs["stretch"] == "asinh"
        assert file["log_brightness"].attrs["unit"].startswith("asinh")
        assert file["log_brightness"][:].max() == 1.0
    with pytest.raises(
        DataError,
        match=r"b\.h5: expected log brightness, as encoders see; got the stretch asinh",
    ):
        read_store(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["stretch"] == "log"
    content = image.read_bytes().replace(
        b"SIMPLE  =                    T", b"SIMPLE  = 'T       '          ", 1
    )
    (tmp_path / "odd.fits").write_bytes(content)
    result = command(
        f"maps {tmp_path / 'odd.fits'} --size 32 --out {tmp_path / 'c.h5'}"
    )
    assert (
        f"note: {tmp_path / 'odd.fits'}: header's SIMPLE is text; read all the same"
        in result.err
    )


def test_stores_of_several_clusters_become_one(
    store: Path, tmp_path: Path, command: Command
) -> None:
    pictures = sorted((store / "png").iterdir())[:3]
    for number, (shown, radius) in enumerate(
        zip(pictures, (300, 320, 340), strict=True)
    ):
        made = (
            f"maps {shown} --radius {radius} --pixel-kpc 30 --half-width 1.2 --size 16"
        )
        assert command(f"{made} --out {tmp_path / f'{number}.h5'}").code == 0
    all_three = " ".join(str(tmp_path / f"{number}.h5") for number in range(3))
    result = command(f"maps {all_three} --out {tmp_path / 'all.h5'} --json")
    assert result.code == 0, result.err
    assert '"maps": 3' in result.out
    merged = read_store(tmp_path / "all.h5")
    assert list(merged.table.filename) == [shown.stem for shown in pictures]
    assert merged.half_width == 1.2
    for number in range(3):
        np.testing.assert_array_equal(
            merged.values[number], read_store(tmp_path / f"{number}.h5").values[0]
        )


def test_stores_that_do_not_go_together(
    store: Path, tmp_path: Path, command: Command
) -> None:
    first, second = sorted((store / "png").iterdir())[:2]
    for name, line in {
        "a": f"{first} --size 16",
        "same": f"{first} --size 16",
        "large": f"{second} --size 32",
        "cut": f"{second} --size 16 --radius 300 --pixel-kpc 30",
    }.items():
        assert command(f"maps {line} --out {tmp_path / name}.h5").code == 0
    for others, told in {
        "same.h5": "a name of its own",
        "large.h5": "maps of 16 px",
        "cut.h5": "half_width_r500 of 0.0",
        f"{first}": "since others are",
        f"{store / 'maps.h5'}": "a store of cinn-clusters maps; got one of",
    }.items():
        command(
            f"maps {tmp_path / 'a.h5'} {tmp_path / others} --out {tmp_path / 'all.h5'}"
        ).demand_error(told)
    for options in (
        "--size 64",
        "--stretch asinh",
        f"--mask {first}",
        "--redshift 0.1 --radius 900",
    ):
        told = "stores alone, put together as they are"
        command(
            f"maps {tmp_path / 'a.h5'} {options} --out {tmp_path / 'all.h5'}"
        ).demand_error(told)
    assert not (tmp_path / "all.h5").exists()
