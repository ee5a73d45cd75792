"""Public reports on images of the sky: coordinates, companions, extensions, hot pixels, size."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from cinn_clusters.errors import DataError
from cinn_clusters.storage.map_store import read_stored
from cinn_clusters.xray.collect import Collection, Reading, collect
from cinn_clusters.xray.frame import find_centre, frame
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.rate import point_sources
from cinn_clusters.xray.read import read_maps
from support import Command, Result

CLUSTER = SkyCoord(150.0, 2.0, unit="deg")
CORE = 24.0
"""Width of the cluster [arcsec]."""
SIZE = 64
FRAMING = Framing(
    size=SIZE, centre=(150.0, 2.0), radius_kpc=300.0, redshift=0.2, half_width=1.0
)


def plain_header(at: SkyCoord = CLUSTER, size: int = 96) -> fits.Header:
    """Coordinates with north up and east left, pixels of 3.6 arcsec."""
    return fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": at.ra.deg,
            "CRVAL2": at.dec.deg,
            "CRPIX1": size / 2 + 0.5,
            "CRPIX2": size / 2 + 0.5,
            "CDELT1": -1e-3,
            "CDELT2": 1e-3,
        }
    )


def cluster_on(
    header: fits.Header, at: SkyCoord = CLUSTER, size: int = 96
) -> np.ndarray:
    """A round cluster and a fainter companion 60 arcsec to its north east, where they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old forms
        wcs = WCS(header).celestial
    wcs.wcs.bounds_check(False, False)
    y, x = np.indices((size, size))
    sky = wcs.pixel_to_world(x, y).transform_to("icrs")
    north_east = at.directional_offset_by(30.0 * units.deg, 80.0 * units.arcsec)
    main, companion = (sky.separation(one).arcsec for one in (at, north_east))
    light = np.exp(-0.5 * (main / CORE) ** 2)
    light += 0.5 * np.exp(-0.5 * (companion / 15.0) ** 2)
    return light + 1e-4


def written(
    path: Path, header: fits.Header, at: SkyCoord = CLUSTER, size: int = 96
) -> Path:
    fits.PrimaryHDU(cluster_on(header, at, size), header).writeto(path)
    return path


@pytest.fixture
def expected(tmp_path: Path) -> np.ndarray:
    """The cluster in its frame, of a plain file."""
    return collect([written(tmp_path / "plain.fits", plain_header())], FRAMING).values[
        0
    ]


def demand_alike(
    values: np.ndarray, expected: np.ndarray, within: float = 0.06
) -> None:
    """The same pixels, where the cluster stands above the floor."""
    is_bright = expected > expected.max() - 2.0
    assert np.abs(values - expected)[is_bright].max() < within


def test_case_105b_north_down(tmp_path: Path, expected: np.ndarray) -> None:
    header = plain_header()
    header["CDELT2"] = -1e-3
    found = collect([written(tmp_path / "a.fits", header)], FRAMING)
    demand_alike(found.values[0], expected)
    assert "turned, so that north is up and east left" in found.notes[0]


TURNED = {
    "east right": {"CDELT1": 1e-3},
    "half a turn": {"CDELT1": 1e-3, "CDELT2": -1e-3},
    "CROTA2": {"CROTA2": 30.0},
    "PC": {"PC1_1": 0.6, "PC1_2": -0.8, "PC2_1": 0.8, "PC2_2": 0.6},
    "PC without CDELT": {"CDELT1": None, "CDELT2": None, "PC1_1": -1e-3, "PC2_2": 1e-3},
    "old PC": {"PC001001": 0.6, "PC001002": -0.8, "PC002001": 0.8, "PC002002": 0.6},
    "CD": {"CD1_1": -0.6e-3, "CD1_2": 0.8e-3, "CD2_1": 0.8e-3, "CD2_2": 0.6e-3},
    "CD of a quarter turn": {
        "CDELT1": None,
        "CDELT2": None,
        "CD1_2": 1e-3,
        "CD2_1": 1e-3,
    },
    "arcsec": {
        "CUNIT1": "arcsec",
        "CUNIT2": "arcsec",
        "CDELT1": -3.6,
        "CDELT2": 3.6,
        "CRVAL1": 540000.0,
        "CRVAL2": 7200.0,
    },
    "arcmin": {
        "CUNIT1": "arcmin",
        "CUNIT2": "arcmin",
        "CDELT1": -0.06,
        "CDELT2": 0.06,
        "CRVAL1": 9000.0,
        "CRVAL2": 120.0,
    },
    "rad": {
        "CUNIT1": "rad",
        "CUNIT2": "rad",
        "CDELT1": -np.deg2rad(1e-3),
        "CDELT2": np.deg2rad(1e-3),
        "CRVAL1": np.deg2rad(150.0),
        "CRVAL2": np.deg2rad(2.0),
    },
    "declination first": {
        "CTYPE1": "DEC--TAN",
        "CTYPE2": "RA---TAN",
        "CRVAL1": 2.0,
        "CRVAL2": 150.0,
    },
    "SIN": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
    "ZEA": {"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA"},
    "equinox without a system": {"EQUINOX": 2000.0},
    "old name of the system": {"RADECSYS": "FK5", "EQUINOX": 2000.0},
}


