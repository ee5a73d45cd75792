"""Maps of mock clusters on disk, from history to file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.maps.mock_maps import (
    MAP_FORMATS,
    PICTURE_DECADES,
    MockMaps,
    picture,
    write_mock_maps,
)
from cinn_clusters.storage.map_store import read_store
from cinn_clusters.xray.collect import collect
from cinn_clusters.xray.framing import Framing
from support import Command


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of three clusters in every format."""
    out = tmp_path_factory.mktemp("maps") / "maps"
    options = MockMaps(3, size=32, num_projections=2, formats=MAP_FORMATS, processes=1)
    write_mock_maps(Destination(out), options)
    return out


def test_the_store_holds_a_map_for_every_projection(store: Path) -> None:
    maps = read_store(store)
    assert maps.values.shape == (3 * 8 * 2, 32, 32)
    assert np.isfinite(maps.values).all()
    assert len(maps.table.drop_duplicates(["HaloID", "Snapshot", "Projection"])) == 48
    assert set(maps.table.Projection) == {0, 1}
    assert maps.half_width == 1.5


def test_maps_belong_to_the_catalogue_of_the_same_seed(store: Path) -> None:
    from cinn_clusters.mock.population import mock_catalogue

    observables, _ = mock_catalogue(3, 1)
    keys = set(map(tuple, observables[["HaloID", "Snapshot"]].to_numpy()))
    assert (
        set(map(tuple, read_store(store).table[["HaloID", "Snapshot"]].to_numpy()))
        == keys
    )


def test_files_show_what_the_store_holds(store: Path) -> None:
    maps = read_store(store)
    name = maps.table.filename[5]
    shown = np.asarray(Image.open(store / "png" / f"{name}.png"))[::-1]
    assert (
        np.abs(shown.astype(int) - picture(maps.values[5])).max() <= 2
    )  # the store keeps half precision
    assert np.asarray(Image.open(store / "jpg" / f"{name}.jpg")).shape == (32, 32)
    with fits.open(store / "fits" / f"{name}.fits") as planes:
        np.testing.assert_allclose(planes[0].data, maps.values[5], atol=3e-3)
        assert [plane.name for plane in planes[1:]] == ["COUNTS", "EXPOSURE"]
        rate = (planes["COUNTS"].data + 0.5) / planes["EXPOSURE"].data.clip(1e-9)
    seen = read_store(store, "observed").values[5]
    np.testing.assert_allclose(
        seen[np.isfinite(seen)], np.log10(rate)[np.isfinite(seen)], atol=2e-3
    )
    assert np.isnan(seen).any()


def test_own_fits_files_are_read_back(store: Path) -> None:
    maps = read_store(store)
    found = collect([store / "fits"], Framing(size=32, centre="middle"))
    stored = dict(zip(maps.table.filename, maps.values, strict=True))
    assert set(found.names) == set(stored)
    for name, values in zip(found.names, found.values, strict=True):
        top = stored[name].max()
        np.testing.assert_allclose(
            values, np.maximum(stored[name], top - 5.0), atol=5e-3
        )  # half precision


def test_processes_do_not_change_maps(store: Path, tmp_path: Path) -> None:
    options = MockMaps(3, size=32, num_projections=2, processes=2)
    write_mock_maps(Destination(tmp_path / "again"), options)
    np.testing.assert_array_equal(
        read_store(tmp_path / "again").values, read_store(store).values
    )


def test_pictures_saturate_at_the_core() -> None:
    logs = np.linspace(-10, 0, 1024).reshape(32, 32)
    shown = picture(logs)
    assert shown.max() == 255
    assert (shown == 255).sum() >= 3
    assert shown[np.abs(logs + PICTURE_DECADES).argmin() // 32, 0] < 10


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 4}, "at least 16 px"),
        ({"num_projections": 4}, "1 to 3"),
        ({"formats": ("gif",)}, "png, jpg, fits"),
    ],
)
def test_what_cannot_be_drawn(
    options: dict[str, object], told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told):
        write_mock_maps(Destination(tmp_path / "maps"), MockMaps(1, **options))  # type: ignore[arg-type]
    assert not (tmp_path / "maps").exists()


def test_what_is_no_store(store: Path, tmp_path: Path) -> None:
    (tmp_path / "maps.h5").write_text("nonsense")
    for path in (tmp_path / "maps.h5", tmp_path / "none.h5"):
        with pytest.raises(DataError, match="a store of maps"):
            read_store(path)
    with pytest.raises(DataError, match="ideal or observed"):
        read_store(store, "blurred")


def test_commands(tmp_path: Path, command: Command) -> None:
    line = f"mock --clusters 2 --maps --size 32 --projections 1 --formats png --processes 1 --out {tmp_path / 'mock'}"
    result = command(line)
    assert result.code == 0, result.err
    assert (tmp_path / "mock/maps/maps.h5").is_file()
    assert len(list((tmp_path / "mock/maps/png").iterdir())) == 16
    (tmp_path / "mock/maps/png/broken.png").write_text("no picture")
    result = command(
        f"maps {tmp_path / 'mock/maps/png'} --centre middle --size 32 --out {tmp_path / 'read.h5'} --json"
    )
    assert result.code == 0, result.err
    assert '"maps": 16' in result.out
    assert "left out" in result.err
    assert "broken.png" in result.err
    maps = read_store(tmp_path / "read.h5")
    assert maps.table.filename.str.startswith("snap_").all()
    command(f"maps {tmp_path / 'none.png'} --out {tmp_path / 'a.h5'}").demand_error(
        "none.png"
    )
    command(
        f"maps {tmp_path / 'mock/maps/png'} --out {tmp_path / 'read.h5'}"
    ).demand_error("read.h5")
    assert (
        command(f"maps {tmp_path} --redshift 0.1 --out {tmp_path / 'a.h5'}").code == 2
    )
    for wrong in (
        f"--background {tmp_path}",
        "--keep-sources",
        "--pixel-arcsec 2",
        "--radius 900 --pixel-kpc -1",
        "--redshift 0.1 --radius 900 --pixel-kpc 5 --pixel-arcsec 2",
        "--radius 900 --pixel-arcsec 2",
        "--stretch linear",
        "--planes rgb",
    ):
        assert (
            command(f"maps {tmp_path} {wrong} --out {tmp_path / 'a.h5'}").code == 2
        ), wrong
    assert command(f"maps {tmp_path} --centre here --out {tmp_path / 'a.h5'}").code == 2
