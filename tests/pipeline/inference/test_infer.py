"""An object's posterior is its own: no other row, batch or file has a part in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cinn_clusters import schema
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.pipeline.inference.infer import infer, usable_rows
from support import Command

TARGETS = list(schema.DEFAULT_TARGETS)


def draws_of(
    trained: Path, frame: pd.DataFrame, folder: Path, name: str, **options: object
) -> np.ndarray:
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=False)
    infer(trained / "model", path, folder / f"{name}.nc", num_draws=30, with_mode=False, **options)  # type: ignore[arg-type]
    with xr.open_dataset(folder / f"{name}.nc", group="posterior") as data:
        return np.stack([data[target].to_numpy()[0] for target in TARGETS], -1)


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


def test_other_rows_do_not_matter(trained: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    whole = draws_of(trained, frame, tmp_path, "whole")
    other = frame.copy()
    other.loc[other.index != 70, "Group_M_Crit500"] += 0.1
    other.loc[other.index != 70, "bcg_StellarMass"] -= 0.1
    changed = draws_of(trained, other, tmp_path, "changed", allow_atypical=True)
    np.testing.assert_array_equal(changed[:, 70], whole[:, 70])
    assert (np.delete(changed, 70, 1) != np.delete(whole, 70, 1)).any(axis=(0, 2)).all()


def test_the_seed_matters(trained: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    one, other = (
        draws_of(trained, frame.head(3), tmp_path, f"s{seed}", seed=seed) for seed in (0, 1)
    )
    assert (one != other).mean() > 0.99


def test_objects_draw_apart(trained: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    twins = pd.concat([frame.head(1)] * 2).assign(HaloID=[1, 2])
    draws = draws_of(trained, twins, tmp_path, "twins")
    assert (draws[:, 0] != draws[:, 1]).mean() > 0.99


@pytest.mark.parametrize("suffix", ["csv", "ecsv"])
def test_two_results_are_written_or_none(
    suffix: str, trained: Path, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary comes last: when it fails, old samples are not replaced by new ones that it
    does not describe."""
    frame.head(3).to_csv(tmp_path / "a.csv", index=False)
    place = tmp_path / f"s.{suffix}"
    options = {"summary": place, "num_draws": 5, "with_mode": False, "overwrite": True}
    infer(trained / "model", tmp_path / "a.csv", tmp_path / "a.nc", **options)  # type: ignore[arg-type]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cinn_clusters.storage.summary._write_ecsv", fail)
    monkeypatch.setattr("cinn_clusters.storage.summary.csv_text", fail)
    with pytest.raises(
        OutputError, match=f"s.{suffix}: expected to be written whole; got No space left"
    ):
        infer(trained / "model", tmp_path / "a.csv", tmp_path / "a.nc", seed=1, **options)  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "names", ["--out {0}/p.nc --summary {0}/p.nc", "--out {0}/p.nc --summary {0}/a.csv"]
)
def test_one_name_for_two_files_is_refused(
    names: str, trained: Path, frame: pd.DataFrame, tmp_path: Path, command: Command
) -> None:
    frame.head(3).to_csv(tmp_path / "a.csv", index=False)
    before = (tmp_path / "a.csv").read_bytes()
    line = f"infer --model {trained / 'model'} --catalogue {tmp_path / 'a.csv'} --overwrite {names.format(tmp_path)}"
    command(line).demand_error("three files", "one name twice")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.csv": before}


def test_a_missing_column_is_told_and_nothing_written(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    frame.rename(columns={"GroupGasMass": "GasMass"}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"'GroupGasMass'.*a.csv; did you mean 'GasMass'"):
        infer(trained / "model", tmp_path / "a.csv", tmp_path / "a.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_every_reason_of_a_row_is_told_once() -> None:
    table = pd.DataFrame(
        {
            "Group_M_Crit500": ["14.5", "x", "3e14", "14.2", None],
            "lookback_time_Gyr": [1.0, np.inf, -1.0, 2.0, np.nan],
        }
    )
    values, rejected = usable_rows(table, ["Group_M_Crit500", "lookback_time_Gyr"])
    assert [row.line for row in rejected] == [3, 4, 6]
    assert [row.reason.count("expected") for row in rejected] == [2, 2, 2]
    assert "got 'x'" in rejected[0].reason
    assert "got infinite" in rejected[0].reason
    assert "got 3e+14" in rejected[1].reason
    assert "got -1" in rejected[1].reason
    assert rejected[2].reason.count("got NaN") == 2
    np.testing.assert_array_equal(values[[0, 3]], [[14.5, 1.0], [14.2, 2.0]])


def test_a_table_in_another_unit_is_refused_unless_told(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    wrong = frame.assign(
        Group_R_Crit500=frame["Group_R_Crit500"] - np.log10(1.0 + 1.0)
    )  # physical, not comoving
    with pytest.raises(DataError, match=r"radii off by -0.30 dex in the median.*--allow-atypical"):
        draws_of(trained, wrong, tmp_path, "wrong")
    assert not list(tmp_path.glob("wrong*.nc"))
    assert np.isfinite(draws_of(trained, wrong, tmp_path, "told", allow_atypical=True)).all()


def test_objects_beyond_training_are_counted(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    far = frame.head(30).copy()
    far.loc[far.index[3], "GroupGasMass"] += 1.5
    far.to_csv(tmp_path / "far.csv", index=False)
    done = infer(
        trained / "model", tmp_path / "far.csv", tmp_path / "far.nc", num_draws=20, with_mode=False
    )
    summary = pd.read_csv(done.summary)
    assert done.num_extrapolated == (summary["num_extrapolated"] > 0).sum()
    assert summary["num_extrapolated"][3] >= 1
    assert summary["num_extrapolated"].sum() < 10


def test_summary_tells_how_far_members_disagree(
    trained: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    draws_of(trained, frame.head(9), tmp_path, "nine")
    draws_of(trained, frame.head(4), tmp_path, "four")
    nine, four = (
        pd.read_csv(tmp_path / f"{name}_summary.csv")["disagreement_nats"]
        for name in ("nine", "four")
    )
    assert nine.mean() > 0  # an estimate of a positive number from a few draws
    np.testing.assert_allclose(four, nine[:4], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "option",
    [
        "--ood refuse",
        "--ood flag",
        "--errors monte-carlo",
        "--table {0}/t.fits",
        "--analogues {0}/a.csv",
    ],
)
def test_options_of_models_for_observers_are_refused(
    trained: Path, frame: pd.DataFrame, tmp_path: Path, command: Command, option: str
) -> None:
    frame.head(3).to_csv(tmp_path / "a.csv", index=False)
    line = f"infer --model {trained}/model --catalogue {tmp_path}/a.csv --out {tmp_path}/p.nc"
    done = command(f"{line} {option.format(tmp_path)}")
    assert done.code == 2
    assert f"{option.split()[0]} goes with models for observers" in " ".join(
        done.err.replace("│", " ").split()
    )
    assert not (tmp_path / "p.nc").exists()


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot", "parquet"])
def test_an_exact_model_takes_csv_and_says_so(
    trained: Path, tmp_path: Path, command: Command, ending: str
) -> None:
    (tmp_path / f"a.{ending}").write_bytes(b"\xa4")
    done = command(
        f"infer --model {trained}/model --catalogue {tmp_path}/a.{ending} --out {tmp_path}/p.nc"
    )
    done.demand_error(f"a.{ending}", "expected CSV", "convert it")
