"""Public reports on files of maps: what values mean, marks, pictures, HDF5, which file is whose."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
from dataclasses import replace
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import pytest
from astropy.io import fits
from matplotlib import pyplot
from PIL import Image

from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.maps.real_maps import store_files
from cinn_clusters.storage.map_store import read_store
from cinn_clusters.xray.collect import Collection, Reading, collect
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.image import MapUnit, XrayMap
from cinn_clusters.xray.read import read_companion, read_maps
from cinn_clusters.xray.values import stated_unit
from support import Command
from xray_files import blob

FRAMING = Framing(size=48, centre="middle")
CLUSTER = 1e-4 + blob()
"""A cluster on its background."""


def fits_map(path: Path, values: np.ndarray, unit: str = "") -> Path:
    """A FITS file, with a unit or without."""
    header = fits.Header({"BUNIT": unit}) if unit else None
    fits.PrimaryHDU(values, header).writeto(path)
    return path


def hdf5_map(path: Path, values: np.ndarray, **attributes: object) -> Path:
    """An HDF5 file of one map."""
    with h5py.File(path, "w") as file:
        file["Halo_7"] = values
        file["Halo_7"].attrs.update(attributes)
    return path


def read(path: Path, unit: MapUnit | None = None) -> Collection:
    return collect([path], FRAMING, Reading(unit=unit))


LOGARITHMS = {
    "erg/s/kpc2": 36.0 + np.log10(CLUSTER),
    "on a background": 32.0 + 4.0 * blob(),
    "of few decades": 36.2 + 0.3 * np.log10(CLUSTER),
    "across zero": 1.5 + np.log10(CLUSTER),
    "0 where empty": np.where(CLUSTER > 2e-4, 36.0 + np.log10(CLUSTER), 0.0),
    "-9999 where empty": np.where(CLUSTER > 2e-4, 36.0 + np.log10(CLUSTER), -9999.0),
    "of counts": np.log10(1.0 + np.random.default_rng(0).poisson(50.0 * blob())),
    "of Msun/kpc2": 9.0 + 0.7 * np.log10(CLUSTER),
}


@pytest.mark.parametrize("kind", LOGARITHMS)
@pytest.mark.parametrize("write", [fits_map, hdf5_map])
def test_case_127y_logarithms_without_a_unit(
    tmp_path: Path, kind: str, write: object, command: Command
) -> None:
    suffix = {fits_map: "fits", hdf5_map: "h5"}[write]  # type: ignore[index]
    path = write(tmp_path / f"m.{suffix}", LOGARITHMS[kind])  # type: ignore[operator]
    line = f"maps {path} --size 48 --centre middle --out {tmp_path / 'out.h5'}"
    command(line).demand_error(
        "values may be logarithms", "--unit log10, or --unit brightness"
    )
    values = LOGARITHMS[kind]
    is_used = values > -99.0 if "empty" in kind else values > -np.inf
    if kind == "0 where empty":
        is_used = values > 0.0
    result = read(path, "log10").values[0]
    shown = np.maximum(values, values.max() - 5.0)
    np.testing.assert_allclose(result[is_used], shown[is_used], atol=1e-6)


LINEAR = {
    "noise": 10.0 * blob() + np.random.default_rng(0).normal(0.0, 0.3, (48, 48)),
    "counts": np.random.default_rng(0).poisson(10.0 * blob() + 1.0).astype(float),
    "rate": np.random.default_rng(0).poisson(10.0 * blob() + 0.3) / 2.5,
    "tiny": 1e-7 * CLUSTER + 2e-7,
    "huge": 1e35 * (1.0 + CLUSTER),
    "faint": 0.2 + 1.3 * blob(),
}


@pytest.mark.parametrize("kind", LINEAR)
def test_a_brightness_is_not_asked_about(tmp_path: Path, kind: str) -> None:
    assert len(read(fits_map(tmp_path / "m.fits", LINEAR[kind])).values) == 1


@pytest.mark.parametrize(
    ("unit", "quantity"),
    [
        ("log10erg s-1", "log10"),
        ("LOG10_COUNTS", "log10"),
        ("erg/s/kpc2 (log10)", "log10"),
        ("logcounts", "log10"),
        ("10log(ct)", "log10"),
        ("counts", "counts"),
        ("ph / pixel", "counts"),
        ("ct/s", "rate"),
        ("count s-1 arcmin-2", "rate"),
        ("photons/cm**2/s/pixel", "rate"),
        ("counts ks^-1", "rate"),
        ("erg/s/cm2", "brightness"),
        ("catalogue units", "brightness"),
        ("", None),
    ],
)
def test_units(unit: str, quantity: str | None) -> None:
    assert stated_unit(unit) == quantity


@pytest.mark.parametrize("unit", ["sqrt(counts)", "arcsinh", "ln(ct)", "log2", "dB"])
def test_other_functions_are_refused(tmp_path: Path, unit: str) -> None:
    path = fits_map(tmp_path / "m.fits", CLUSTER, unit)
    with pytest.raises(DataError, match=r"brightness or of its log10; got '.*; 'm'"):
        read_maps(path)


def test_the_unit_of_the_user_is_believed_and_said(tmp_path: Path) -> None:
    path = fits_map(tmp_path / "m.fits", 5.0 + np.log10(CLUSTER), "counts")
    result = read(path, "log10")
    np.testing.assert_allclose(result.values[0], 5.0 + np.log10(CLUSTER), atol=1e-9)
    assert result.notes == (f"{path}: taken as log10, though its unit is counts",)


def test_a_linear_map_under_the_unit_of_a_logarithm(tmp_path: Path) -> None:
    path = fits_map(tmp_path / "m.fits", 1e30 * CLUSTER, "log10")
    with pytest.raises(DataError, match=r"of log10; got up to 1.*e\+30.*--unit bright"):
        read(path)


@pytest.mark.parametrize("mark", [-99.0, -999.0, -9999.0, -1.0, -1e30, 1e20, 3.4e38])
@pytest.mark.parametrize("unit", ["", "log10"])
def test_marks_are_not_observed(tmp_path: Path, mark: float, unit: str) -> None:
    values = np.log10(CLUSTER) - 9.0 if unit else 20.0 * CLUSTER
    marked = values.copy()
    if mark == -1.0 and unit:
        mark = -30.0
    if mark == 3.4e38:
        mark = float(np.finfo(np.float32).max)
    marked[:6] = mark
    path = fits_map(tmp_path / "m.fits", marked.astype(np.float32), unit)
    result = read(path)
    assert f"288 pixels of {mark:g} were taken as not observed" in result.notes[0]
    (image,) = read_maps(path)
    assert np.isnan(image.values[:6]).all()
    np.testing.assert_allclose(image.values[6:], values[6:], rtol=1e-6)


@pytest.mark.parametrize("low", [-0.3, -99.0])
def test_negative_noise_and_floors_are_no_marks(tmp_path: Path, low: float) -> None:
    noise = np.random.default_rng(1).normal(0.0, 60.0, (48, 48))
    values = np.maximum(1e3 * blob() + noise, low)
    (image,) = read_maps(fits_map(tmp_path / "m.fits", values))
    np.testing.assert_array_equal(image.values, values)
    assert not image.notes


def test_names_of_data_sets_say_logarithm(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name in ("xray_log10", "logSB", "log_lum"):
            file[name] = np.log10(CLUSTER)
        file["catalog"] = file["Dialog"] = CLUSTER
    scales = {image.name: image.scale for image in read_maps(tmp_path / "m.h5")}
    logs = dict.fromkeys(("xray_log10", "logSB", "log_lum"), "log10")
    assert scales == logs | {"catalog": "brightness", "Dialog": "brightness"}


def as_bytes(levels: np.ndarray, white: int = 255) -> np.ndarray:
    return np.rint(levels * white).astype(np.uint8 if white == 255 else np.uint16)


def in_colours(levels: np.ndarray, name: str) -> np.ndarray:
    return as_bytes(matplotlib.colormaps[name](levels)[..., :3])


def saved(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> XrayMap:
    """The map of a picture."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    (image,) = read_maps(path)
    return XrayMap(image.name, image.values[::-1], image.scale, path, notes=image.notes)


