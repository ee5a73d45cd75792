"""Files of maps: every kind is read, every damage is told by file, the others go on."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from cinn_clusters.errors import DataError
from cinn_clusters.xray.collect import Reading, collect
from cinn_clusters.xray.contents import find_files
from cinn_clusters.xray.fits.images import read_fits
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.pictures.colours import colour_map
from cinn_clusters.xray.read import read_maps
from support import SHARED
from xray_files import blob, header

MAPS = SHARED / "data/xray_maps"
needs_maps = pytest.mark.skipif(
    not MAPS.is_dir(), reason=f"lacks the real maps in {MAPS}"
)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_grey_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"one{suffix}"
    values = (blob() * 255).round().astype(np.uint8)
    Image.fromarray(values).save(path, quality=100)
    (found,) = read_maps(path)
    assert found.is_picture
    np.testing.assert_allclose(
        found.values[::-1] * 255, values, atol=0 if suffix == ".png" else 4
    )


def test_deep_pictures(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.fromarray((blob() * 60000).astype(np.uint16)).save(path)
    levels = blob() * 60000 / 65535
    np.testing.assert_allclose(read_maps(path)[0].values[::-1], levels, atol=1e-4)


@pytest.mark.parametrize("name", ["one.fits", "one.fits.gz"])
@pytest.mark.parametrize("is_extension", [False, True])
def test_fits(tmp_path: Path, name: str, is_extension: bool) -> None:
    plane = (
        fits.ImageHDU(blob()[None], header())
        if is_extension
        else fits.PrimaryHDU(blob(), header())
    )
    fits.HDUList([fits.PrimaryHDU(), plane] if is_extension else [plane]).writeto(
        tmp_path / name
    )
    (found,) = read_maps(tmp_path / name)
    np.testing.assert_array_equal(found.values, blob())
    assert found.pixel_arcsec == pytest.approx(3.6)
    assert (found.name, found.is_picture) == ("one", False)


@pytest.mark.parametrize(
    "unit",
    ["log10", "LOG", "dex", "dex(ct / s)", "log(erg/s/cm2)", "[log10 ct/s]", "lg(ct)"],
)
def test_logarithms_are_no_brightness(tmp_path: Path, unit: str) -> None:
    logs = 3.0 * blob() - 9.0
    fits.PrimaryHDU(logs, fits.Header({"BUNIT": unit})).writeto(tmp_path / "one.fits")
    assert read_maps(tmp_path / "one.fits")[0].scale == "log10"
    found = collect([tmp_path], Framing(size=48, centre="middle"))
    np.testing.assert_allclose(found.values[0], logs, atol=1e-9)
    with pytest.raises(
        DataError, match=r"counts, since an exposure was given; got their logarithm"
    ):
        collect([tmp_path], reading=Reading(exposure=tmp_path / "one.fits"))


@pytest.mark.parametrize("unit", ["", "count", "ct/s", "erg/s/cm2", "logical"])
def test_other_units_are_a_brightness(tmp_path: Path, unit: str) -> None:
    fits.PrimaryHDU(blob(), fits.Header({"BUNIT": unit})).writeto(tmp_path / "one.fits")
    assert read_maps(tmp_path / "one.fits")[0].scale == "brightness"


def test_magnitudes_are_refused(tmp_path: Path) -> None:
    fits.PrimaryHDU(blob(), fits.Header({"BUNIT": "mag / arcsec2"})).writeto(
        tmp_path / "one.fits"
    )
    with pytest.raises(DataError, match=r"the unit \(BUNIT\) of a brightness"):
        read_maps(tmp_path / "one.fits")


def test_a_picture_is_no_counts(tmp_path: Path) -> None:
    Image.fromarray((blob() * 255).astype(np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(
        DataError, match="counts, since an exposure was given; got a picture"
    ):
        collect([tmp_path], reading=Reading(exposure=tmp_path / "one.png"))


def test_hdf5_of_tng_cluster(tmp_path: Path) -> None:
    colours = (colour_map("inferno")[(blob() * 255).astype(int)] * 255).astype(np.uint8)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["Halo_12"] = colours
        file["Halo_7"] = blob()
        file["names"] = [b"a"]
    found = {one.name: one for one in read_maps(tmp_path / "maps.h5")}
    assert set(found) == {"Halo_12", "Halo_7"}
    np.testing.assert_allclose(found["Halo_12"].values, blob(), atol=0.01)
    assert not found["Halo_7"].is_picture


PROJECTIONS = np.stack(
    [blob(at=(24, 14)), blob(at=(14, 24)), blob(at=(33, 33))], axis=-1
)


def stored(path: Path, **values: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, one in values.items():
            file[name.replace("__", "/")] = one
    return path


@pytest.mark.parametrize("unit", [1e-8, 0.1, 3.0, 200.0, 1e6])
def test_three_planes_of_a_brightness_are_three_projections(
    tmp_path: Path, unit: float
) -> None:
    path = stored(tmp_path / "a.h5", Halo_7=PROJECTIONS * unit)
    found = read_maps(path)
    assert [one.name for one in found] == [
        "Halo_7_proj_0",
        "Halo_7_proj_1",
        "Halo_7_proj_2",
    ]
    for side, one in enumerate(found):
        assert one.scale == "brightness"
        np.testing.assert_array_equal(one.values, PROJECTIONS[..., side] * unit)


@pytest.mark.parametrize("white", [1.0, 255])
def test_three_planes_of_colours_are_a_picture(tmp_path: Path, white: float) -> None:
    colours = colour_map("inferno")[(blob() * 255).astype(int)]
    path = stored(
        tmp_path / "a.h5",
        Halo_7=(colours * white).astype(np.uint8 if white == 255 else np.float32),
    )
    (found,) = read_maps(path)
    assert (found.name, found.scale) == ("Halo_7", "grey")
    np.testing.assert_allclose(found.values, blob(), atol=0.01)


def test_what_planes_are_can_be_said(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.h5", Halo_7=PROJECTIONS)
    with pytest.raises(
        DataError, match=r"other colours.*'Halo_7'; pass --planes projections"
    ):
        read_maps(path)
    assert len(read_maps(path, "projections")) == 3
    colours = colour_map("magma")[(blob() * 255).astype(int)] * 255.0
    path = stored(tmp_path / "b.h5", Halo_8=colours)
    with pytest.raises(
        DataError,
        match=r"up to 255 in the colours of 'magma'; 'Halo_8'; pass --planes colour or",
    ):
        read_maps(path)
    assert len(read_maps(path, "projections")) == 3
    (found,) = read_maps(path, "colour")
    np.testing.assert_allclose(found.values, blob(), atol=0.01)
    with pytest.raises(DataError, match="auto, colour, projections; got 'rgb'"):
        read_maps(path, "rgb")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="three projections; got 4 planes"):
        read_maps(stored(tmp_path / "c.h5", Halo_9=np.ones((32, 32, 4)) * 1e3))
    with pytest.raises(DataError, match="finite pixels; got only NaN; 'Halo_9_proj_0'"):
        read_maps(stored(tmp_path / "c.h5", Halo_9=np.full((32, 32, 3), np.nan)))


@pytest.mark.parametrize("attribute", ["unit", "units", "BUNIT"])
@pytest.mark.parametrize("is_bytes", [False, True])
def test_logarithms_in_hdf5(tmp_path: Path, attribute: str, is_bytes: bool) -> None:
    logs = np.stack([0.1 + 0.5 * blob()] * 3, axis=-1)
    path = stored(
        tmp_path / "a.h5", Halo_1=logs[..., 0] - 9.0, Halo_2=logs, Halo_3=logs
    )
    with h5py.File(path, "a") as file:
        for name, unit in (("Halo_1", "log10"), ("Halo_2", "dex"), ("Halo_3", "mag")):
            file[name].attrs[attribute] = np.bytes_(unit) if is_bytes else unit
    found = collect([path], Framing(size=48, centre="middle"))
    assert found.names == ("Halo_1", "Halo_2_proj_0", "Halo_2_proj_1", "Halo_2_proj_2")
    np.testing.assert_allclose(found.values[0], logs[..., 0] - 9.0, atol=1e-9)
    np.testing.assert_allclose(found.values[1], logs[..., 0], atol=1e-9)
    assert "got 'mag'; 'Halo_3'" in found.problems[0]


def test_maps_in_groups_and_beside_bad_ones(tmp_path: Path) -> None:
    path = stored(
        tmp_path / "a.h5",
        Halo_1=blob(),
        Halo_2=blob() * np.nan,
        Halo_3=blob(),
        z0__Halo_4=blob(),
    )
    found = collect([path], Framing(size=32))
    assert found.names == ("Halo_1", "Halo_3", "z0/Halo_4")
    (told,) = found.problems
    assert told == f"{path}: expected finite pixels; got only NaN; 'Halo_2'"


def test_names_are_whole_stems(tmp_path: Path) -> None:
    for name in (
        "obs.1.fits",
        "obs.2.fits.gz",
        "0201-0.50-2.00keV_img.FIT",
        "snap_050_halo_123456_proj_0.fits",
    ):
        fits.PrimaryHDU(blob()).writeto(tmp_path / "made.fits")
        content = (tmp_path / "made.fits").read_bytes()
        (tmp_path / name).write_bytes(
            gzip.compress(content) if name.endswith("gz") else content
        )
        (tmp_path / "made.fits").unlink()
    found = collect([tmp_path], Framing(size=32))
    assert found.names == (
        "0201-0.50-2.00keV_img",
        "obs.1",
        "obs.2",
        "snap_050_halo_123456_proj_0",
    )


def test_a_name_twice_is_told(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray((blob() * 255).astype(np.uint8)).save(
            tmp_path / folder / "one.png"
        )
    found = collect([tmp_path], Framing(size=32))
    assert found.names == ("one",)
    assert str(tmp_path / "b/one.png") in found.problems[0]
    assert f"got 'one' again; first {tmp_path / 'a/one.png'}" in found.problems[0]


def test_suffixes_in_capitals_are_found(tmp_path: Path) -> None:
    Image.fromarray((blob() * 255).astype(np.uint8)).save(tmp_path / "UP.PNG")
    fits.PrimaryHDU(blob()).writeto(tmp_path / "X.FITS")
    (tmp_path / "notes.fits.txt").write_text("no map")
    (tmp_path / "folder.png").mkdir()
    assert collect([tmp_path], Framing(size=32)).names == ("UP", "X")


def write(path: Path, kind: str) -> Path:
    """A file that cannot be used."""
    if kind == "cut short":
        fits.PrimaryHDU(blob(), header()).writeto(path.with_suffix(".fits"))
        path.with_suffix(".fits").write_bytes(
            path.with_suffix(".fits").read_bytes()[:5000]
        )
    elif kind == "NaN":
        fits.PrimaryHDU(np.full((32, 32), np.nan)).writeto(path.with_suffix(".fits"))
    elif kind == "constant":
        fits.PrimaryHDU(np.ones((32, 32))).writeto(path.with_suffix(".fits"))
    elif kind == "one pixel":
        Image.fromarray(np.ones((1, 1), np.uint8)).save(path.with_suffix(".png"))
    elif kind == "no image":
        fits.HDUList([fits.PrimaryHDU()]).writeto(path.with_suffix(".fits"))
    elif kind == "wrong WCS":
        bad = header()
        bad["CDELT2"] = 5e-2
        fits.PrimaryHDU(blob(), bad).writeto(path.with_suffix(".fits"))
    elif kind == "broken WCS":
        bad = header()
        bad["CTYPE2"] = "RA---TAN"
        fits.PrimaryHDU(blob(), bad).writeto(path.with_suffix(".fits"))
    elif kind == "broken header":
        path.with_suffix(".fits").write_bytes(
            b"SIMPLE  =  nonsense".ljust(2880) + b"\0" * 2880
        )
    elif kind == "text":
        path.with_suffix(".png").write_text("no picture")
    elif kind == "odd HDF5":
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            file["Halo_1"] = np.ones((32, 32, 5))
    elif kind == "empty HDF5":
        with h5py.File(path.with_suffix(".h5"), "w"):
            pass
    return next(path.parent.glob(f"{path.name}.*"))


DAMAGE = {
    "cut short": "readable fits",
    "NaN": "finite pixels",
    "constant": "structure",
    "one pixel": "16 x 16",
    "no image": "an image",
    "wrong WCS": "square pixels",
    "broken WCS": "WCS",
    "broken header": "fits",
    "text": "readable picture",
    "odd HDF5": r"\(H, W, 3\)",
    "empty HDF5": "data sets",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_told_by_file_and_the_others_go_on(tmp_path: Path, kind: str) -> None:
    bad = write(tmp_path / "bad", kind)
    with pytest.raises(DataError, match=DAMAGE[kind]) as told:
        read_maps(bad)
    assert str(bad) in str(told.value)
    assert "\n" not in str(told.value)
    Image.fromarray((blob() * 255).astype(np.uint8)).save(tmp_path / "good.png")
    found = collect([tmp_path], Framing(size=32))
    assert found.names == ("good",)
    assert len(found.problems) == 1
    assert str(bad) in found.problems[0]


def edited(path: Path, line: int, card: bytes) -> Path:
    """A good file with another line in its header."""
    fits.PrimaryHDU(blob(), header()).writeto(path)
    content = bytearray(path.read_bytes())
    content[80 * line : 80 * (line + 1)] = card.ljust(80)
    path.write_bytes(content)
    return path


BROKEN = {
    "DEC": (
        {"CRVAL2": 200.0},
        r"a latitude \(CRVAL2, DEC--TAN\) in -90\.\.90 degrees; got 200; header",
    ),
    "CDELT": (
        {"CDELT1": 0.0},
        r"pixels of some size \(CDELT1, WCS\); got 0 degrees; header",
    ),
    "text": (
        {"CDELT1": "small"},
        r"a number as CDELT1 of its coordinates \(WCS\); got 'small'; header",
    ),
    "CUNIT": (
        {"CUNIT1": "Jy", "CUNIT2": "Jy"},
        "WCS.*; got In CUNIT1 : Mismatched units type 'plane angle'",
    ),
    "arcsec": (
        {"CDELT1": -3.6, "CDELT2": 3.6},
        r"10 arcmin; got pixels of 1\.3e\+04 .*; header \(CDELT, in degrees\)",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_coordinates_that_make_no_sense_are_told_in_words(
    tmp_path: Path, kind: str
) -> None:
    changes, line = BROKEN[kind]
    bad = header()
    bad.update(changes)
    fits.PrimaryHDU(blob(), bad).writeto(tmp_path / "a.fits")
    with pytest.raises(DataError, match=line) as told:
        read_maps(tmp_path / "a.fits")
    assert str(told.value).startswith(f"{tmp_path / 'a.fits'}: expected ")
    assert "wcsset" not in str(told.value)


def test_broken_lines_of_a_header_are_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a whole number as NAXIS1; got 'abc'"):
        read_maps(edited(tmp_path / "a.fits", 3, b"NAXIS1  =  'abc'"))
    with pytest.raises(
        DataError, match=r"ASCII text; got other bytes in line 6 \(CTYPE1\)"
    ):
        read_maps(edited(tmp_path / "b.fits", 5, b"CTYPE1  = \xff\xfe\x00"))
    fits.PrimaryHDU(blob(), header()).writeto(tmp_path / "c.fits")
    (tmp_path / "c.fits").write_bytes((tmp_path / "c.fits").read_bytes()[:5760])
    with pytest.raises(
        DataError,
        match="a readable fits file of 48 x 48 pixels; got 5760 bytes, cut short",
    ):
        read_maps(tmp_path / "c.fits")


def test_a_map_without_light_is_told(tmp_path: Path) -> None:
    fits.PrimaryHDU(-blob() - 1.0, header()).writeto(tmp_path / "a.fits")
    with pytest.raises(
        DataError,
        match="a positive brightness somewhere; got at most -1; 'a'; a logarithm needs",
    ):
        read_maps(tmp_path / "a.fits")


def test_a_malformed_header_that_is_read_is_told(tmp_path: Path) -> None:
    path = edited(tmp_path / "a.fits", 0, b"SIMPLE  = 'T       '           / conforms")
    found = collect([path], Framing(size=32))
    assert found.notes == (f"{path}: header's SIMPLE is text; read all the same",)
    assert not found.problems
    fits.PrimaryHDU(blob(), header()).writeto(tmp_path / "b.fits")
    assert not collect([tmp_path / "b.fits"], Framing(size=32)).notes


def test_other_kinds_missing_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a file of PNG.*'\.txt'"):
        read_maps(tmp_path / "a.txt")
    with pytest.raises(DataError, match="a file"):
        read_maps(tmp_path / "a.png")
    with pytest.raises(DataError, match="files of X-ray maps"):
        find_files([tmp_path])
    with pytest.raises(DataError, match="file or folder"):
        collect([tmp_path / "a.png"])
    (tmp_path / "a.png").write_text("none")
    (tmp_path / "b.png").write_text("none")
    with pytest.raises(DataError, match=r"at least one that can be read.*and 1 more"):
        collect([tmp_path])


@needs_maps
def test_all_tiles_of_tng_cluster_are_read() -> None:
    found = collect([MAPS / "tng_cluster_tiles"], Framing(size=64, centre="middle"))
    assert len(found.names) == 193
    assert not found.problems
    assert np.isfinite(found.values).all()


@needs_maps
def test_three_observations_of_one_cluster_look_alike() -> None:
    from scipy.ndimage import gaussian_filter

    framing = Framing(size=64, half_width=1.0, radius_kpc=1077.0, redshift=0.1669)
    seen = []
    for number in ("0201901401", "0201903501", "0404910601"):
        stem = MAPS / f"a907_xmm/{number}-0.50-2.00keVmerged"
        seen.append(
            collect(
                [f"{stem}_img.fits"],
                framing,
                Reading(exposure=Path(f"{stem}_expmap.fits")),
            ).values[0]
        )
    likeness = np.corrcoef(
        np.stack([gaussian_filter(one, 1.0).ravel() for one in seen])
    )
    assert likeness.min() > 0.9


@needs_maps
def test_rosat_counts_with_background_and_a_malformed_header() -> None:
    folder = MAPS / "a3158_rosat"
    framing = Framing(size=64, radius_kpc=1070.0, redshift=0.059, half_width=1.5)
    reading = Reading(
        exposure=folder / "expose_mask_37.fits.gz",
        background=folder / "back_37.fits.gz",
    )
    found = collect([folder / "b_37.fits.gz"], framing, reading)
    peak = np.unravel_index(found.values[0].argmax(), (64, 64))
    assert np.abs(np.array(peak) - 31.5).max() < 8
    (ideal,) = read_maps(MAPS / "the300/Xray.fits")
    assert ideal.values.shape == (640, 640)
    assert "SIMPLE is text" in ideal.notes[0]


def test_more_axes_than_fits_has_are_refused_at_once(tmp_path: Path) -> None:
    place = tmp_path / "map.fits"
    fits.PrimaryHDU(np.ones((24, 24), np.float32)).writeto(place)
    content = place.read_bytes()
    axes = b"NAXIS   =                    2"
    assert content.count(axes) == 1
    place.write_bytes(content.replace(axes, b"NAXIS   =        1000000000000"))
    with pytest.raises(DataError, match="NAXIS from 0 to 999; got 1000000000000"):
        read_fits(place, "map")


@pytest.mark.parametrize("number", [0, 1])
def test_a_negative_size_that_leads_back_for_ever_is_refused(
    tmp_path: Path, number: int
) -> None:
    place = tmp_path / "map.fits"
    plane = np.ones((24, 24), np.float32)
    fits.HDUList([fits.PrimaryHDU(plane), fits.ImageHDU(plane)]).writeto(place)
    content = place.read_bytes()
    height = b"NAXIS2  =                   24"
    parts = content.split(height)
    assert len(parts) == 3
    negative = b"NAXIS2  =                  -32"
    first, second = (height, negative) if number else (negative, height)
    place.write_bytes(parts[0] + first + parts[1] + second + parts[2])
    with pytest.raises(DataError, match=f"0 or more; .* header of HDU {number}"):
        read_fits(place, "map")