def changed(changes: dict[str, object]) -> fits.Header:
    header = plain_header()
    for name, value in changes.items():
        if value is None:
            del header[name]
        else:
            header[name] = value
    return header


@pytest.mark.parametrize("kind", TURNED)
def test_legal_forms_of_coordinates(
    tmp_path: Path, expected: np.ndarray, kind: str
) -> None:
    path = written(tmp_path / "a.fits", changed(TURNED[kind]))
    demand_alike(collect([path], FRAMING).values[0], expected)


def test_case_107b_car_far_from_the_equator(tmp_path: Path) -> None:
    at = SkyCoord(150.0, 60.0, unit="deg")
    framing = Framing(
        size=SIZE, centre=(150.0, 60.0), radius_kpc=300.0, redshift=0.2, half_width=1.0
    )
    plain = collect([written(tmp_path / "a.fits", plain_header(at), at)], framing)
    header = plain_header(at)
    header["CTYPE1"], header["CTYPE2"] = "RA---CAR", "DEC--CAR"
    header["CRVAL2"], header["CRPIX2"] = 0.0, 48.5 - 60.0 / 1e-3
    found = collect([written(tmp_path / "b.fits", header, at)], framing)
    demand_alike(found.values[0], plain.values[0])
    assert "pixels of 1.8 x 3.6 arcsec were brought to squares" in found.notes[0]


@pytest.mark.parametrize("projection", ["HPX", "MER", "AIT", "CEA"])
def test_maps_of_the_whole_sky(tmp_path: Path, projection: str) -> None:
    at = SkyCoord(50.0, 40.0, unit="deg")
    framing = Framing(
        size=SIZE, centre=(50.0, 40.0), radius_kpc=300.0, redshift=0.2, half_width=1.0
    )
    plain = collect([written(tmp_path / "a.fits", plain_header(at), at)], framing)
    header = plain_header(at)
    header["CTYPE1"], header["CTYPE2"] = f"RA---{projection}", f"DEC--{projection}"
    header["CRVAL1"], header["CRVAL2"] = 0.0, 0.0
    header["CRPIX1"], header["CRPIX2"] = 0.0, 0.0
    x, y = WCS(header).world_to_pixel(at)
    header["CRPIX1"], header["CRPIX2"] = 47.5 - x, 47.5 - y
    found = collect([written(tmp_path / "b.fits", header, at)], framing)
    demand_alike(found.values[0], plain.values[0])


def test_a_longitude_beyond_half_a_turn(tmp_path: Path) -> None:
    at = SkyCoord(200.0, 0.0, unit="deg")
    header = plain_header(at)
    header["CTYPE1"], header["CTYPE2"] = "RA---CAR", "DEC--CAR"
    header["CRVAL1"], header["CRPIX1"] = 0.0, 48.5 + 200.0 / 1e-3
    framing = Framing(
        size=SIZE, centre=(200.0, 0.0), radius_kpc=300.0, redshift=0.2, half_width=1.0
    )
    plain = collect([written(tmp_path / "a.fits", plain_header(at), at)], framing)
    found = collect([written(tmp_path / "b.fits", header, at)], framing)
    demand_alike(found.values[0], plain.values[0])