LEVELS = np.clip(1.0 + np.log10(blob(96, (48.0, 44.0), 12.0) + 1e-4) / 4.5, 0.02, 0.95)
"""A cluster as a picture shows it."""


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_case_131b_deep_pictures_are_scaled_as_others(
    tmp_path: Path, suffix: str
) -> None:
    half = 0.5 * LEVELS
    shallow = saved(tmp_path / "a.png", as_bytes(half))
    deep = saved(tmp_path / f"b.{suffix}", as_bytes(half, 65535))
    np.testing.assert_allclose(deep.values, shallow.values, atol=0.003)
    np.testing.assert_allclose(deep.values, half, atol=1e-5)
    twelve = saved(tmp_path / f"c.{suffix}", as_bytes(LEVELS / LEVELS.max(), 4095))
    assert "4095 of 65535: multiply it by 16 if these are 12 bits" in twelve.notes[0]
    np.testing.assert_allclose(twelve.values.max(), 4095 / 65535)


@pytest.mark.parametrize(
    "name", ["viridis", "inferno", "gist_heat", "hot", "gray", "jet"]
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_case_132b_colour_maps_are_inverted_by_position(
    tmp_path: Path, name: str, suffix: str
) -> None:
    image = saved(tmp_path / f"m.{suffix}", in_colours(LEVELS, name))
    error = np.abs(image.values - LEVELS)
    assert error.mean() < (0.003 if suffix == "png" else 0.025)


@pytest.mark.parametrize("name", ["gray_r", "inferno_r", "viridis_r", "bone_r"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_case_132c_reversed_colour_maps_are_inverted_and_said(
    tmp_path: Path, name: str, suffix: str
) -> None:
    image = saved(tmp_path / f"m.{suffix}", in_colours(LEVELS, name))
    assert np.abs(image.values - LEVELS).mean() < 0.03
    base = "grey" if name == "gray_r" else name[:-2]
    assert f"read in the reversed map '{base}_r'" in image.notes[0]
    deep = saved(tmp_path / "d.png", as_bytes(1.0 - LEVELS, 65535))
    np.testing.assert_allclose(deep.values, LEVELS, atol=1e-4)


@pytest.mark.parametrize("opacity", [0, 255])
@pytest.mark.parametrize("name", ["inferno", "gray", "gray_r"])
def test_case_132c_borders_are_cut_off(
    tmp_path: Path, opacity: int, name: str, command: Command
) -> None:
    inside = np.dstack([in_colours(LEVELS, name), np.full((96, 96), 255, np.uint8)])
    whole = np.full((224, 224, 4), 255, np.uint8)
    whole[..., 3] = opacity
    whole[64:160, 60:156] = inside
    image = saved(tmp_path / "m.png", whole)
    if name == "gray_r" and opacity:
        pytest.skip("fades into the border")
    np.testing.assert_allclose(image.values, LEVELS, atol=0.01)
    assert "border was cut off (224 x 224 to 96 x 96 pixels)" in image.notes[0]
    line = f"maps {tmp_path / 'm.png'} --centre peak --out {tmp_path / 'out.h5'}"
    assert command(line).code == 0


@pytest.mark.parametrize("name", ["inferno", "gray", "gray_r", "viridis"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("has_bar", [False, True])
def test_case_132c_figures_with_axes_are_named(
    tmp_path: Path, name: str, suffix: str, has_bar: bool, command: Command
) -> None:
    figure, axes = pyplot.subplots(figsize=(4.0, 3.0))
    shown = axes.imshow(LEVELS, cmap=name, origin="lower", vmin=0.0, vmax=1.0)
    if has_bar:
        figure.colorbar(shown)
    axes.set_xlabel("x [kpc]")
    figure.savefig(tmp_path / f"m.{suffix}", dpi=80)
    pyplot.close(figure)
    line = f"maps {tmp_path / f'm.{suffix}'} --out {tmp_path / 'out.h5'}"
    command(line).demand_error("a figure with axes or text?; crop it to the map")


def test_transparent_pixels_are_gaps(tmp_path: Path) -> None:
    y, x = np.indices((96, 96)) - 47.5
    opacity = np.where(np.hypot(y, x) < 44.0, 255, 0).astype(np.uint8)
    for mode, colours in (
        ("LA", as_bytes(LEVELS)),
        ("RGBA", in_colours(LEVELS, "hot")),
    ):
        picture = Image.fromarray(np.dstack([colours, opacity]), mode)
        image = saved(tmp_path / f"{mode}.png", picture)
        gaps = np.isnan(image.values)
        assert image.values.shape == (88, 88)
        np.testing.assert_array_equal(gaps, opacity[4:92, 4:92] == 0)
        np.testing.assert_allclose(
            image.values[~gaps], LEVELS[4:92, 4:92][~gaps], atol=0.01
        )
        assert "transparent pixels were taken as not observed" in image.notes[-1]


def test_modes_of_pictures(tmp_path: Path) -> None:
    grey = Image.fromarray(as_bytes(LEVELS))
    inferno = Image.fromarray(in_colours(LEVELS, "inferno"))
    palette = inferno.quantize(256)
    for name, picture in {
        "palette.png": palette,
        "cmyk.jpg": grey.convert("CMYK"),
        "ycck.tif": inferno.convert("CMYK"),
        "grey.gif": grey,
        "progressive.jpg": inferno,
    }.items():
        image = saved(tmp_path / name, picture)
        assert np.abs(image.values - LEVELS).mean() < 0.02, name
    several = {"save_all": True, "append_images": [grey.rotate(90)]}
    image = saved(tmp_path / "two.gif", grey, **several)
    assert "several pictures in one file: the first was read" in image.notes[0]
    np.testing.assert_allclose(image.values, LEVELS, atol=0.01)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = saved(tmp_path / "turned.jpg", grey.rotate(90), exif=exif, quality=98)
    assert np.abs(image.values - LEVELS).mean() < 0.01
    assert "turned as its orientation (Exif) says" in image.notes[0]
    floats = saved(tmp_path / "float.tif", (1e3 * CLUSTER).astype(np.float32))
    assert floats.scale == "brightness"
    np.testing.assert_allclose(floats.values, 1e3 * CLUSTER, rtol=1e-6)
    with pytest.raises(DataError, match=r"black and white only \(1 bit a pixel\)"):
        saved(tmp_path / "two.png", grey.convert("1"))


@pytest.mark.parametrize("kind", ["png", "tif", "gif"])
def test_a_small_file_of_a_huge_picture_is_refused(
    tmp_path: Path, kind: str, command: Command
) -> None:
    side = 9000
    Image.new("L", (side, side)).save(tmp_path / f"m.{kind}")
    tracemalloc.start()
    line = f"maps {tmp_path / f'm.{kind}'} --out {tmp_path / 'out.h5'}"
    command(line).demand_error("at most 5792 x 5792 pixels; got 9000 x 9000")
    assert tracemalloc.get_traced_memory()[1] < 5e7
    tracemalloc.stop()


def test_a_unit_of_a_picture_is_refused(tmp_path: Path) -> None:
    Image.fromarray(as_bytes(LEVELS)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"since --unit log10 was given; got a picture"):
        read(tmp_path / "m.png", "log10")


def test_case_123c_no_file_is_passed_over_without_a_word(
    tmp_path: Path, command: Command
) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    content = fits_map(folder / "m.fits", CLUSTER).read_bytes()
    compressed = fits.CompImageHDU((1e3 * CLUSTER).astype(np.float32))
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(folder / "m2.fits.fz")
    (folder / "b.img").write_bytes(content)
    (folder / "c.fits.bz2").write_bytes(bz2.compress(content))
    (folder / "d.fits.xz").write_bytes(lzma.compress(content))
    (folder / "e.dat").write_bytes(content)
    (folder / "f.ftz").write_bytes(gzip.compress(content))
    out = tmp_path / "out.h5"
    result = command(f"maps {folder} --out {out} --json")
    assert '"maps": 7' in result.out
    assert '"left_out": 0' in result.out
    assert list(read_store(out).table.filename) == ["b", "c", "d", "e", "f", "m", "m2"]
    (folder / "README.md").write_text("notes")
    np.save(folder / "values.npy", CLUSTER)
    (folder / "link.fits").symlink_to(tmp_path / "nowhere.fits")
    (folder / ".hidden.png").write_text("none")
    exposure = fits_map(folder / "exposure.fits", np.full((48, 48), 1e3))
    options = f"--exposure {exposure} --overwrite --json --unit counts"
    options += " --centre middle --keep-sources"
    result = command(f"maps {folder} --out {out} {options}")
    assert "README.md, exposure.fits, values.npy" in result.err
    assert "link.fits: expected a file; got none" in result.err
    assert '"left_out": 4' in result.out, result.err


def test_one_object_in_two_formats_is_one_map(tmp_path: Path) -> None:
    fits_map(tmp_path / "m.fits", CLUSTER)
    Image.fromarray(as_bytes(LEVELS)).save(tmp_path / "m.png")
    result = collect([tmp_path], FRAMING)
    assert result.names == ("m",)
    assert (
        "m.png: expected a name of its own for each map; got 'm' again"
        in (result.problems[0])
    )


def projections(path: Path, **further: object) -> Path:
    """A file of projections of haloes, with what stands beside them."""
    with h5py.File(path, "w") as file:
        for halo in (12, 7, 252455):
            file[f"Halo_{halo}"] = 1e35 * CLUSTER
        for name, values in further.items():
            file[name] = values
    return path


TNG = "gas-xray_lum_0.5-2.0kev_099_2r200_d=r200.hdf5"
R500C, R200C = np.array([600.0, 1000.0, 1300.0]), np.array([1000.0, 1500.0, 2000.0])


def test_case_171b_each_halo_is_cut_at_its_radius(
    tmp_path: Path, command: Command
) -> None:
    path = projections(tmp_path / TNG, r500c=R500C, r200c=R200C)
    out = tmp_path / "out.h5"
    size = "--size 32 --half-width 1 --centre middle"
    result = command(f"maps {path} {size} --out {out}")
    assert "R500 of each of 3 haloes in the order of their numbers" in result.err
    store = read_store(out)
    assert store.half_width == 1.0
    assert store.table[["HaloID", "Snapshot", "Projection"]].to_numpy().tolist() == [
        [12, 99, 0],
        [252455, 99, 0],
        [7, 99, 0],
    ]
    for halo, r500, r200 in zip((7, 12, 252455), R500C, R200C, strict=True):
        framing = Framing(
            size=32,
            half_width=1.0,
            centre="middle",
            radius_kpc=r500,
            pixel_kpc=r200 / 24,
        )
        alone = hdf5_map(tmp_path / f"{halo}.h5", 1e35 * CLUSTER)
        row = store.table.HaloID.tolist().index(halo)
        np.testing.assert_allclose(
            store.values[row], collect([alone], framing).values[0], atol=1e-4
        )
    for options in ("--radius 1000 --pixel-kpc 40", "--radius 1000 --redshift 0.1"):
        command(f"maps {path} {size} {options} --out {out} --overwrite").demand_error(
            "the R500 of its file ('r500c'", "leave --radius out"
        )


def test_radii_of_a_file_and_the_size_of_pixels(tmp_path: Path) -> None:
    ids = np.array([252455, 7, 12])
    path = projections(tmp_path / "m.h5", r500c=R500C, haloIDs=ids)
    framing = Framing(size=32, half_width=1.0, centre="middle", pixel_kpc=60.0)
    result = collect([path], framing)
    alone = hdf5_map(tmp_path / "a.h5", 1e35 * CLUSTER)
    for halo, r500 in zip(ids, R500C, strict=True):
        expected = collect([alone], replace(framing, radius_kpc=float(r500)))
        row = result.names.index(f"Halo_{halo}")
        np.testing.assert_allclose(result.values[row], expected.values[0], atol=1e-9)
    assert not collect([path], replace(framing, pixel_kpc=None)).is_scaled
    with pytest.raises(DataError, match="an R500 in kpc, since the size of pixels was"):
        collect([alone], framing)
    wrong = projections(tmp_path / "w.h5", r500c=R500C[:2])
    with pytest.raises(DataError, match="each of 3 haloes; got 2 values; 'r500c'"):
        collect([wrong])


def test_case_143b_each_link_is_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file["a"] = CLUSTER
        file["deep/b"] = 2.0 * CLUSTER
        file["soft"] = h5py.SoftLink("/nowhere")
        file["outside"] = h5py.ExternalLink("none.h5", "/x")
        file["deep/again"] = file["deep"]
        file["hard"] = file["a"]
        file["loop"] = h5py.SoftLink("/loop")
        file["words"] = np.array([[b"a", b"b"]])
        file["complex"] = CLUSTER.astype(complex)
        file["four"] = np.ones((2, 2, 3, 3))
        file["one"], file["number"] = np.arange(5.0), 3.0
        file["empty"] = h5py.Empty("f")
        file.create_dataset("huge", (60000, 60000), "f4", chunks=True)
    result = collect([path], FRAMING)
    assert result.names == ("a", "deep/b")
    problems = " | ".join(result.problems)
    for fault in (
        "a broken link to '/nowhere'; 'soft'",
        "a broken link to '/x' of none.h5; 'outside'",
        "a further link to 'deep'; 'deep/again'",
        "a further link to 'a'; 'hard'",
        "a broken link to '/loop'; 'loop'",
        "got |S1; 'words'",
        "got complex128; 'complex'",
        "got (2, 2, 3, 3); 'four'",
        "got 60000 x 60000; 'huge'",
    ):
        assert fault in problems
    assert len(result.problems) == 9


def test_case_142b_logarithms_keep_their_precision(tmp_path: Path) -> None:
    logs = 36.0 + np.log10(CLUSTER)
    path = hdf5_map(tmp_path / "m.h5", logs, unit="log erg/s/kpc2")
    store_files([path], Destination(tmp_path / "out.h5"), FRAMING)
    (values,) = read_store(tmp_path / "out.h5").values
    np.testing.assert_allclose(values, logs, atol=1e-5)
    coarse = hdf5_map(tmp_path / "c.h5", logs.astype(np.float16), unit="log10")
    (note,) = read(coarse).notes
    assert "'Halo_7' is stored as float16, in steps of 0.031 at 36" in note


def test_units_and_marks_in_attributes(tmp_path: Path) -> None:
    logs = np.log10(CLUSTER) - 9.0
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a/x"] = logs
        file["a"].attrs["units"] = np.array([b"dex(erg/s)"])
        file["b/x"] = logs
        file["b/x"].attrs["log10"] = True
        file["c/x"] = np.where(CLUSTER > 1e-3, CLUSTER, 5.0)
        file["c/x"].attrs["_FillValue"] = 5.0
    images = {image.name: image for image in read_maps(tmp_path / "m.h5")}
    assert images["a/x"].scale == images["b/x"].scale == "log10"
    np.testing.assert_array_equal(np.isnan(images["c/x"].values), CLUSTER <= 1e-3)


def test_case_172_a_table_says_whose_maps_are(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    three = np.stack([CLUSTER, 2.0 * CLUSTER, 3.0 * CLUSTER], axis=-1)
    hdf5_map(folder / "m.h5", 1e6 * three)
    table = tmp_path / "names.csv"
    rows = ["map,HaloID,Snapshot,Projection"]
    rows += [f"Halo_7_proj_{axis},7,67,{axis}" for axis in range(3)]
    table.write_text("\n".join([*rows, "gone,8,67,0"]) + "\n")
    out = tmp_path / "out.h5"
    result = command(f"maps {folder} --names {table} --size 32 --out {out}")
    assert "names.csv: 1 rows without a map, first 'gone'" in result.err
    store = read_store(out)
    keys = store.table[["HaloID", "Snapshot", "Projection"]].to_numpy().tolist()
    assert keys == [[7, 67, 0], [7, 67, 1], [7, 67, 2]]

    # A store that was made without the table is called anew.
    plain, renamed = tmp_path / "plain.h5", tmp_path / "renamed.h5"
    assert command(f"maps {folder} --size 32 --out {plain}").code == 0
    assert next(iter(read_store(plain).table.filename)) == "Halo_7_proj_0"
    assert command(f"maps {plain} --names {table} --out {renamed}").code == 0
    assert read_store(renamed).table.equals(store.table)


def test_a_table_gives_each_map_its_scale(tmp_path: Path, command: Command) -> None:
    for name in ("one", "two", "three"):
        fits_map(tmp_path / f"{name}.fits", CLUSTER)
    table = tmp_path / "names.csv"
    table.write_text(
        "filename,object,z,R500\none.fits,A0085,0.05,900\ntwo.fits,007,0.2,1200\n"
    )
    files = " ".join(str(tmp_path / f"{name}.fits") for name in ("one", "two"))
    scale = "--pixel-arcsec 40 --size 32 --half-width 1 --centre middle"
    line = f"maps {files} --names {table} {scale} --out {tmp_path / 'out.h5'}"
    assert command(line).code == 0
    store = read_store(tmp_path / "out.h5")
    assert list(store.table.filename) == ["A0085", "007"]
    framing = Framing(size=32, half_width=1.0, centre="middle", pixel_arcsec=40.0)
    for row, name, z, r500 in ((0, "one", 0.05, 900.0), (1, "two", 0.2, 1200.0)):
        alone = replace(framing, radius_kpc=r500, redshift=z)
        expected = collect([tmp_path / f"{name}.fits"], alone).values[0]
        np.testing.assert_allclose(store.values[row], expected, atol=1e-5)
    line = line.replace("--out", f"{tmp_path / 'three.fits'} --overwrite --out")
    result = command(line)
    assert "three.fits: expected an R500, as other maps have; got none" in result.err
    assert len(read_store(tmp_path / "out.h5").values) == 2


def test_a_name_says_logarithm_only_of_values_that_may_be(tmp_path: Path) -> None:
    linear = fits_map(tmp_path / "a907_log.fits", 1e-5 * CLUSTER)
    assert read_maps(linear)[0].scale == "brightness"
    logs = fits_map(tmp_path / "log_a907.fits", 32.0 + np.log10(CLUSTER))
    (image,) = read_maps(logs)
    assert image.scale == "log10"
    assert image.notes == (f"{logs}: taken as log10, as its name says",)


def test_the_logarithm_of_no_light_is_dark(tmp_path: Path) -> None:
    with np.errstate(divide="ignore"):
        logs = np.log10(np.where(CLUSTER > 2e-2, CLUSTER, 0.0))
    result = read(fits_map(tmp_path / "m.fits", logs, "log10"))
    expected = np.maximum(logs, logs.max() - 5.0)
    np.testing.assert_allclose(result.values[0], expected, atol=1e-9)


def test_a_map_of_gaps_says_where_they_come_from(tmp_path: Path) -> None:
    path = fits_map(tmp_path / "m.fits", np.where(CLUSTER > 2e-2, CLUSTER, -1.0))
    with pytest.raises(DataError, match=r"half of the frame.*pixels of -1 were taken"):
        read(path)


def test_packed_values_are_unpacked(tmp_path: Path) -> None:
    """netCDF packs a brightness into whole numbers: value = stored * scale_factor + add_offset."""
    packed = np.round(CLUSTER / 2e-4).astype(np.int32)
    packed[:3] = -1
    attributes = {"scale_factor": 2e-4, "add_offset": [0.5], "_FillValue": -1}
    (image,) = read_maps(hdf5_map(tmp_path / "m.h5", packed, **attributes))
    assert np.isnan(image.values[:3]).all()
    np.testing.assert_allclose(image.values[3:], 0.5 + CLUSTER[3:], atol=2e-4)


def test_errors_and_exposures_beside_a_map_are_no_maps(tmp_path: Path) -> None:
    """As in a FITS file of several images, and the one that is asked for is taken by its name."""
    path, mask = tmp_path / "m.h5", np.zeros(CLUSTER.shape)
    mask[:5] = 1.0
    with h5py.File(path, "w") as file:
        file["obs/img"], file["obs/img_err"] = CLUSTER, np.sqrt(CLUSTER)
        file["obs/mask"], file["exposure"] = mask, 1e4 + CLUSTER
    result = collect([path], FRAMING)
    assert result.names == ("obs/img",)
    assert len(result.problems) == 3
    for name in ("obs/img_err", "obs/mask", "exposure"):
        assert any(f"by its name; '{name}'" in fault for fault in result.problems)
    np.testing.assert_array_equal(read_companion(path, "mask").values, mask)
    np.testing.assert_array_equal(read_companion(path).values, 1e4 + CLUSTER)
    with pytest.raises(DataError, match="one image that can be the background; got 4"):
        read_companion(path, "background")
    alone = tmp_path / "alone.h5"
    with h5py.File(alone, "w") as file:
        file["model"] = CLUSTER
    assert collect([alone], FRAMING).names == ("model",)
