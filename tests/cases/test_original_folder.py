"""Folders of the original scripts under the names that its versions give their files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from cinn_clusters.data.embeddings import embedding_names
from cinn_clusters.errors import DataError
from cinn_clusters.legacy.processed import processed_tables
from cinn_clusters.legacy.scalers import read_scaler
from cinn_clusters.schema import KEYS
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.storage.run import open_run
from original import X_COLUMNS, Y_COLUMNS, freia_glow, moved, processed_data
from support import Command

Tables = tuple[pd.DataFrame, pd.DataFrame]
NUM_FEATURES = 16


def write_folder(
    tables: Tables, folder: Path, names: tuple[str, str] = ("obs", "tar")
) -> Path:
    """X.csv, Y.csv, meta.csv and the scalers as data_filter.py names them."""
    scalers = processed_data(tables, folder)
    for name, scaler in zip(names, scalers, strict=True):
        with (folder / f"{name}_scaler.pkl").open("wb") as stream:
            pickle.dump(scaler, stream)
    tables[0].to_csv(folder.parent / "observables1.csv", index=False)
    return folder


def write_network(path: Path, num_observables: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(moved(freia_glow(6, num_observables)).state_dict(), path)
    return path


def joined_rows(tables: Tables) -> pd.DataFrame:
    return tables[0].merge(tables[1], on=list(KEYS)).dropna(subset=Y_COLUMNS)


def demand_raw(tables: Tables, folder: Path) -> None:
    """Check that both tables of a folder come back in catalogue values."""
    observables, targets = processed_tables(folder, folder.parent / "observables1.csv")
    expected = joined_rows(tables)
    np.testing.assert_allclose(observables[X_COLUMNS], expected[X_COLUMNS], rtol=1e-9)
    np.testing.assert_allclose(targets[Y_COLUMNS], expected[Y_COLUMNS], rtol=1e-9)


def test_case_160_import_with_the_scalers_of_data_filter(
    tables: Tables, tmp_path: Path, command: Command
) -> None:
    folder = write_folder(tables, tmp_path / "processed_data")
    network = write_network(tmp_path / "best_cluster_cinn.pt", 7)
    line = f"import-original {network} --processed-dir {folder} --out {tmp_path}/model"
    done = command(line)
    assert done.code == 0, done.err
    transforms = load_posterior(tmp_path / "model").transforms
    joined = joined_rows(tables)
    shifts = [entry.shift for entry in (*transforms.observables, *transforms.targets)]
    np.testing.assert_allclose(shifts, joined[[*X_COLUMNS, *Y_COLUMNS]].mean())


def test_case_161_prepare_with_the_scalers_of_data_filter(
    tables: Tables, tmp_path: Path, command: Command
) -> None:
    folder = write_folder(tables, tmp_path / "processed_data")
    line = f"prepare --processed-dir {folder} --clusters {tmp_path}/observables1.csv"
    done = command(f"{line} --out {tmp_path}/run")
    assert done.code == 0, done.err
    joined = joined_rows(tables)
    expected = joined[joined.last_M_Crit500_coll > 0]
    table = open_run(tmp_path / "run").catalogue.table
    np.testing.assert_allclose(table[X_COLUMNS], expected[X_COLUMNS], rtol=1e-9)
    np.testing.assert_allclose(table[Y_COLUMNS], expected[Y_COLUMNS], rtol=1e-9)


def test_case_163_without_x_csv(
    tables: Tables, tmp_path: Path, command: Command
) -> None:
    folder = write_folder(tables, tmp_path / "processed_data", ("scaler_X", "scaler_Y"))
    (folder / "X.csv").unlink()
    line = f"prepare --processed-dir {folder} --out {tmp_path}/run"
    command(line).demand_error("X.csv in the folder", "Y.csv", "--clusters")
    assert not (tmp_path / "run").exists()
    # the observables of the simulation say what X was made of
    done = command(f"{line} --clusters {tmp_path}/observables1.csv")
    assert done.code == 0, done.err
    joined = joined_rows(tables)
    expected = joined[joined.last_M_Crit500_coll > 0]
    table = open_run(tmp_path / "run").catalogue.table
    np.testing.assert_array_equal(table[X_COLUMNS], expected[X_COLUMNS])
    (folder / "Y.csv").unlink()
    (folder / "meta.csv").unlink()
    command(f"{line} --overwrite").demand_error("X.csv and Y.csv and meta.csv")


def test_case_166_a_combined_network(
    tables: Tables, tmp_path: Path, command: Command
) -> None:
    folder = write_folder(tables, tmp_path / "processed_data")
    network = write_network(
        tmp_path / "best_cluster_cinn_combined.pt", 7 + NUM_FEATURES
    )
    line = f"import-original {network} --processed-dir {folder} --out {tmp_path}/model"
    command(line).demand_error("23, and 7 in obs_scaler.pkl", "emb_scaler.pkl")
    vectors = np.random.default_rng(0).normal(2.0, 3.0, (30, NUM_FEATURES))
    scaler = StandardScaler().fit(vectors)
    (folder / "emb_scaler.pkl").write_bytes(pickle.dumps(scaler))
    done = command(line)
    assert done.code == 0, done.err
    posterior = load_posterior(tmp_path / "model")
    names = tuple(embedding_names(NUM_FEATURES))
    assert posterior.inputs == (*X_COLUMNS, *names)
    last = posterior.transforms.observables[-1]
    assert (last.shift, last.scale) == (scaler.mean_[-1], scaler.scale_[-1])
    # and it answers a catalogue with vectors of maps
    rows = tables[0].head(30)
    rows.to_csv(tmp_path / "some.csv", index=False)
    np.save(tmp_path / "embeddings.npy", vectors)
    names_of_maps = [
        f"snap_{snapshot:03d}_halo_{halo}_proj_0.jpg"
        for halo, snapshot in rows[list(KEYS)].itertuples(index=False)
    ]
    np.save(tmp_path / "filenames.npy", np.array(names_of_maps))
    maps = (
        f"--embeddings {tmp_path}/embeddings.npy --filenames {tmp_path}/filenames.npy"
    )
    line = f"infer --model {tmp_path}/model --catalogue {tmp_path}/some.csv {maps}"
    done = command(f"{line} --samples 10 --out {tmp_path}/all.nc")
    assert done.code == 0, done.err


# --- siblings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scaler", "options"),
    [
        (StandardScaler, {"with_mean": False}),
        (StandardScaler, {"with_std": False}),
        (MinMaxScaler, {}),
        (MinMaxScaler, {"feature_range": (-1, 1)}),
        (MaxAbsScaler, {}),
        (RobustScaler, {}),
        (RobustScaler, {"with_centering": False}),
    ],
)
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
def test_a_scaler_of_any_kind_is_undone(
    scaler: type, options: dict[str, Any], compress: Any, tables: Tables, tmp_path: Path
) -> None:
    columns = joined_rows(tables)[X_COLUMNS]
    fitted = scaler(**options).fit(columns)
    joblib.dump(fitted, tmp_path / "obs_scaler.joblib", compress=compress)
    found = read_scaler(tmp_path / "obs_scaler.joblib")
    scaled = np.asarray(fitted.transform(columns))
    assert found.is_scaled(scaled)
    np.testing.assert_allclose(found.undo(scaled), columns, rtol=1e-12)
    assert found.names == tuple(X_COLUMNS)


@pytest.mark.parametrize(
    "names",
    [
        ("scaler_X", "scaler_Y"),
        ("observable", "target"),
        ("scalerX", "scalerY"),
        ("input", "output"),
        ("features", "labels"),
        ("first", "second"),  # their columns tell
        ("StandardScaler_7", "StandardScaler_6"),
    ],
)
def test_which_scaler_is_which(
    names: tuple[str, str], tables: Tables, tmp_path: Path
) -> None:
    demand_raw(tables, write_folder(tables, tmp_path / "processed_data", names))


def test_scalers_without_names_are_told_by_their_number_of_columns(
    tables: Tables, tmp_path: Path
) -> None:
    folder = write_folder(tables, tmp_path / "processed_data", ("a", "b"))
    joined = joined_rows(tables)
    for name, columns in (("a", X_COLUMNS), ("b", Y_COLUMNS)):
        scaler = StandardScaler().fit(joined[columns].to_numpy())
        joblib.dump(scaler, folder / f"{name}_scaler.pkl")
    demand_raw(tables, folder)


def test_a_second_scaler_of_a_table_is_refused(tables: Tables, tmp_path: Path) -> None:
    folder = write_folder(tables, tmp_path / "processed_data")
    (folder / "input_scaler.pkl").write_bytes((folder / "obs_scaler.pkl").read_bytes())
    with pytest.raises(DataError, match=r"one scaler of X.*input_scaler.*rename"):
        demand_raw(tables, folder)


@pytest.mark.parametrize("as_array", [False, True])
@pytest.mark.parametrize("is_scaled", [False, True])
def test_tables_as_arrays_and_tables_left_unscaled(
    as_array: bool, is_scaled: bool, tables: Tables, tmp_path: Path
) -> None:
    folder = write_folder(tables, tmp_path / "processed_data")
    for side, columns in (("X", X_COLUMNS), ("Y", Y_COLUMNS)):
        table = pd.read_csv(folder / f"{side}.csv")
        if not is_scaled:
            table = joined_rows(tables)[columns]
            table.to_csv(folder / f"{side}.csv", index=False)
        if as_array:
            np.save(folder / f"{side}.npy", table.to_numpy())
            (folder / f"{side}.csv").unlink()
    demand_raw(tables, folder)
