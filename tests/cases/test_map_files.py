"""Public reports on files of maps: what values mean, marks, pictures, HDF5, which file is whose."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from cinn_clusters.errors import DataError
from cinn_clusters.xray.collect import Collection, Reading, collect
from cinn_clusters.xray.framing import Framing
from cinn_clusters.xray.image import MapUnit
from cinn_clusters.xray.read import read_maps
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
