"""The posterior file: all groups, in every reader that people use, whole or absent."""

from __future__ import annotations

from pathlib import Path

import arviz
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cinn_clusters.storage.posterior_file import (
    SampleLayout,
    read_index,
    read_log_prob,
    read_samples,
    sample_writer,
)

TARGETS = ("last_T_coll", "last_V_coll")
KEYS = {"HaloOrigID": [3, 4, 5], "HaloID": [7, 8, 9], "Snapshot": [99, 99, 50]}
NAMES = {"object": ["Bullet", "Пуля", ""]}
SAMPLES = np.random.default_rng(0).normal(size=(10, 3, 2)).astype(np.float32)


def written(folder: Path, *, has_densities: bool = True) -> Path:
    layout = SampleLayout(
        TARGETS,
        len(SAMPLES),
        pd.DataFrame({**KEYS, **NAMES}, index=[0, 2, 5]),
        {"seed": 4},
        {
            "Group_M_Crit500": np.array([14.5, np.nan, 15.0]),
            "sigma_Group_M_Crit500": np.zeros(3),
        },
        SAMPLES[0].astype(float),
        has_densities=has_densities,
    )
    with sample_writer(folder / "a.nc", layout) as writer:
        writer.put(slice(0, 2), SAMPLES[:, :2])
        writer.put(slice(2, 3), SAMPLES[:, 2:])
        if has_densities:
            writer.put_log_prob(slice(0, 3), SAMPLES[:5, :, 0], SAMPLES[0, :, 1])
    return folder / "a.nc"


def test_arviz_reads_every_group(tmp_path: Path) -> None:
    data = arviz.from_netcdf(written(tmp_path))
    assert set(data.groups()) == {
        "posterior",
        "sample_stats",
        "constant_data",
        "ground_truth",
    }
    assert arviz.summary(data, var_names=["last_T_coll"]).shape[0] == 3
    for group in data.groups():
        assert {*KEYS, "object"} <= set(data[group].coords)
        assert data[group].coords["HaloID"].to_numpy().tolist() == KEYS["HaloID"]
        assert data[group].coords["cluster"].to_numpy().tolist() == [0, 2, 5]


def test_it_opens_as_a_tree_with_keys_in_every_group(tmp_path: Path) -> None:
    with xr.open_datatree(written(tmp_path), engine="h5netcdf") as tree:
        assert set(tree.children) == {
            "posterior",
            "sample_stats",
            "constant_data",
            "ground_truth",
        }
        for group in tree.children.values():
            assert group.coords["object"].to_numpy().tolist() == NAMES["object"]
            assert not {*KEYS, "object"} & set(group.data_vars)
        np.testing.assert_array_equal(
            tree["ground_truth/last_V_coll"], SAMPLES[0, :, 1]
        )
        mass = tree["constant_data/Group_M_Crit500"]
        np.testing.assert_array_equal(mass, [14.5, np.nan, 15.0])
        assert mass.attrs["units"] == "log10 Msun"
        assert tree["constant_data/sigma_Group_M_Crit500"].attrs["units"] == "dex"
        assert tree["posterior/last_T_coll"].attrs["units"] == "Gyr"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = written(tmp_path)
    np.testing.assert_array_equal(read_samples(path, TARGETS), SAMPLES)
    index = read_index(path)
    assert index.variables == TARGETS
    assert index.keys.to_dict("list") == {
        name: KEYS[name] for name in ("HaloID", "Snapshot")
    }
    log_prob, truth = read_log_prob(path) or (np.zeros(0), np.zeros(0))
    np.testing.assert_array_equal(log_prob[:5], SAMPLES[:5, :, 0])
    assert np.isnan(log_prob[5:]).all()
    np.testing.assert_array_equal(truth, SAMPLES[0, :, 1])


def test_a_file_without_densities_says_so(tmp_path: Path) -> None:
    assert read_log_prob(written(tmp_path, has_densities=False)) is None


def test_the_time_of_writing_can_be_reproduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with xr.open_dataset(written(tmp_path), engine="h5netcdf") as data:
        assert pd.Timestamp(data.attrs["created_at"]).tz is not None
        assert data.attrs["seed"] == 4
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.append(written(tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert b"1970-01-02T00:00:00+00:00" in files[0]


def test_no_file_is_left_by_a_block_that_fails(tmp_path: Path) -> None:
    layout = SampleLayout(TARGETS, 10, pd.DataFrame(KEYS))

    def write_and_fail() -> None:
        with sample_writer(tmp_path / "b.nc", layout) as writer:
            writer.put(slice(0, 3), SAMPLES)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_and_fail()
    assert not list(tmp_path.iterdir())
