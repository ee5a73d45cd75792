"""An object's posterior is its own: no other row, batch or file has a part in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.table import Table

from cinn_clusters import schema
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.inference.answering import InferenceOptions
from cinn_clusters.pipeline.inference.infer import Inferred, infer
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.storage.posterior_file import read_samples
from support import Command


def inferred(trained: Path, path: Path, **options: Any) -> Inferred:
    """Infer with the model of a run; all but seed, overwrite and num_samples are options."""
    sampling = Sampling(options.pop("num_samples", 20), options.pop("seed", 0))
    out = Destination(path.with_suffix(".nc"), options.pop("overwrite", False))
    options = InferenceOptions(**options)
    return infer(path, out, model=trained / "model", sampling=sampling, options=options)


def draws_of(
    trained: Path, frame: pd.DataFrame, folder: Path, name: str, **options: Any
) -> np.ndarray:
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=False)
    done = inferred(trained, path, num_samples=30, **options)
    return read_samples(done.posterior, schema.DEFAULT_TARGETS)


@pytest.fixture
def frame(trained: Path) -> pd.DataFrame:
    return pd.read_csv(trained.parent / "observables1.csv")


def test_the_length_of_the_file_does_not_matter(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    whole = draws_of(trained, frame, tmp_path, "whole")
    for count in (1, 2, 63, 64, 65, 200):
        part = draws_of(trained, frame.head(count), tmp_path, f"first{count}")
        np.testing.assert_allclose(
            part, whole[:, :count], rtol=1e-5
        )  # vectorised loops round their ends otherwise


def test_other_rows_do_not_matter(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    whole = draws_of(trained, frame, tmp_path, "whole")
    other = frame.copy()
    other.loc[other.index != 70, "Group_M_Crit500"] += 0.1
    other.loc[other.index != 70, "bcg_StellarMass"] -= 0.1
    changed = draws_of(trained, other, tmp_path, "changed", allow_atypical=True)
    np.testing.assert_array_equal(changed[:, 70], whole[:, 70])
    assert (np.delete(changed, 70, 1) != np.delete(whole, 70, 1)).any(axis=(0, 2)).all()


def test_order_and_partition_of_the_rows_do_not_matter(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    table = frame.head(23)
    whole = draws_of(trained, table, tmp_path, "whole")
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = draws_of(trained, table.iloc[order], tmp_path, "shuffled")
    np.testing.assert_array_equal(shuffled, whole[:, order])
    parts = [
        draws_of(trained, table.iloc[rows], tmp_path, f"part{rows.start}")
        for rows in (slice(0, 1), slice(1, 9), slice(9, 23))
    ]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)


def test_objects_without_names_have_the_samples_of_their_inputs(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    nameless = frame.head(6).drop(columns=["HaloID", "Snapshot", "HaloOrigID"])
    whole = draws_of(trained, nameless, tmp_path, "whole")
    backwards = draws_of(trained, nameless.iloc[::-1], tmp_path, "backwards")
    np.testing.assert_array_equal(backwards[:, ::-1], whole)


def test_the_seed_matters(trained: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    one, other = (
        draws_of(trained, frame.head(3), tmp_path, f"s{seed}", seed=seed)
        for seed in (0, 1)
    )
    assert (one != other).mean() > 0.99


def test_objects_draw_apart(trained: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    twins = pd.concat([frame.head(1)] * 2).assign(HaloID=[1, 2])
    draws = draws_of(trained, twins, tmp_path, "twins")
    assert (draws[:, 0] != draws[:, 1]).mean() > 0.99


@pytest.mark.parametrize("suffix", ["csv", "ecsv"])
def test_two_results_are_written_or_none(
    suffix: str,
    trained: Path,
    frame: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The summary comes last: when it fails, old samples are not replaced by new ones that it
    does not describe."""
    frame.head(3).to_csv(tmp_path / "a.csv", index=False)
    options = {"table": tmp_path / f"s.{suffix}", "num_samples": 5, "overwrite": True}
    inferred(trained, tmp_path / "a.csv", **options)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail_not(*_: object) -> None:
        """The trial of a few rows went well."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cinn_clusters.catalogues.table_files._write", fail)
    monkeypatch.setattr(
        "cinn_clusters.pipeline.inference.result_table.demand_writable", fail_not
    )
    with pytest.raises(
        OutputError,
        match=f"s.{suffix}: expected to be written whole; got No space left",
    ):
        inferred(trained, tmp_path / "a.csv", seed=1, **options)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "names", ["--out {0}/p.nc --table {0}/p.nc", "--out {0}/p.nc --table {0}/a.csv"]
)
def test_one_name_for_two_files_is_refused(
    names: str, trained: Path, frame: pd.DataFrame, tmp_path: Path, command: Command
) -> None:
    frame.head(3).to_csv(tmp_path / "a.csv", index=False)
    before = (tmp_path / "a.csv").read_bytes()
    line = f"infer --model {trained / 'model'} --catalogue {tmp_path / 'a.csv'} --overwrite {names.format(tmp_path)}"
    command(line).demand_error("three files", "one name twice")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.csv": before
    }


def test_a_missing_column_is_told_and_nothing_written(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    frame.rename(columns={"GroupGasMass": "GasMass"}).to_csv(
        tmp_path / "a.csv", index=False
    )
    with pytest.raises(
        DataError, match=r"'GroupGasMass'.*a.csv; did you mean 'GasMass'"
    ):
        inferred(trained, tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_rows_that_cannot_be_used_stand_in_the_table_with_their_reasons(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    rows = frame.head(5).astype({"Group_M_Crit500": object}).reset_index(drop=True)
    rows.loc[1, "Group_M_Crit500"] = "x"
    rows.loc[2, "Group_M_Crit500"] = 3e14
    rows.loc[2, "lookback_time_Gyr"] = -1.0
    rows.loc[4, "GroupGasMass"] = np.nan
    rows.to_csv(tmp_path / "a.csv", index=False)
    done = inferred(trained, tmp_path / "a.csv")
    table = pd.read_csv(done.table, keep_default_na=False)
    status = ["unusable" if row in (1, 2, 4) else "" for row in range(5)]
    assert [
        value.replace("ok", "").replace("flagged", "") for value in table["cinn_status"]
    ] == status
    assert "Group_M_Crit500: expected a number" in table["cinn_reasons"][1]
    assert table["cinn_reasons"][2].count("outside") == 2
    assert (
        table["cinn_reasons"][4]
        == "GroupGasMass: missing, the model takes complete rows only"
    )
    assert (table["last_T_coll_median"] == "").tolist() == [
        bool(value) for value in status
    ]
    with xr.open_dataset(done.posterior, group="posterior") as data:
        assert data["cluster"].to_numpy().tolist() == [0, 3]


def test_a_table_in_another_unit_is_refused_unless_told(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    wrong = frame.assign(
        Group_R_Crit500=frame["Group_R_Crit500"] - np.log10(1.0 + 1.0)
    )  # physical, not comoving
    with pytest.raises(
        DataError, match=r"radii off by -0.30 dex in the median.*--allow-atypical"
    ):
        draws_of(trained, wrong, tmp_path, "wrong")
    assert not list(tmp_path.glob("wrong*.nc"))
    assert np.isfinite(
        draws_of(trained, wrong, tmp_path, "told", allow_atypical=True)
    ).all()


def test_objects_beyond_training_are_counted(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    far = frame.head(30).copy()
    far.loc[far.index[3], "GroupGasMass"] += 1.5
    far.to_csv(tmp_path / "far.csv", index=False)
    done = inferred(trained, tmp_path / "far.csv")
    summary = pd.read_csv(done.table)
    assert done.num_flagged >= (summary["num_extrapolated"] > 0).sum()
    assert "flagged" in summary["cinn_status"][3]
    assert summary["num_extrapolated"][3] >= 1
    assert summary["num_extrapolated"].sum() < 10


def test_summary_tells_how_far_members_disagree(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    draws_of(trained, frame.head(9), tmp_path, "nine")
    draws_of(trained, frame.head(4), tmp_path, "four")
    nine, four = (
        pd.read_csv(tmp_path / f"{name}_table.csv")["disagreement_nats"]
        for name in ("nine", "four")
    )
    assert nine.mean() > 0  # an estimate of a positive number from a few draws
    np.testing.assert_allclose(four, nine[:4], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("option", ["--errors monte-carlo", "--analogues {0}/a.csv"])
def test_what_an_exact_model_cannot_do_is_refused(
    trained: Path, frame: pd.DataFrame, tmp_path: Path, command: Command, option: str
) -> None:
    frame.head(3).to_csv(tmp_path / "a.csv", index=False)
    line = f"infer --model {trained}/model --catalogue {tmp_path}/a.csv --out {tmp_path}/p.nc"
    done = command(f"{line} {option.format(tmp_path)}")
    done.demand_error("a model that accepts", f"leave out {option.split()[0]}")
    assert not (tmp_path / "p.nc").exists()


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot", "parquet"])
def test_every_format_gives_the_same_samples(
    trained: Path, frame: pd.DataFrame, tmp_path: Path, ending: str
) -> None:
    kinds = {"vot": "votable", "ecsv": "ascii.ecsv"}
    path = tmp_path / f"a.{ending}"
    Table.from_pandas(frame.head(4)).write(path, format=kinds.get(ending, ending))
    samples = read_samples(
        inferred(trained, path, num_samples=30).posterior, schema.DEFAULT_TARGETS
    )
    np.testing.assert_array_equal(
        samples, draws_of(trained, frame.head(4), tmp_path, "same")
    )


def test_keys_and_conditions_stand_in_the_file(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    draws_of(trained, frame.head(4).assign(sigma_GroupGasMass=0.1), tmp_path, "keys")
    with xr.open_datatree(tmp_path / "keys.nc", engine="h5netcdf") as tree:
        for group in ("posterior", "constant_data"):
            keys = {name: tree[group].coords[name].to_numpy() for name in schema.KEYS}
            for name, values in keys.items():
                assert values.tolist() == frame[name].head(4).tolist()
            assert tree[group].coords["HaloOrigID"].to_numpy().dtype == np.int64
        conditions = tree["constant_data"]
        np.testing.assert_array_equal(
            conditions["GroupGasMass"], frame["GroupGasMass"].head(4)
        )
