"""Maps of embedded clusters on disk, from history to file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from cinn_clusters.cosmology import age_at_lookback, lookback_at_redshift
from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination
from cinn_clusters.mock.gas import (
    beta_halo,
    make_plane,
    shock_front,
    sloshing_spiral,
    stripped_tail,
    turbulence,
)
from cinn_clusters.mock.histories import REDSHIFTS
from cinn_clusters.mock.instrument import Telescope, observe
from cinn_clusters.mock.population import draw_cluster
from cinn_clusters.mock.xray import Encounter, _spiral, _View, draw_maps
from cinn_clusters.pipeline.maps.mock_maps import (
    MAP_FORMATS,
    PICTURE_DECADES,
    MockMaps,
    picture,
    write_mock_maps,
)
from cinn_clusters.rng import numpy_stream
from cinn_clusters.storage.map_store import read_store
from cinn_clusters.xray.collect import collect
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.morphology import MORPHOLOGY, morphology
from support import Command

NAME = "snap_099_halo_"


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
    assert set(map(tuple, read_store(store).table[["HaloID", "Snapshot"]].to_numpy())) == keys


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
    np.testing.assert_array_equal(read_store(tmp_path / "again").values, read_store(store).values)


def test_pictures_saturate_at_the_core() -> None:
    logs = np.linspace(-10, 0, 1024).reshape(32, 32)
    shown = picture(logs)
    assert shown.max() == 255
    assert (shown == 255).sum() >= 3
    assert shown[np.abs(logs + PICTURE_DECADES).argmin() // 32, 0] < 10


def test_histories_are_seen() -> None:
    """Over many clusters, recent strong collisions make maps more disturbed."""
    disturbed, calm = [], []
    names = [MORPHOLOGY.index(name) for name in ("log_centroid_shift", "log_p3", "concentration")]
    for cluster in range(40):
        history, _, seen = draw_cluster(cluster, 1)
        rng = numpy_stream(1, "maps", cluster)
        maps = draw_maps(history, seen["GroupGasMass"], rng, size=32, num_projections=1)[0]
        since = age_at_lookback(lookback_at_redshift(REDSHIFTS))[0] - history.age
        is_stirred = ((since > 0) & (since < 1.5) & (history.ratio > 0.1)).any()
        (disturbed if is_stirred else calm).append(
            morphology(10.0 ** maps.astype(float), 1.5)[0, names]
        )
    difference = np.mean(disturbed, 0) - np.mean(calm, 0)
    assert difference[0] > 0.2
    assert difference[1] > 0.2
    assert difference[2] < -0.02


def test_gas_makes_light_and_only_that() -> None:
    history, _, seen = draw_cluster(3, 1)
    plain, rich = (
        draw_maps(history, seen["GroupGasMass"] + more, numpy_stream(1, "maps", 3), size=32)
        for more in (0.0, 0.1)
    )
    np.testing.assert_allclose(rich - plain, 0.2, atol=1e-4)  # light goes with the density squared


def test_sloshing_is_seen_from_above_and_hardly_from_the_side() -> None:
    axis, normal = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    hit = Encounter(3.0, 0.3, axis, axis, axis, normal, 0.3, 2.0)
    plane, shape = make_plane(64, 1.5), (axis, 0.9)
    above, side = (
        _View(plane, number, shape, np.empty((0, 3)), np.empty((0, 5))) for number in (2, 0)
    )
    assert above.facing(normal) == 1.0
    assert side.facing(normal) == 0.0
    contrast = [np.ptp(_spiral(view, hit, 1.0)) for view in (above, side)]
    assert contrast[0] > 2.0 * contrast[1] > 0.0
    below = _spiral(
        above, replace(hit, normal=-normal), 1.0
    )  # the other sense of rotation: mirrored about the infall
    np.testing.assert_allclose(below, _spiral(above, hit, 1.0)[::-1], atol=1e-9)


def test_building_blocks() -> None:
    plane = make_plane(64, 1.5)
    assert plane.x.max() == -plane.x.min() == pytest.approx(1.5 - 1.5 / 64)
    radius = plane.radius(np.zeros(2))
    halo = beta_halo(radius, 0.15)
    assert (np.diff(halo.ravel()[np.argsort(radius.ravel(), kind="stable")]) <= 1e-12).all()
    np.testing.assert_allclose(plane.elliptical(np.zeros(2), np.array([1.0, 0.0]), 1.0), radius)
    shock = shock_front(plane, np.zeros(2), np.array([1.0, 0.0]), 0.8, 1.0)
    assert shock[32, np.abs(plane.x[32] - 0.75).argmin()] > 1.5
    np.testing.assert_array_equal(shock[plane.x < 0], 1.0)
    spiral = sloshing_spiral(plane, 0.0, 0.4, 0.5, 1.0)
    assert np.abs(spiral[radius > 0.9] - 1.0).max() < 1e-6
    assert np.ptp(spiral[radius < 0.3]) > 0.3
    tail = stripped_tail(plane, np.zeros(2), np.array([1.0, 0.0]), 0.4, 0.1)
    assert tail[:, :32].sum() > 2 * tail[:, 32:].sum()
    field = turbulence(64, np.random.default_rng(0))
    assert field.std() == pytest.approx(1.0)
    assert np.abs(np.corrcoef(field[:, :-1].ravel(), field[:, 1:].ravel())[0, 1]) > 0.9


def test_counts_follow_the_exposure() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((64, 64), 1.0)
    telescope = Telescope(exposure=100.0, sources=0.0)
    counts, exposure = observe(flat, rng, telescope)
    used = exposure > 0
    expected = exposure * (10.0 * telescope.rate + telescope.background) * 4.0
    assert counts[used].sum() / expected[used].sum() == pytest.approx(1.0, abs=0.01)
    assert (counts[~used] == 0).all()
    assert (~used).any()
    with_sources, _ = observe(flat - 9.0, np.random.default_rng(1), Telescope(sources=30.0))
    assert with_sources.max() > 20


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 4}, "at least 16 px"),
        ({"num_projections": 4}, "1 to 3"),
        ({"formats": ("gif",)}, "png, jpg, fits"),
    ],
)
def test_what_cannot_be_drawn(options: dict[str, object], told: str, tmp_path: Path) -> None:
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
    command(f"maps {tmp_path / 'none.png'} --out {tmp_path / 'a.h5'}").demand_error("none.png")
    command(f"maps {tmp_path / 'mock/maps/png'} --out {tmp_path / 'read.h5'}").demand_error(
        "read.h5"
    )
    assert command(f"maps {tmp_path} --redshift 0.1 --out {tmp_path / 'a.h5'}").code == 2
    for wrong in (
        f"--background {tmp_path}",
        "--keep-sources",
        "--pixel-kpc 5",
        "--pixel-arcsec 2",
        "--radius 900 --pixel-kpc -1",
        "--redshift 0.1 --radius 900 --pixel-kpc 5 --pixel-arcsec 2",
        "--radius 900 --pixel-arcsec 2",
        "--stretch linear",
        "--planes rgb",
    ):
        assert command(f"maps {tmp_path} {wrong} --out {tmp_path / 'a.h5'}").code == 2, wrong
    assert command(f"maps {tmp_path} --centre here --out {tmp_path / 'a.h5'}").code == 2


def test_stores_of_real_maps_say_how_they_were_made(
    store: Path, tmp_path: Path, command: Command
) -> None:
    shown = next((store / "png").iterdir())
    scaled = f"--radius 300 --pixel-kpc 30 --half-width 1.2 --size 16 --out {tmp_path / 'a.h5'}"
    assert command(f"maps {shown} {scaled}").code == 0
    assert read_store(tmp_path / "a.h5").half_width == 1.2
    image = next((store / "fits").iterdir())
    assert command(f"maps {image} --stretch asinh --size 32 --out {tmp_path / 'b.h5'}").code == 0
    with h5py.File(tmp_path / "b.h5") as file:
        assert file.attrs["stretch"] == "asinh"
        assert file["log_brightness"].attrs["unit"].startswith("asinh")
        assert file["log_brightness"][:].max() == 1.0
    with pytest.raises(
        DataError, match=r"b\.h5: expected log brightness, as encoders see; got the stretch asinh"
    ):
        read_store(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["stretch"] == "log"
    content = image.read_bytes().replace(
        b"SIMPLE  =                    T", b"SIMPLE  = 'T       '          ", 1
    )
    (tmp_path / "odd.fits").write_bytes(content)
    result = command(f"maps {tmp_path / 'odd.fits'} --size 32 --out {tmp_path / 'c.h5'}")
    assert (
        f"note: {tmp_path / 'odd.fits'}: header's SIMPLE is text; read all the same" in result.err
    )


def test_stores_of_several_clusters_become_one(
    store: Path, tmp_path: Path, command: Command
) -> None:
    pictures = sorted((store / "png").iterdir())[:3]
    for number, (shown, radius) in enumerate(zip(pictures, (300, 320, 340), strict=True)):
        made = f"maps {shown} --radius {radius} --pixel-kpc 30 --half-width 1.2 --size 16"
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


def test_stores_that_do_not_go_together(store: Path, tmp_path: Path, command: Command) -> None:
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
        command(f"maps {tmp_path / 'a.h5'} {options} --out {tmp_path / 'all.h5'}").demand_error(
            told
        )
    assert not (tmp_path / "all.h5").exists()
