"""The stages on a mock catalogue: what they write is what they say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import arviz
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.split import folds_by_cluster, split_by_cluster
from cinn_clusters.errors import DataError
from cinn_clusters.storage.run import open_run
from support import TINY, Command

TARGETS = list(schema.DEFAULT_TARGETS)
OBSERVABLES = list(schema.DEFAULT_OBSERVABLES)
KEYS = list(schema.KEYS)
Files = tuple[Path, Path]


def prepare_line(files: Files, out: Path, extra: str = "") -> str:
    return f"prepare --observables {files[0]} --targets {files[1]} --out {out} {extra}"


# --- split -----------------------------------------------------------------------------------------------------------

clusters = st.lists(st.integers(0, 40), min_size=20, max_size=200).filter(
    lambda names: len(set(names)) >= 5
)


@given(clusters, st.integers(0, 1000))
def test_split_parts_share_no_cluster_and_lose_no_row(
    names: list[int], seed: int
) -> None:
    rows = np.array(names)
    split = split_by_cluster(rows, seed)
    parts = (split.train, split.validation, split.test)
    assert sorted(np.concatenate(parts)) == list(range(len(rows)))
    assert sum(len(set(rows[part])) for part in parts) == len(set(names))
    assert all(len(part) for part in parts)


@given(clusters, st.integers(0, 1000))
def test_folds_test_every_row_once_and_share_no_cluster(
    names: list[int], seed: int
) -> None:
    rows = np.array(names)
    folds = list(folds_by_cluster(rows, 5, seed))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(
        range(len(rows))
    )
    for fold in folds:
        seen = set(rows[np.concatenate([fold.train, fold.validation])])
        assert not seen & set(rows[fold.test])
        assert not set(rows[fold.train]) & set(rows[fold.validation])
    expected = np.array_split(
        np.random.default_rng(seed).permutation(np.unique(rows)), 5
    )
    assert [set(rows[fold.test]) for fold in folds] == [set(part) for part in expected]


@pytest.mark.parametrize("num_folds", [0, 1, 7])
def test_impossible_folds_are_refused(num_folds: int) -> None:
    with pytest.raises(DataError, match="expected 2 to 6"):
        list(folds_by_cluster(np.arange(6), num_folds))


def test_rows_without_a_cluster_are_refused() -> None:
    with pytest.raises(DataError, match="1 rows without"):
        split_by_cluster(np.array([1.0, 2.0, np.nan]))


# --- prepare and audit -----------------------------------------------------------------------------------------------


def test_prepare_keeps_values_to_the_last_bit(
    files: Files,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    tmp_path: Path,
    command: Command,
) -> None:
    assert command(prepare_line(files, tmp_path / "run")).code == 0
    whole = (
        tables[0]
        .merge(tables[1].drop(columns="HaloOrigID"), on=KEYS)
        .dropna(subset=TARGETS)
    )
    whole = whole[whole[schema.COLLISION_MASS] > 0].reset_index(drop=True)
    catalogue = open_run(tmp_path / "run").catalogue
    pd.testing.assert_frame_equal(
        catalogue.table[[*KEYS, *OBSERVABLES, *TARGETS]],
        whole[[*KEYS, *OBSERVABLES, *TARGETS]],
        check_exact=True,
    )
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "X.csv",
        "Y.csv",
        "left_out.csv",
        "meta.csv",
        "split.json",
        "transforms.json",
    }


def test_account_adds_up(files: Files, tmp_path: Path, command: Command) -> None:
    frame = pd.read_csv(files[0])
    frame.iloc[:-5].to_csv(files[0], index=False)
    account = json.loads(command(prepare_line(files, tmp_path / "run", "--json")).out)
    only = [entry for entry in account["dropped"] if entry["clusters"] < 0]
    assert [(entry["reason"], entry["rows"]) for entry in only] == [
        ("only in the targets file", 5)
    ]
    lost = sum(entry["rows"] for entry in account["dropped"]) - 5
    assert (
        account["rows_read"]
        == lost + sum(account["num_rows"].values())
        == len(frame) - 5
    )


def test_incomplete_rows_stay_or_are_dropped_when_asked(
    files: Files, tmp_path: Path, command: Command
) -> None:
    whole = json.loads(command(prepare_line(files, tmp_path / "whole", "--json")).out)
    frame = pd.read_csv(files[0])
    labelled = np.flatnonzero(pd.read_csv(files[1])[TARGETS].notna().all(axis=1))
    frame.loc[labelled[[0, 9, 40]], "GroupGasMass"] = np.nan
    frame.to_csv(files[0], index=False)
    result = command(prepare_line(files, tmp_path / "run", "--json"))
    assert result.code == 0
    assert json.loads(result.out)["num_rows"] == whole["num_rows"]
    assert json.loads(result.out)["num_missing"] == {"GroupGasMass": 3}
    original = prepare_line(files, tmp_path / "original", "--protocol original")
    command(original).demand_error("'GroupGasMass'", "3 NaN", "--drop-incomplete")
    result = command(prepare_line(files, tmp_path / "dropped", "--drop-incomplete"))
    assert result.code == 0
    assert "--drop-incomplete" in result.out


def test_transforms_see_training_clusters_only(
    files: Files, tmp_path: Path, command: Command
) -> None:
    command(prepare_line(files, tmp_path / "run"))
    run = open_run(tmp_path / "run")
    unseen = np.concatenate([run.split.validation, run.split.test])
    keys = run.catalogue.table.loc[unseen, KEYS]
    frame = pd.read_csv(files[0]).set_index(KEYS)
    frame.loc[pd.MultiIndex.from_frame(keys), "bcg_SubhaloBHMass"] *= 1.5
    frame.reset_index().to_csv(files[0], index=False)
    command(prepare_line(files, tmp_path / "other"))
    one, other = (tmp_path / name / "transforms.json" for name in ("run", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert (tmp_path / "run/X.csv").read_bytes() != (
        tmp_path / "other/X.csv"
    ).read_bytes()


def test_original_protocol_is_the_published_one(
    files: Files,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    tmp_path: Path,
    command: Command,
) -> None:
    result = command(prepare_line(files, tmp_path / "run", "--protocol original"))
    assert "leaks" in result.err
    table = (
        tables[0]
        .merge(tables[1].drop(columns="HaloOrigID"), on=KEYS)
        .dropna(subset=TARGETS)
    )
    assert (table[schema.COLLISION_MASS] == -1).any()
    x, y = (
        StandardScaler().fit_transform(table[names].to_numpy())
        for names in (OBSERVABLES, TARGETS)
    )
    for values, name in ((x, "X.csv"), (y, "Y.csv")):
        np.testing.assert_allclose(
            pd.read_csv(tmp_path / "run" / name), values, atol=1e-9
        )
    rest, test = train_test_split(np.arange(len(table)), test_size=0.1, random_state=42)
    train, validation = train_test_split(rest, test_size=0.1 / 0.9, random_state=42)
    run = open_run(tmp_path / "run")
    for ours, theirs in zip(
        (run.split.train, run.split.validation, run.split.test),
        (train, validation, test),
        strict=True,
    ):
        assert ours.tolist() == theirs.tolist()
    np.testing.assert_allclose(run.catalogue.theta, table[TARGETS], rtol=1e-12)
    audit = command(f"audit {tmp_path / 'run'} --json")
    assert audit.code == 1
    histories = table[TARGETS].round(9).apply(tuple, axis=1).to_numpy()
    found = json.loads(audit.out)
    names = table["HaloOrigID"].to_numpy()
    for rows, share in (
        (train, "shared"),
        (np.concatenate([train, validation]), "shared_with_validation"),
    ):
        assert (
            found["test clusters"][share]
            == len(set(names[test]) & set(names[rows]))
            > 0
        )
        shared = sum(history in set(histories[rows]) for history in histories[test])
        assert found["exact target vectors of test rows"][share] == shared > 0


def test_marks_are_never_scored(files: Files, tmp_path: Path, command: Command) -> None:
    command(prepare_line(files, tmp_path / "run", "--protocol original"))
    theta = open_run(tmp_path / "run").catalogue.theta
    assert (
        command(
            f"crossval {tmp_path / 'run'} --folds 2 --draws 20 {TINY} --set train.dequantise=false"
        ).code
        == 0
    )
    scores = json.loads((tmp_path / "run/crossval/scores.json").read_text())
    assert scores["rows"] == int((theta[:, 2] > 0).sum()) < len(theta)


@pytest.mark.parametrize(
    "target", ["last_d_peri", "last_T_coll", "mean_d_peri", "my_own"]
)
def test_one_target_of_any_name_end_to_end(
    target: str, files: Files, tmp_path: Path, command: Command
) -> None:
    frame = pd.read_csv(files[1])
    frame["my_own"] = frame["last_d_peri"] ** 2
    frame.rename(columns={"HaloOrigID": "cluster"}).to_csv(files[1], index=False)
    pd.read_csv(files[0]).rename(columns={"HaloOrigID": "cluster"}).to_csv(
        files[0], index=False
    )
    run = tmp_path / "run"
    columns = (
        "--x-columns Group_M_Crit500,redshift,GroupGasMass --cluster-column cluster"
    )
    assert (
        command(prepare_line(files, run, f"--y-columns {target} {columns}")).code == 0
    )
    assert command(f"train {run} {TINY}").code == 0
    assert command(f"evaluate {run} --draws 50").code == 0
    assert (
        command(
            f"infer --model {run / 'model'} --catalogue {files[0]} --out {tmp_path / 'p.nc'} --draws 20"
        ).code
        == 0
    )
    assert f"{target}_median" in pd.read_csv(tmp_path / "p_table.csv")


# --- infer -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def catalogue(trained: Path, tmp_path: Path) -> Path:
    frame = pd.read_csv(trained.parent / "observables1.csv").head(12)
    frame.insert(0, "name", [f"Abell {row} é" for row in range(12)])
    frame.to_csv(tmp_path / "my.csv", index=False)
    return tmp_path / "my.csv"


def infer(
    command: Command, trained: Path, catalogue: Path, extra: str = "--draws 40"
) -> xr.Dataset:
    out = catalogue.with_suffix(".nc")
    result = command(
        f"infer --model {trained / 'model'} --catalogue {catalogue} --out {out} --overwrite {extra}"
    )
    assert result.code == 0, result
    with xr.open_dataset(out, group="posterior") as dataset:
        return dataset.load()


@pytest.mark.filterwarnings("ignore:.*ArviZ is undergoing:FutureWarning")
def test_samples_have_the_arviz_layout(
    trained: Path, catalogue: Path, command: Command
) -> None:
    infer(command, trained, catalogue)
    data = arviz.from_netcdf(str(catalogue.with_suffix(".nc"))).posterior
    assert list(data.data_vars) == TARGETS
    for name in TARGETS:
        assert data[name].dims == ("chain", "draw", "cluster")
        assert data[name].shape == (1, 40, 12)
        assert data[name].attrs["units"] == (schema.column(name).unit or "1")
    assert set(data.coords) >= {"HaloOrigID", "HaloID", "Snapshot"}
    assert arviz.summary(data, kind="stats").shape[0] == 12 * 6


def test_no_draw_is_unphysical(
    trained: Path, catalogue: Path, command: Command
) -> None:
    data = infer(command, trained, catalogue, "--draws 2000 --no-map")
    age = age_at_lookback(pd.read_csv(catalogue)["lookback_time_Gyr"].to_numpy())
    assert (data["last_T_coll"] > 0).all()
    assert (data["last_T_coll"].to_numpy() <= age.astype(np.float32)).all()
    for name in TARGETS[1:]:
        lower, upper = schema.column(name).bounds
        assert ((data[name] > lower) & (data[name] <= upper)).all(), name


def test_draws_depend_on_the_seed_and_the_object_only(
    trained: Path, catalogue: Path, command: Command
) -> None:
    one, again = infer(command, trained, catalogue), infer(command, trained, catalogue)
    xr.testing.assert_identical(one, again)
    assert not one.equals(infer(command, trained, catalogue, "--draws 40 --seed 1"))
    frame = pd.read_csv(catalogue)
    frame.loc[3, "GroupGasMass"] = np.nan
    frame.to_csv(catalogue, index=False)
    fewer = infer(command, trained, catalogue)
    others = [row for row in range(12) if row != 3]
    for name in TARGETS:
        # to rounding: matrix products of 11 and of 12 rows may add in another order
        np.testing.assert_allclose(
            fewer[name].to_numpy(), one[name].to_numpy()[:, :, others], rtol=1e-5
        )


def test_bad_rows_are_told_and_the_others_answered(
    trained: Path, catalogue: Path, command: Command
) -> None:
    frame = pd.read_csv(catalogue).astype({"GroupGasMass": object})
    frame.loc[1, "GroupGasMass"] = "?"
    frame.loc[4, "Group_M_Crit500"] = 3e14
    frame.loc[7, "bcg_StellarMass"] = np.inf
    frame.to_csv(catalogue, index=False)
    out = catalogue.with_suffix(".nc")
    line = f"infer --model {trained / 'model'} --catalogue {catalogue} --out {out} --draws 20"
    strict = command(f"{line} --strict")
    strict.demand_error("3 of 12 rows", "row 1", "GroupGasMass: expected a number")
    assert not out.exists()
    result = command(line)
    assert result.code == 0
    assert "1 of 12: GroupGasMass: expected a number" in result.err
    table = pd.read_csv(catalogue.with_name("my_table.csv"))
    assert np.flatnonzero(table["cinn_status"] == "unusable").tolist() == [1, 4, 7]
    assert "expected a number" in table["cinn_reasons"][1]
    assert "outside" in table["cinn_reasons"][4]
    assert "infinite" in table["cinn_reasons"][7]
    frame["GroupGasMass"] = "?"
    frame.to_csv(catalogue, index=False)
    command(f"{line} --overwrite").demand_error(
        "none of 12", "a row that can be answered"
    )


def test_other_columns_pass_through_and_summaries_are_right(
    trained: Path, catalogue: Path, command: Command
) -> None:
    data = infer(command, trained, catalogue, "--draws 400 --map")
    summary = pd.read_csv(catalogue.with_name("my_table.csv"))
    frame = pd.read_csv(catalogue)
    pd.testing.assert_frame_equal(summary[list(frame.columns)], frame, check_exact=True)
    age = age_at_lookback(frame["lookback_time_Gyr"].to_numpy())
    for name in TARGETS:
        draws = data[name].to_numpy()[0]
        np.testing.assert_allclose(
            summary[f"{name}_median"], np.median(draws, 0), rtol=1e-5
        )
        for level in ("68", "95"):
            inside = (draws >= summary[f"{name}_lower{level}"].to_numpy()) & (
                draws <= summary[f"{name}_upper{level}"].to_numpy() + 1e-6
            )
            assert abs(inside.mean() - int(level) / 100) < 0.01
        assert summary[f"{name}_map"].between(*schema.column(name).bounds).all()
    np.testing.assert_allclose(
        summary["time_since_collision_Gyr_map"],
        age - summary["last_T_coll_map"],
        atol=1e-5,
    )
    since = age - data["last_T_coll"].to_numpy()[0]
    np.testing.assert_allclose(
        summary["time_since_collision_Gyr_median"],
        np.median(since, 0),
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_summary_can_be_ecsv_with_units(
    trained: Path, catalogue: Path, command: Command
) -> None:
    path = catalogue.with_name("summary.ecsv")
    infer(command, trained, catalogue, f"--draws 20 --no-map --table {path}")
    table = Table.read(path)
    assert str(table["time_since_collision_Gyr_median"].unit) == "Gyr"
    assert str(table["last_M_Crit500_coll_p16"].unit) == "1e+14 solMass"
    assert str(table["last_V_coll_p84"].unit) == "dex(km / s)"
    assert table["name"][0] == "Abell 0 é"
    assert "last_V_coll_map" not in table.colnames


def test_a_catalogue_needs_no_simulation_keys(
    trained: Path, catalogue: Path, command: Command
) -> None:
    frame = pd.read_csv(catalogue)[["name", *OBSERVABLES]]
    frame.to_csv(catalogue, index=False)
    assert infer(command, trained, catalogue).sizes["cluster"] == 12
    assert (
        command(
            f"infer --model {trained / 'model'} --catalogue {catalogue} --out {catalogue}.nc --draws 0"
        ).code
        == 2
    )


# --- evaluate and crossval -------------------------------------------------------------------------------------------


def test_evaluate_judges_test_clusters_only(
    trained: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    assert command(f"evaluate {run} --draws 100").code == 0
    opened = open_run(run)
    expected = opened.catalogue.table.iloc[opened.split.test]
    with xr.open_dataset(run / "posterior.nc", group="posterior") as data:
        assert data["HaloID"].to_numpy().tolist() == expected["HaloID"].tolist()
    scores = json.loads((run / "scores.json").read_text())
    assert scores["rows"] == len(expected)
    assert set(scores["skill"]) == {"prior", "prior given M500, z"}
    assert scores["unphysical"] < 0.2  # an untrained model breaks relations, no bound
    assert np.isfinite(scores["nll"]["mean"])


def test_crossval_answers_for_every_row(
    trained: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    assert command(f"crossval {run} --folds 3 --draws 50 {TINY}").code == 0
    with xr.open_dataset(run / "crossval/posterior.nc", group="posterior") as data:
        assert (
            data["HaloID"].to_numpy().tolist()
            == open_run(run).catalogue.table["HaloID"].tolist()
        )
        assert np.isfinite(data.to_array()).all()


def test_the_published_network_trains_on_bounded_targets(
    files: Files, tmp_path: Path, command: Command
) -> None:
    frame = pd.read_csv(files[1])
    frame.loc[frame["last_Mass_ratio"].idxmax(), "last_Mass_ratio"] = 1.0
    frame.to_csv(files[1], index=False)
    run, glow = tmp_path / "run", Path(__file__).parents[1] / "configs/glow.toml"
    command(prepare_line(files, run))
    catalogue = open_run(run).catalogue
    assert (catalogue.age - catalogue.theta[:, 0] == 0).any(), (
        "a collision at the snapshot itself"
    )
    assert (catalogue.theta[:, 4] == 1.0).any()
    assert command(f"train {run} --config {glow} --set train.epochs=3").code == 0
    assert command(f"evaluate {run} --draws 20").code == 0
    assert json.loads((run / "scores.json").read_text())["nll"]["rows_outside"] == 0


def test_the_default_preset_trains_under_the_original_protocol(
    files: Files, tmp_path: Path, command: Command
) -> None:
    command(prepare_line(files, tmp_path / "run", "--protocol original"))
    assert command(f"train {tmp_path / 'run'} {TINY}").code == 0
    assert command(f"evaluate {tmp_path / 'run'} --draws 20").code == 0