def in_frame(frame: str, **keywords: object) -> fits.Header:
    """Coordinates about the cluster in another frame."""
    header = plain_header()
    header.update(keywords)
    kinds = {"galactic": ("GLON", "GLAT"), "ecliptic": ("ELON", "ELAT")}
    first, second = kinds.get(frame, ("RA", "DEC"))
    header["CTYPE1"] = f"{first:-<5}TAN"
    header["CTYPE2"] = f"{second:-<5}TAN"
    system = "barycentricmeanecliptic"
    if frame != "ecliptic":
        system = wcs_to_celestial_frame(WCS(header))
    own = CLUSTER.transform_to(system).spherical
    header["CRVAL1"], header["CRVAL2"] = own.lon.deg, own.lat.deg
    return header


FRAMES = {
    "fk5": {"RADESYS": "FK5", "EQUINOX": 2000.0},
    "fk4": {"RADESYS": "FK4", "EQUINOX": 1950.0},
    "equinox": {"EQUINOX": 1950.0},
    "old equinox": {"EPOCH": 1950.0},
    "another equinox": {"RADESYS": "FK5", "EQUINOX": 2025.0},
    "galactic": {},
}


@pytest.mark.parametrize("frame", FRAMES)
def test_case_107e_maps_of_any_frame(
    tmp_path: Path, expected: np.ndarray, frame: str
) -> None:
    header = in_frame(frame, **FRAMES[frame])
    found = collect([written(tmp_path / "a.fits", header)], FRAMING)
    demand_alike(found.values[0], expected)


def test_case_107c_a_centre_on_a_galactic_map(
    tmp_path: Path, expected: np.ndarray
) -> None:
    path = written(tmp_path / "a.fits", in_frame("galactic"))
    demand_alike(collect([path], FRAMING).values[0], expected)


def test_case_108_pixels_that_are_no_squares(
    tmp_path: Path, expected: np.ndarray
) -> None:
    header = plain_header()
    header["CDELT1"] = -1.45e-3
    found = collect([written(tmp_path / "a.fits", header)], FRAMING)
    demand_alike(found.values[0], expected)
    assert "pixels of 5.22 x 3.6 arcsec were brought to squares" in found.notes[0]


def with_exposure(
    tmp_path: Path, exposure: fits.PrimaryHDU, counts: np.ndarray
) -> Collection:
    exposure.writeto(tmp_path / "exposure.fits")
    fits.PrimaryHDU(counts, plain_header()).writeto(tmp_path / "counts.fits")
    reading = Reading(exposure=tmp_path / "exposure.fits", keep_sources=True)
    return collect([tmp_path / "counts.fits"], FRAMING, reading)


@pytest.mark.parametrize("frame", ["galactic", "fk4"])
def test_case_151f_an_exposure_in_another_frame(
    tmp_path: Path, expected: np.ndarray, frame: str
) -> None:
    header = in_frame(frame, **FRAMES[frame])
    y, x = np.indices((96, 96))
    own = WCS(header).pixel_to_world(x, y).transform_to("icrs")
    plain = WCS(plain_header()).pixel_to_world(x, y)

    def seconds(positions: SkyCoord) -> np.ndarray:
        return 1e3 + 1e4 * (positions.dec.deg - 1.95)

    counts = 1e4 * cluster_on(plain_header()) * seconds(plain)
    exposure = fits.PrimaryHDU(seconds(own), header)
    found = with_exposure(tmp_path, exposure, np.rint(counts)).values[0]
    demand_alike(found - found.max(), expected - expected.max(), 0.01)


