"""Files of any layout are matched with anyone's tables; what could be meant in two ways is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.evaluation.matched import TruthFiles, match_ground_truth
from cinn_clusters.evaluation.own_tables import BY_ORDER, NO_CLUSTERS

N, S = 60, 40
NAMES = ["spin", "age"]
GALAXIES = np.array([f"g{number}" for number in range(N)])
RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(N, 2))
SAMPLES = TRUTH + 0.01 * RNG.normal(size=(S, N, 2))


@pytest.fixture
def truth_files(tmp_path: Path) -> TruthFiles:
    """Truths in another order than the samples."""
    truths = pd.DataFrame(TRUTH, columns=NAMES).assign(galaxy=GALAXIES)
    truths.sample(frac=1, random_state=1).to_csv(tmp_path / "y.csv", index=False)
    x = pd.DataFrame({"galaxy": GALAXIES, "lum": TRUTH[:, 0], "name": GALAXIES})
    x[::-1].to_csv(tmp_path / "x.csv", index=False)
    return TruthFiles(tmp_path / "y.csv", tmp_path / "x.csv")


def save(path: Path, **arrays: object) -> None:
    np.savez(path, **arrays)


def netcdf(path: Path, group: str | None, **variables: object) -> None:
    coordinates = {"galaxy": ("object_number", GALAXIES)}
    dataset = xr.Dataset(variables, coordinates)
    if "par" in dataset.dims:
        dataset = dataset.assign_coords(par=NAMES)
    dataset.to_netcdf(path, group=group, engine="h5netcdf")


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "sbi.npz": lambda path: save(path, samples=SAMPLES, targets=NAMES, galaxy=GALAXIES),
    "objects first.npz": lambda path: save(
        path, samples=SAMPLES.swapaxes(0, 1), parameters=NAMES, galaxy=GALAXIES
    ),
    "an array a target.npz": lambda path: save(
        path, spin=SAMPLES[..., 0], age=SAMPLES[..., 1], galaxy=GALAXIES
    ),
    "dims.npz": lambda path: save(
        path,
        samples=SAMPLES.transpose(2, 1, 0),
        targets=NAMES,
        dims=["target", "object", "draw"],
        galaxy=GALAXIES,
    ),
    "no group.nc": lambda path: netcdf(
        path, None, theta=(("draw", "object_number", "par"), SAMPLES)
    ),
    "arviz.nc": lambda path: netcdf(
        path,
        "posterior",
        spin=(("chain", "draw", "object_number"), SAMPLES[None, ..., 0]),
        age=(("object_number", "draw", "chain"), SAMPLES[..., 1].T[..., None]),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_object_meets_its_truth(
    layout: str, tmp_path: Path, truth_files: TruthFiles
) -> None:
    LAYOUTS[layout](tmp_path / layout)
    matched = match_ground_truth(tmp_path / layout, truth_files)
    assert matched.samples.shape == (S, N, 2)
    assert set(matched.objects.targets) == set(NAMES)
    assert matched.objects.observables == ("lum",)
    assert np.abs(matched.samples.mean(axis=0) - matched.objects.theta).max() < 0.01
    table = matched.objects.table
    np.testing.assert_allclose(table["lum"], table["spin"], rtol=0, atol=1e-12)
    assert matched.notes == (NO_CLUSTERS,)


def test_one_target_and_no_observables(tmp_path: Path, truth_files: TruthFiles) -> None:
    save(tmp_path / "a.npz", age=SAMPLES[..., 1], galaxy=GALAXIES)
    matched = match_ground_truth(tmp_path / "a.npz", TruthFiles(truth_files.targets))
    assert matched.samples.shape == (S, N, 1)
    assert matched.objects.observables == ()


def test_truths_without_keys_are_taken_in_order(tmp_path: Path) -> None:
    pd.DataFrame(TRUTH, columns=NAMES).to_csv(tmp_path / "y.csv", index=False)
    save(tmp_path / "a.npz", samples=SAMPLES, targets=NAMES)
    matched = match_ground_truth(tmp_path / "a.npz", TruthFiles(tmp_path / "y.csv"))
    np.testing.assert_allclose(matched.objects.theta, TRUTH, rtol=0, atol=1e-12)
    assert matched.notes == (BY_ORDER, NO_CLUSTERS)


REFUSED = {
    "as many draws as objects": (
        {
            "samples": np.repeat(SAMPLES, 2, axis=0)[:N],
            "targets": NAMES,
            "galaxy": GALAXIES,
        },
        "which axis is of objects does not show; write an array samples",
    ),
    "no names of targets": (
        {"samples": SAMPLES, "galaxy": GALAXIES},
        "expected names of the 2 targets of samples; got none; write",
    ),
    "no keys, while the truths have some": (
        {"samples": SAMPLES, "targets": NAMES},
        r"expected keys that are columns of .*\(galaxy\); got none",
    ),
    "keys of other lengths": (
        {"samples": SAMPLES, "targets": NAMES, "galaxy": GALAXIES, "z": np.zeros(3)},
        "expected keys with an entry an object; got galaxy of 60, z of 3",
    ),
    "an object twice": (
        {"samples": SAMPLES, "targets": NAMES, "galaxy": np.append(GALAXIES[1:], "g1")},
        "expected each object once by galaxy; got 1 repeated",
    ),
    "other targets": (
        {"samples": SAMPLES, "targets": ["u", "v"], "galaxy": GALAXIES},
        "expected variables that are columns of",
    ),
    "other objects": (
        {"samples": SAMPLES, "targets": NAMES, "galaxy": np.char.add(GALAXIES, "x")},
        "expected objects with a known history; got none in common",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_be_meant_in_two_ways_is_refused(
    case: str, tmp_path: Path, truth_files: TruthFiles
) -> None:
    arrays, message = REFUSED[case]
    save(tmp_path / "a.npz", **arrays)
    with pytest.raises((BundleError, DataError), match=message):
        match_ground_truth(tmp_path / "a.npz", truth_files)


def test_two_keys_ask_which_rows_are_one_cluster(tmp_path: Path) -> None:
    keys = {"halo": np.arange(N) // 2, "snap": np.arange(N) % 2}
    truths = pd.DataFrame(TRUTH, columns=NAMES).assign(**keys)
    truths.to_csv(tmp_path / "y.csv", index=False)
    save(tmp_path / "a.npz", samples=SAMPLES, targets=NAMES, **keys)
    files = TruthFiles(tmp_path / "y.csv")
    with pytest.raises(DataError, match="pass --cluster-column, such as halo"):
        match_ground_truth(tmp_path / "a.npz", files)
    schema = files.schema.choose(cluster="halo")
    files = TruthFiles(tmp_path / "y.csv", schema=schema)
    assert match_ground_truth(tmp_path / "a.npz", files).num_clusters == N // 2
