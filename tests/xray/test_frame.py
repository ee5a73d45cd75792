"""Rates, centres, frames and stretches against closed forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cinn_clusters.cosmology import arcsec_per_kpc
from cinn_clusters.errors import DataError
from cinn_clusters.xray.collect import Collection, Reading, collect
from cinn_clusters.xray.frame import find_centre, frame, radius_in_pixels
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.rate import count_rate, fill_holes, point_sources
from cinn_clusters.xray.read import read_companion, read_maps
from cinn_clusters.xray.stretch import asinh_stretch, log_brightness
from xray_files import blob, header


def a_map(values: np.ndarray) -> XrayMap:
    return XrayMap("one", values, "brightness", Path("one.fits"))


@given(
    st.floats(12.0, 36.0), st.floats(12.0, 36.0), st.sampled_from(["peak", "centroid"])
)
def test_centres_are_found(row: float, column: float, how: str) -> None:
    found = find_centre(blob(48, (row, column), 4.0), how)  # type: ignore[arg-type]
    assert np.hypot(found[0] - row, found[1] - column) < (0.8 if how == "peak" else 0.3)


def test_the_middle_is_a_centre() -> None:
    assert find_centre(np.zeros((10, 20)), "middle") == (4.5, 9.5)


def test_a_frame_keeps_brightness_and_scale() -> None:
    _, x = np.indices((200, 200))
    plane = 3.0 + 0.01 * (x - 99.5)
    cut = frame(plane, (99.5, 99.5), 64.0, 32)
    np.testing.assert_allclose(cut.mean(), 3.0, atol=1e-3)
    np.testing.assert_allclose(np.diff(cut, axis=1), 0.04, atol=0.011)
    finer = frame(plane, (99.5, 99.5), 16.0, 64)
    np.testing.assert_allclose(np.diff(finer, axis=1), 0.005, atol=1e-9)


def test_holes_stay_holes_in_a_frame_and_are_filled_by_radius() -> None:
    values = blob(64, (31.5, 31.5), 10.0)
    holed = values.copy()
    holed[:, 40:43] = np.nan
    cut = frame(holed, (31.5, 31.5), 32.0, 64)
    assert np.isnan(cut[:, 41]).all()
    filled = fill_holes(cut)
    np.testing.assert_allclose(filled, values, atol=0.06)


def test_a_frame_beyond_the_map_is_refused() -> None:
    with pytest.raises(DataError, match="half of the frame"):
        frame(blob(), (24.0, 24.0), 100.0, 32)


@pytest.mark.parametrize(
    "wrong", [{"radius_kpc": 0.0}, {"redshift": -1.0}, {"pixel_arcsec": 0.0}]
)
def test_scales_are_positive(wrong: dict[str, float]) -> None:
    good = {"radius_kpc": 1000.0, "redshift": 0.2, "pixel_arcsec": 4.0}
    assert radius_in_pixels(**good) == pytest.approx(1000.0 * arcsec_per_kpc(0.2) / 4.0)
    with pytest.raises(DataError, match="positive number"):
        radius_in_pixels(**(good | wrong))


def test_rate_of_known_counts() -> None:
    rate = blob() * 1e-2
    seconds = np.full((48, 48), 5000.0)
    seconds[:4] = 10.0
    sky = np.full((48, 48), 2.0)
    counts = a_map(rate * seconds + sky)
    found, least = count_rate(counts, a_map(seconds), a_map(sky), mask_sources=False)
    assert np.isnan(found[:4]).all()
    np.testing.assert_allclose(found[4:], rate[4:])
    assert least == pytest.approx(0.5 / 5000.0)


def test_exposure_on_another_grid_of_the_same_sky(tmp_path: Path) -> None:
    fits.PrimaryHDU(blob() * 100, header()).writeto(tmp_path / "counts.fits")
    coarse = header(2e-3)
    coarse["CRPIX1"] = coarse["CRPIX2"] = 12.5
    _, x = np.indices((24, 24))
    fits.PrimaryHDU(1000.0 + 10.0 * x, coarse).writeto(tmp_path / "exposure.fits")
    counts, exposure = (
        read_maps(tmp_path / name)[0] for name in ("counts.fits", "exposure.fits")
    )
    found, _ = count_rate(counts, exposure, mask_sources=False)
    expected = 1000.0 + 10.0 * ((np.arange(48) - 23.5) / 2.0 + 11.5)
    np.testing.assert_allclose(
        (counts.values / found)[24, 2:-2], expected[2:-2], rtol=1e-4
    )


@pytest.mark.parametrize("factor", [2, 3])
def test_background_counts_on_larger_pixels_of_the_same_sky(
    tmp_path: Path, factor: int
) -> None:
    size = 48 // factor
    fits.PrimaryHDU(blob() * 100 + 2.0, header()).writeto(tmp_path / "counts.fits")
    coarse = header(1e-3 * factor)
    coarse["CRPIX1"] = coarse["CRPIX2"] = size / 2 + 0.5
    _, x = np.indices((size, size))
    fits.PrimaryHDU(factor**2 * (2.0 + 0.0 * x), coarse).writeto(tmp_path / "flat.fits")
    counts = read_maps(tmp_path / "counts.fits")[0]
    sky = read_companion(tmp_path / "flat.fits")
    found, _ = count_rate(
        counts, a_map(np.full((48, 48), 1e3)), sky, mask_sources=False
    )
    np.testing.assert_allclose(found * 1e3, blob() * 100, atol=1e-6)


def test_a_pixel_without_counts_does_not_spoil_the_search_for_sources() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(
        20.0 * blob(96, (48.0, 48.0), 9.0) + 0.2 + 60.0 * blob(96, (20.0, 70.0), 1.3)
    ).astype(float)
    seconds = a_map(np.full((96, 96), 1e3))
    counts[20, 66] = np.nan
    masked = np.isnan(count_rate(a_map(counts), seconds)[0])
    assert masked[20, 70]
    assert masked.mean() < 0.02


def test_flat_exposures_are_read(tmp_path: Path) -> None:
    fits.PrimaryHDU(blob() * 100, header()).writeto(tmp_path / "counts.fits")
    fits.PrimaryHDU(np.full((48, 48), 1e3), header()).writeto(
        tmp_path / "exposure.fits"
    )
    found = collect(
        [tmp_path / "counts.fits"],
        Framing(size=32),
        reading=Reading(exposure=tmp_path / "exposure.fits"),
    )
    assert len(found.values) == 1
    fits.PrimaryHDU(np.full((48, 48), np.nan), header()).writeto(tmp_path / "none.fits")
    with pytest.raises(DataError, match=r"none\.fits: expected finite pixels"):
        collect(
            [tmp_path / "counts.fits"],
            Framing(size=32),
            Reading(exposure=tmp_path / "none.fits"),
        )


def test_bad_counts_and_exposures() -> None:
    good = a_map(blob() * 10)
    with pytest.raises(DataError, match="expected counts"):
        count_rate(a_map(np.zeros((48, 48))), good)
    with pytest.raises(DataError, match="a positive exposure"):
        count_rate(good, a_map(np.zeros((48, 48))))
    with pytest.raises(DataError, match="the grid of the counts"):
        count_rate(good, a_map(np.ones((20, 20))))
    with pytest.raises(DataError, match="only NaN"):
        fill_holes(np.full((4, 4), np.nan))


def test_a_field_elsewhere_is_refused(tmp_path: Path) -> None:
    far = header()
    far["CRVAL1"] = 10.0
    fits.PrimaryHDU(blob(), header()).writeto(tmp_path / "counts.fits")
    fits.PrimaryHDU(blob(), far).writeto(tmp_path / "exposure.fits")
    counts, exposure = (
        read_maps(tmp_path / name)[0] for name in ("counts.fits", "exposure.fits")
    )
    with pytest.raises(DataError, match="does not overlap"):
        count_rate(counts, exposure)


def test_point_sources_are_found_and_the_cluster_is_not() -> None:
    rng = np.random.default_rng(0)
    expected = (
        20.0 * blob(96, (48.0, 48.0), 9.0) + 0.2 + 60.0 * blob(96, (20.0, 70.0), 1.3)
    )
    mask = point_sources(rng.poisson(expected))
    assert mask[20, 70]
    assert not mask[40:56, 40:56].any()
    assert mask.mean() < 0.02


@given(st.floats(1e-12, 1e12))
def test_stretches_do_not_know_units(unit: float) -> None:
    values = blob() + 1e-9
    np.testing.assert_allclose(
        asinh_stretch(values * unit), asinh_stretch(values), atol=1e-12
    )
    np.testing.assert_allclose(
        np.diff(log_brightness(values * unit)),
        np.diff(log_brightness(values)),
        atol=1e-9,
    )


def test_stretches() -> None:
    logs = log_brightness(np.array([[1.0, 1e-3, 0.0, np.nan]]))
    np.testing.assert_allclose(logs, [[0.0, -3.0, -5.0, np.nan]])
    assert log_brightness(np.array([[1.0, 0.0]]), least=0.1)[0, 1] == pytest.approx(
        -1.0
    )
    stretched = asinh_stretch(np.array([[1.0, 0.0, -1.0]]))
    np.testing.assert_allclose(stretched, [[1.0, 0.0, 0.0]])
    for stretch in (log_brightness, asinh_stretch):
        with pytest.raises(DataError, match="positive brightness"):
            stretch(np.zeros((2, 2)))


def test_a_given_centre_on_the_sky(tmp_path: Path) -> None:
    path = tmp_path / "one.fits"
    fits.PrimaryHDU(blob(48, (30.0, 20.0)), header()).writeto(path)
    sky = read_maps(path)[0].wcs.pixel_to_world_values(20.0, 30.0)
    framing = Framing(
        size=16,
        centre=(float(sky[0]), float(sky[1])),
        radius_kpc=30.0,
        redshift=0.2,
        half_width=1.0,
    )
    found = collect([path], framing)
    assert (
        np.abs(
            np.array(np.unravel_index(found.values[0].argmax(), (16, 16))) - 7.5
        ).max()
        <= 0.5
    )
    for wrong, told in ((replace(framing, centre=(10.0, 10.0)), "centre on the map"),):
        with pytest.raises(DataError, match=told):
            collect([path], wrong)


def test_without_coordinates_there_is_no_scale(tmp_path: Path) -> None:
    path = tmp_path / "one.fits"
    fits.PrimaryHDU(blob()).writeto(path)
    with pytest.raises(
        DataError, match=r"the size of its pixels.*; pass --pixel-kpc or --pixel-arcsec"
    ):
        collect([path], Framing(size=16, radius_kpc=1000.0, redshift=0.1))
    with pytest.raises(
        DataError,
        match="a redshift, since R500 was given; got none; no size of pixels in kpc",
    ):
        collect([path], Framing(size=16, radius_kpc=1000.0))
    with pytest.raises(DataError, match="coordinates"):
        collect([path], Framing(size=16, centre=(10.0, 10.0)))


@pytest.mark.parametrize("kind", ["fits", "png", "h5"])
def test_a_scale_can_be_given(tmp_path: Path, kind: str) -> None:
    values, path = blob(96, (50.0, 40.0), 6.0), tmp_path / f"one.{kind}"
    if kind == "fits":
        fits.PrimaryHDU(values).writeto(path)
    elif kind == "png":
        Image.fromarray((values[::-1] * 255).astype(np.uint8)).save(path)
    else:
        with h5py.File(path, "w") as file:
            file["one"] = values
    by_kpc = Framing(
        size=32, half_width=1.0, radius_kpc=80.0, pixel_kpc=5.0
    )  # half a side is 16 pixels
    by_arcsec = replace(
        by_kpc, pixel_kpc=None, redshift=0.1, pixel_arcsec=5.0 * arcsec_per_kpc(0.1)
    )
    found = collect([path], by_kpc).values[0]
    np.testing.assert_allclose(found, collect([path], by_arcsec).values[0], atol=1e-9)
    np.testing.assert_allclose(
        found, collect([path], replace(by_kpc, redshift=0.3)).values[0], atol=1e-9
    )
    assert found.min() < found.max() - (0.5 if kind == "png" else 2.0)
    at_half = np.abs(found[16] - found[16, 16]).argmax()
    assert at_half in (0, 31)
    with pytest.raises(DataError, match="half of the frame"):
        collect([path], replace(by_kpc, pixel_kpc=0.5))


def test_a_scale_against_the_coordinates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.fits"
    fits.PrimaryHDU(blob(), header()).writeto(path)  # 3.6 arcsec
    framing = Framing(size=16, radius_kpc=30.0, redshift=0.2, half_width=1.0)
    right = collect([path], framing).values
    np.testing.assert_array_equal(
        collect([path], replace(framing, pixel_arcsec=3.61)).values, right
    )
    np.testing.assert_array_equal(
        collect([path], replace(framing, pixel_kpc=3.6 / arcsec_per_kpc(0.2))).values,
        right,
    )
    with pytest.raises(
        DataError,
        match=r"pixels of 3\.6 arcsec, as its coordinates \(WCS\) say; got 4 arcsec given",
    ):
        collect([path], replace(framing, pixel_arcsec=4.0))
    with pytest.raises(DataError, match=r"3\.6 arcsec"):
        collect([path], replace(framing, pixel_kpc=20.0))
    with pytest.raises(DataError, match=r"a redshift.*coordinates \(WCS\)"):
        collect([path], replace(framing, redshift=None, pixel_kpc=20.0))


def test_the_asinh_stretch(tmp_path: Path) -> None:
    fits.PrimaryHDU(blob() * 7.0).writeto(tmp_path / "one.fits")
    framing = Framing(size=48, centre="middle", stretch="asinh")
    np.testing.assert_allclose(
        collect([tmp_path], framing).values[0], asinh_stretch(blob()), atol=1e-9
    )
    Image.fromarray((blob() * 255).astype(np.uint8)).save(tmp_path / "two.png")
    assert (
        "a brightness, to be shown by asinh; got a picture"
        in collect([tmp_path], framing).problems[0]
    )


@pytest.mark.parametrize("is_counts", [False, True])
def test_masked_pixels_are_filled(tmp_path: Path, is_counts: bool) -> None:
    clean = 1e4 * blob(48, (23.5, 23.5), 8.0) + 10.0
    spoilt, masked = clean.copy(), np.zeros((48, 48))
    spoilt[30:36, 10:16] += 1e6
    masked[30:36, 10:16] = 1.0
    fits.PrimaryHDU(spoilt, header()).writeto(tmp_path / "map.fits")
    fits.PrimaryHDU(masked, header()).writeto(tmp_path / "mask.fits")
    fits.PrimaryHDU(np.ones((48, 48)), header()).writeto(tmp_path / "exposure.fits")
    exposure = tmp_path / "exposure.fits" if is_counts else None
    framing = Framing(size=48, centre="middle")

    def read(mask: Path | None = None) -> Collection:
        reading = Reading(exposure=exposure, mask=mask, keep_sources=True)
        return collect([tmp_path / "map.fits"], framing, reading)

    np.testing.assert_allclose(
        read(mask=tmp_path / "mask.fits").values[0], np.log10(clean), atol=0.1
    )
    assert np.abs(read().values[0] - np.log10(clean)).max() > 1.0
    fits.PrimaryHDU(np.ones((20, 20))).writeto(tmp_path / "other.fits")
    with pytest.raises(DataError, match="the grid of the counts or map"):
        read(mask=tmp_path / "other.fits")


def test_sources_can_be_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(
        20.0 * blob(96, (48.0, 48.0), 9.0) + 0.2 + 60.0 * blob(96, (20.0, 70.0), 1.3)
    ).astype(float)
    fits.PrimaryHDU(counts).writeto(tmp_path / "counts.fits")
    fits.PrimaryHDU(np.full((96, 96), 1e3)).writeto(tmp_path / "exposure.fits")
    framing = Framing(size=96, centre="middle")

    def read(keep_sources: bool = False) -> Collection:
        reading = Reading(
            exposure=tmp_path / "exposure.fits", keep_sources=keep_sources
        )
        return collect([tmp_path / "counts.fits"], framing, reading)

    assert read(keep_sources=True).values[0][20, 70] > read().values[0][20, 70] + 1.0


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 2)])
def test_a_thin_map_has_a_centre(shape: tuple[int, int]) -> None:
    values = np.zeros(shape)
    values[0, -1] = 1.0
    for how in ("peak", "centroid"):
        row, column = find_centre(values, how)
        assert 0.0 <= row < shape[0]
        assert 0.0 <= column < shape[1]


def test_a_square_without_bounds_is_refused() -> None:
    with pytest.raises(DataError, match="half"):
        frame(np.ones((24, 24)), (12.0, 12.0), 1e300)