def test_the_same_numbers_in_another_frame_are_another_field(tmp_path: Path) -> None:
    header = plain_header()
    header["CTYPE1"], header["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    exposure = fits.PrimaryHDU(np.full((96, 96), 1e3), header)
    with pytest.raises(Exception, match="does not overlap"):
        with_exposure(tmp_path, exposure, np.rint(1e3 * cluster_on(plain_header())))


def refused(result: Result, *parts: str) -> str:
    """The one line of an error, under the bar of progress."""
    *bar, line = result.err.splitlines()
    assert result.code == 1, result
    assert len(bar) <= 1
    assert line.startswith("error: ")
    for part in parts:
        assert part in line, line
    return line


IMAGE = np.rint(1e3 * cluster_on(plain_header()))
"""Counts of the cluster."""


def in_planes(path: Path, *planes: fits.ImageHDU | fits.BinTableHDU) -> Path:
    """A file whose first plane holds nothing."""
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(path)
    return path


def image(name: str, values: np.ndarray = IMAGE) -> fits.ImageHDU:
    return fits.ImageHDU(values, plain_header(), name=name)


ONES = np.ones((96, 96), np.uint8)


def test_case_124b_a_mask_before_the_image(tmp_path: Path) -> None:
    path = in_planes(tmp_path / "a.fits", image("MASK", ONES), image("SCI"))
    (found,) = read_maps(path)
    np.testing.assert_array_equal(found.values, IMAGE)
    assert (
        "2 'SCI' (96 x 96) read as the map of 1 'MASK' (96 x 96), 2 'SCI'"
        in (found.notes[0])
    )


def test_a_mask_without_a_name_is_no_map(tmp_path: Path) -> None:
    good = (IMAGE > 100.0).astype(np.int16)
    path = in_planes(tmp_path / "a.fits", image("A", good), image("B"))
    np.testing.assert_array_equal(read_maps(path)[0].values, IMAGE)


def test_several_images_are_asked_about(tmp_path: Path, command: Command) -> None:
    path = in_planes(tmp_path / "a.fits", image("SOFT"), image("HARD", 2.0 * IMAGE))
    line = f"maps {path} --centre middle --out {tmp_path / 'a.h5'}"
    told = refused(
        command(line),
        "one image that can be the map; got 1 'SOFT' (96 x 96), 2 'HARD' (96 x 96)",
    )
    assert told.endswith("pass --hdu with its number or name")
    for number, hdu in enumerate(("2", "hard", "HARD,1")):
        assert command(f"{line[:-5]}{number}.h5 --hdu {hdu}").code == 0
    refused(command(f"{line} --hdu MEDIUM"), "an image as HDU 'MEDIUM'; got 1 'SOFT'")


def test_case_124d_a_text_in_the_first_plane(tmp_path: Path) -> None:
    text = np.frombuffer(b"<?xml version='1.0'?><VOTABLE/>", np.uint8)
    fits.HDUList([fits.PrimaryHDU(text), image("IMAGE")]).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(read_maps(tmp_path / "a.fits")[0].values, IMAGE)


def test_companions_in_one_file(tmp_path: Path, expected: np.ndarray) -> None:
    path = in_planes(
        tmp_path / "a.fits",
        image("COUNTS"),
        image("EXPMAP", np.full((96, 96), 1e3)),
        image("BKG", np.full((96, 96), 0.1)),
        image("MASK", np.zeros((96, 96))),
    )
    reading = Reading(exposure=path, background=path, mask=path, keep_sources=True)
    found = collect([path], FRAMING, reading)
    assert not found.problems
    demand_alike(found.values[0] + 3.0, expected + 3.0, 0.1)


def test_event_lists_are_to_be_binned(tmp_path: Path) -> None:
    columns = [fits.Column(name, "E", array=np.ones(5)) for name in ("X", "Y", "PI")]
    table = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    path = in_planes(tmp_path / "a.fits", table)
    with pytest.raises(DataError, match=r"event list \('EVENTS', 5 rows\); bin it"):
        read_maps(path)


def test_compressed_images(tmp_path: Path) -> None:
    plane = fits.CompImageHDU(IMAGE.astype(np.int32), plain_header())
    path = in_planes(tmp_path / "a.fits", plane)
    (found,) = read_maps(path)
    np.testing.assert_array_equal(found.values, IMAGE)
    assert found.wcs is not None


def test_axes_of_one_plane_and_cubes(tmp_path: Path, expected: np.ndarray) -> None:
    header = plain_header()
    header.update({"CTYPE3": "STOKES", "CTYPE4": "FREQ", "CRVAL4": 1e18, "CRVAL3": 1})
    light = cluster_on(plain_header())
    fits.PrimaryHDU(light[None, None], header).writeto(tmp_path / "a.fits")
    demand_alike(collect([tmp_path / "a.fits"], FRAMING).values[0], expected, 1e-9)
    fits.PrimaryHDU(np.stack([light] * 3), header).writeto(tmp_path / "b.fits")
    with pytest.raises(
        DataError, match=r"one image; got a cube of shape \(3, 96, 96\)"
    ):
        read_maps(tmp_path / "b.fits")


def test_coordinates_under_another_letter(tmp_path: Path, expected: np.ndarray) -> None:
    header = fits.Header({"CTYPE1": "DETX", "CTYPE2": "DETY", "CDELT1": 1.0})
    header["CDELT2"] = 1.0
    for name, value in plain_header().items():
        header[f"{name}B"] = value
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(cluster_on(plain_header()), header).writeto(path)
    demand_alike(collect([path], FRAMING).values[0], expected, 1e-9)


def test_a_header_that_promises_more_than_the_file_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "a.fits", plain_header())
    content = path.read_bytes().replace(
        b"NAXIS1  =                   96", b"NAXIS1  =             99000000"
    )
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"99000000 x 96 pixels; got .* bytes, cut short"
    ):
        read_maps(path)


@pytest.mark.parametrize("kind", ["u8", "i8", "u2", ">f4", "i1"])
def test_numbers_of_any_kind(tmp_path: Path, kind: str) -> None:
    values = np.rint(100.0 * cluster_on(plain_header())).astype(kind)
    fits.PrimaryHDU(values, plain_header()).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(read_maps(tmp_path / "a.fits")[0].values, values)


def test_scaled_numbers_and_blanks(tmp_path: Path) -> None:
    plane = fits.PrimaryHDU(IMAGE.astype(np.int16), plain_header())
    plane.header.update({"BSCALE": 0.5, "BZERO": 2.0, "BLANK": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plane.writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    assert b"BSCALE" in content
    values = read_maps(tmp_path / "a.fits")[0].values
    assert np.isfinite(values).any()


def stored(path: Path, values: np.ndarray) -> Path:
    fits.PrimaryHDU(values, plain_header()).writeto(path)
    return path


POSITION = Framing(size=32, radius_kpc=200.0, redshift=0.2, half_width=1.0)
"""Centred on the peak."""


def test_case_122c_a_hot_pixel(tmp_path: Path) -> None:
    light = cluster_on(plain_header())
    spoilt = light.copy()
    spoilt[80, 12] = 1e6
    clean = collect([stored(tmp_path / "a.fits", light)], POSITION)
    found = collect([stored(tmp_path / "b.fits", spoilt)], POSITION)
    np.testing.assert_allclose(found.values, clean.values, atol=1e-9)
    assert (
        "1 hot pixels were replaced by their surroundings, the first at x = 13, y = 81"
        in found.notes[0]
    )


HOT = {
    "on the cluster": (slice(48, 49), slice(48, 49)),
    "a pair": (slice(20, 21), slice(20, 22)),
    "a column": (slice(0, 96), slice(70, 71)),
    "a row": (slice(85, 86), slice(0, 96)),
    "a corner": (slice(0, 1), slice(0, 1)),
}


@pytest.mark.parametrize("place", HOT)
def test_hot_pixels_and_lines(tmp_path: Path, place: str) -> None:
    light = cluster_on(plain_header())
    spoilt = light.copy()
    spoilt[HOT[place]] = 1e4
    clean = collect([stored(tmp_path / "a.fits", light)], FRAMING)
    found = collect([stored(tmp_path / "b.fits", spoilt)], FRAMING)
    demand_alike(found.values[0], clean.values[0], 0.1)
    assert "hot pixels" in found.notes[0]


def test_sources_and_photons_are_no_hot_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((96, 96))
    star = 300.0 * np.exp(-0.5 * ((y - 20) ** 2 + (x - 20) ** 2) / 0.7**2)
    counts = rng.poisson(5.0 * cluster_on(plain_header()) + 0.05 + star)
    sparse = rng.poisson(0.02 + 0.2 * cluster_on(plain_header()))
    for name, values in (("a", counts), ("b", sparse)):
        assert not collect([stored(tmp_path / f"{name}.fits", values)], POSITION).notes


def masked(tmp_path: Path, mask: np.ndarray, meaning: str | None = None) -> Collection:
    light = stored(tmp_path / "map.fits", cluster_on(plain_header()))
    path = stored(tmp_path / "mask.fits", mask)
    return collect([light], FRAMING, Reading(mask=path, mask_meaning=meaning))  # type: ignore[arg-type]


RADIUS = np.hypot(*(np.indices((96, 96)) - 47.5))


@pytest.mark.parametrize("radius", [12.0, 40.0])
def test_case_153_a_mask_of_good_pixels(
    tmp_path: Path, expected: np.ndarray, radius: float, command: Command
) -> None:
    good = (radius > RADIUS).astype(np.uint8)
    with pytest.raises(
        DataError, match=r"mask\.fits: expected a mask of the pixels to"
    ):
        masked(tmp_path, good)
    line = f"maps {tmp_path / 'map.fits'} --mask {tmp_path / 'mask.fits'} --size 64"
    line += f" --centre 150,2 --radius 300 --redshift 0.2 --half-width 1 --out {tmp_path / 'a.h5'}"
    told = refused(command(line), "and its brightest region")
    assert told.endswith(
        "--mask-means good if 1 marks good pixels, else --mask-means bad"
    )
    if radius == 40.0:
        assert command(f"{line} --mask-means good").code == 0
        _, values, _ = read_stored(tmp_path / "a.h5")
        demand_alike(values[0].astype(float), expected, 0.02)


def test_a_mask_of_bad_pixels_is_obeyed(tmp_path: Path, expected: np.ndarray) -> None:
    bad = np.zeros((96, 96))
    bad[:, 40:42] = 4.0
    bad[70:90, 5:20] = np.nan
    values = masked(tmp_path, bad).values[0]
    assert 0.02 < (values != expected).mean() < 0.2


def test_nan_in_a_mask_masks(tmp_path: Path) -> None:
    ones, nans = np.zeros((96, 96)), np.zeros((96, 96))
    ones[60:64, 60:64], nans[60:64, 60:64] = 1.0, np.nan
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = masked(tmp_path / "a", ones), masked(tmp_path / "b", nans)
    np.testing.assert_array_equal(one.values, other.values)
    good = np.where(np.isnan(nans), np.nan, 1.0)
    (tmp_path / "c").mkdir()
    np.testing.assert_array_equal(
        masked(tmp_path / "c", good, "good").values, one.values
    )


def test_said_meanings_of_masks_are_not_asked_about(tmp_path: Path) -> None:
    bad = (RADIUS < 10.0).astype(np.uint8)
    found = masked(tmp_path, bad, "bad")
    row, column = np.unravel_index(found.values[0].argmax(), (64, 64))
    assert np.hypot(row - 31.5, column - 31.5) > 12.0


def test_regions_are_no_mask(tmp_path: Path) -> None:
    (tmp_path / "a.reg").write_text(
        '# Region file format: DS9\nfk5\ncircle(150,2,9")\n'
    )
    light = stored(tmp_path / "map.fits", cluster_on(plain_header()))
    with pytest.raises(
        DataError, match="an image of the pixels to leave out; got a file"
    ):
        collect([light], FRAMING, Reading(mask=tmp_path / "a.reg"))


def rated(
    tmp_path: Path, values: np.ndarray, unit: str = "", seconds: float = 500.0
) -> Collection:
    header = plain_header()
    header["BUNIT"] = unit
    fits.PrimaryHDU(values, header).writeto(tmp_path / "map.fits")
    stored(tmp_path / "exposure.fits", np.full((96, 96), seconds))
    reading = Reading(exposure=tmp_path / "exposure.fits", keep_sources=True)
    return collect([tmp_path / "map.fits"], FRAMING, reading)


@pytest.mark.parametrize(
    "unit",
    [
        "count/s",
        "ct s-1",
        "cts/s/pixel",
        "photon/cm**2/s",
        "ph / (cm2 s)",
        "counts s^-1",
        "erg/s/cm2",
    ],
)
def test_case_154_a_rate_is_not_divided_again(tmp_path: Path, unit: str) -> None:
    with pytest.raises(DataError, match="counts, since an exposure was given; got a "):
        rated(tmp_path, IMAGE / 500.0, unit)


@pytest.mark.parametrize("brightness", [1e-6, 1e-3, 0.5, 30.0])
def test_case_154_a_rate_without_a_unit(tmp_path: Path, brightness: float) -> None:
    counts = np.rint(brightness * 500.0 * cluster_on(plain_header()))
    values = counts / 500.0
    if brightness < 0.1:
        values = brightness * cluster_on(plain_header())
    with pytest.raises(
        DataError, match=r"looks like a rate.*; leave --exposure out, or"
    ):
        rated(tmp_path, values)


@pytest.mark.parametrize("unit", ["", "count", "counts", "ct/pixel", "photons"])
def test_counts_are_divided(tmp_path: Path, expected: np.ndarray, unit: str) -> None:
    found = rated(tmp_path, IMAGE, unit).values[0]
    demand_alike(found + np.log10(0.5), expected, 0.06)


def test_a_unit_of_the_user_goes_first(tmp_path: Path) -> None:
    path = stored(tmp_path / "map.fits", IMAGE / 2000.0)
    exposure = stored(tmp_path / "exposure.fits", np.full((96, 96), 500.0))
    with pytest.raises(DataError, match="looks like a rate"):
        collect([path], FRAMING, Reading(exposure=exposure))
    assert collect([path], FRAMING, Reading(exposure=exposure, unit="counts")).names


def test_a_background_in_another_unit(tmp_path: Path) -> None:
    path = stored(tmp_path / "map.fits", IMAGE)
    exposure = stored(tmp_path / "exposure.fits", np.full((96, 96), 500.0))
    sky = stored(tmp_path / "sky.fits", np.full((96, 96), 2e4))
    with pytest.raises(DataError, match=r"sky\.fits: expected fewer background counts"):
        collect([path], FRAMING, Reading(exposure=exposure, background=sky))


@pytest.mark.parametrize("gap", [0.0, np.nan, -1.0])
def test_what_was_not_exposed_is_a_gap(
    tmp_path: Path, expected: np.ndarray, gap: float
) -> None:
    seconds = np.full((96, 96), 2e7)  # cm2 s
    seconds[:, 60:64] = gap
    counts = np.where(seconds > 0.0, IMAGE, 0.0)
    path = stored(tmp_path / "map.fits", counts)
    exposure = stored(tmp_path / "exposure.fits", seconds)
    found = collect([path], FRAMING, Reading(exposure=exposure, keep_sources=True))
    assert np.abs(found.values[0] + np.log10(2e4) - expected)[32, 40:].max() < 0.7


def test_case_128_a_large_map_costs_what_its_pixels_cost(tmp_path: Path) -> None:
    size = 3000
    y, x = np.ogrid[:size, :size]
    light = np.float32(1.0) / (1.0 + ((y - 1700.0) ** 2 + (x - 1100.0) ** 2) / 90.0**2)
    light = light.astype(np.float32)
    row, column = find_centre(light)
    assert np.hypot(row - 1700.0, column - 1100.0) < 3.0
    row, column = find_centre(light**2, "centroid")
    assert np.hypot(row - 1700.0, column - 1100.0) < 5.0

    path = tmp_path / "a.fits"
    fits.PrimaryHDU(light, plain_header(size=size)).writeto(path)
    tracemalloc.start()
    (found,) = read_maps(path)
    cut = frame(found.values, (1700.0, 1100.0), 600.0, 64)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3.1 * light.nbytes  # the file, its values, and one copy of them
    assert np.unravel_index(cut.argmax(), cut.shape) in [
        (31, 31),
        (31, 32),
        (32, 31),
        (32, 32),
    ]


def test_sources_of_large_maps_are_those_of_small_ones() -> None:
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:2100, :300]
    expected = (
        20.0 * np.exp(-0.5 * ((y - 1000.0) ** 2 + (x - 150.0) ** 2) / 60.0**2) + 0.2
    )
    expected = expected + 40.0 * np.exp(
        -0.5 * ((y - 400.0) ** 2 + (x - 70.0) ** 2) / 1.5**2
    )
    mask = point_sources(rng.poisson(expected).astype(np.float32))
    assert mask[400, 70]
    assert not mask[900:1100, 100:200].any()
    assert mask.mean() < 1e-3


WRITTEN_OTHERWISE = {
    "small letters": {"CTYPE1": "ra---tan", "CTYPE2": "dec--tan", "RADESYS": "icrs"},
    "J2000": {"RADESYS": "J2000"},
    "both matrices": {"CD1_1": -1e-3, "CD2_2": 1e-3, "CDELT1": 1.0, "CDELT2": 1.0},
    "a turn more": {"CRVAL1": 510.0},
    "degrees": {"CUNIT1": "degree", "CUNIT2": "DEG"},
    "slight distortion": {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 2,
        "B_ORDER": 2,
        "A_2_0": 1e-5,
        "B_0_2": 1e-5,
    },
}


@pytest.mark.parametrize("kind", WRITTEN_OTHERWISE)
def test_coordinates_that_can_only_mean_one_thing(
    tmp_path: Path, expected: np.ndarray, kind: str
) -> None:
    path = tmp_path / "a.fits"
    header = changed(WRITTEN_OTHERWISE[kind])
    fits.PrimaryHDU(cluster_on(plain_header()), header).writeto(path)
    demand_alike(collect([path], FRAMING).values[0], expected, 0.02)


NO_SKY = {
    "RADESYS ICRS, FK5 or FK4": {"RADESYS": "GAPPT"},
    "galactic or ecliptic": {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"},
    r"an equinox \(EQUINOX\) as 2000; got 0": {"EQUINOX": 0.0},
    r"axes that differ \(WCS\); got parallel ones": {
        "CD1_1": -1e-3,
        "CD1_2": 1e-3,
        "CD2_1": -1e-3,
        "CD2_2": 1e-3,
    },
    "Unrecognized projection code": {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"},
}


@pytest.mark.parametrize("message", NO_SKY)
def test_coordinates_of_no_sky(tmp_path: Path, message: str) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(IMAGE, changed(NO_SKY[message])).writeto(path)
    with pytest.raises(DataError, match=message):
        read_maps(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centre": (150.0, 95.0)}, "declination in degrees; got 150, 95"),
        ({"centre": (np.nan, 2.0)}, "declination in degrees; got nan, 2"),
        (
            {"centre": (10.0, 2.0)},
            r"on the map; got 10, 2 \(ICRS, degrees\); the middle",
        ),
        ({"centre": (330.0, -2.0)}, "the middle of the map is 150.0000, 2.0000"),
        ({"radius_kpc": 0.3}, "a square of 4 pixels or more; got one of 0.04"),
        ({"radius_kpc": np.inf}, "R500: expected a positive number; got inf"),
        ({"radius_kpc": 1e9}, "at least half of the frame on the map; got 0 %"),
    ],
)
def test_frames_that_are_not_on_the_map(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = written(tmp_path / "a.fits", plain_header())
    with pytest.raises(DataError, match=message):
        collect([path], replace(FRAMING, **changes))


def test_saturated_and_dead_pixels_are_filled(tmp_path: Path) -> None:
    counts = IMAGE.astype(np.uint16)
    full, dead = counts.copy(), IMAGE.copy()
    full[30:33, 60:63] = 65535
    dead[:, 62:64] = 0.0
    clean = collect([stored(tmp_path / "a.fits", counts)], FRAMING).values[0]
    found = collect([stored(tmp_path / "b.fits", full)], FRAMING)
    assert "9 saturated pixels (65535) were filled" in found.notes[0]
    assert np.abs(found.values[0] - clean).max() < 0.5
    found = collect([stored(tmp_path / "c.fits", dead)], FRAMING)
    assert "2 dead rows and columns were filled" in found.notes[0]
    demand_alike(found.values[0][:, :30], clean[:, :30], 1e-9)
    assert np.abs(found.values[0] - clean)[20:44].max() < 0.6


def test_exposures_and_masks_are_no_maps(tmp_path: Path) -> None:
    header = plain_header()
    for unit in ("s", "ks", "cm**2 s", "sec", "cm2 s"):
        header["BUNIT"] = unit
        fits.PrimaryHDU(IMAGE, header).writeto(tmp_path / "a.fits", overwrite=True)
        with pytest.raises(
            DataError, match="an image of a cluster; got an exposure map"
        ):
            read_maps(tmp_path / "a.fits")
    good = stored(tmp_path / "b.fits", (RADIUS < 40.0).astype(np.uint8))
    with pytest.raises(DataError, match="an image of a cluster; got a mask of 0 and 1"):
        read_maps(good)


def test_an_exposure_without_coordinates_is_said(tmp_path: Path) -> None:
    path = stored(tmp_path / "map.fits", IMAGE)
    fits.PrimaryHDU(np.full((96, 96), 1e3)).writeto(tmp_path / "exposure.fits")
    reading = Reading(exposure=tmp_path / "exposure.fits", keep_sources=True)
    (note,) = collect([path], FRAMING, reading).notes
    assert note.endswith("no coordinates (WCS); taken on the pixels of map.fits")
