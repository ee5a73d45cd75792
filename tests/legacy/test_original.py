"""The way in from the original: the same draws, the same rows, and not one line of its pickles
run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PowerTransformer, StandardScaler

from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.legacy.original import import_original
from cinn_clusters.legacy.scalers import read_scaler
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.storage.run import open_run
from original import X_COLUMNS, Y_COLUMNS, freia_glow, moved, processed_data
from support import Command

Tables = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture
def left_behind(tables: Tables, tmp_path: Path) -> Path:
    """A folder as the original scripts leave it."""
    for side, scaler in zip(
        "XY", processed_data(tables, tmp_path / "processed_data"), strict=True
    ):
        with (tmp_path / f"processed_data/scaler_{side}.pkl").open("wb") as stream:
            pickle.dump(scaler, stream)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(
            moved(freia_glow(6, 7)).state_dict(), tmp_path / "best_cluster_cinn.pt"
        )
    return tmp_path


def original_draws(
    folder: Path, inputs: np.ndarray, noise: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Draws and log-densities of the original network in its own library, catalogue units."""
    network = freia_glow(6, 7)
    network.load_state_dict(
        torch.load(folder / "best_cluster_cinn.pt", weights_only=True)
    )
    network = network.double()
    scalers = [
        pickle.loads((folder / f"processed_data/scaler_{side}.pkl").read_bytes())
        for side in "XY"
    ]
    x = torch.tensor(scalers[0].transform(pd.DataFrame(inputs, columns=X_COLUMNS)))
    with torch.no_grad():
        u, _ = network(noise, c=[x], rev=True)
        z, log_det = network(u, c=[x])
    log_prob = (
        -0.5 * (z**2).sum(1)
        - 3 * np.log(2 * np.pi)
        + log_det
        - np.log(scalers[1].scale_).sum()
    )
    return scalers[1].inverse_transform(
        pd.DataFrame(u.numpy(), columns=Y_COLUMNS)
    ), log_prob.numpy()


def test_an_imported_network_gives_the_same_draws_and_densities(
    left_behind: Path, command: Command
) -> None:
    line = f"import-original {left_behind}/best_cluster_cinn.pt --processed-dir {left_behind}/processed_data"
    done = command(f"{line} --out {left_behind}/model")
    assert done.code == 0, done.err
    posterior = load_posterior(left_behind / "model")
    assert posterior.inputs == tuple(X_COLUMNS)
    assert posterior.targets == tuple(Y_COLUMNS)
    table = pd.read_csv(left_behind / "processed_data/X.csv").to_numpy()[:40]
    scaler = read_scaler(left_behind / "processed_data/scaler_X.pkl")
    inputs = table * scaler.scale + scaler.mean
    noise = torch.randn(
        40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    draws, log_prob = original_draws(left_behind, inputs, noise)
    flow, context = (
        posterior.flow.double(),
        posterior.transforms.standardise_inputs(inputs),
    )
    u, _ = flow.inverse(noise[None], context[None])
    scale, mean = (
        np.array([getattr(t, name) for t in posterior.transforms.targets])
        for name in ("scale", "shift")
    )
    np.testing.assert_allclose(
        u[0].detach().numpy() * scale + mean, draws, rtol=1e-6, atol=1e-7
    )
    ours = (
        flow.log_prob(torch.tensor((draws - mean) / scale)[None], context[None])[0]
        .detach()
        .numpy()
    )
    np.testing.assert_allclose(
        ours - np.log(scale).sum(), log_prob, rtol=1e-5, atol=1e-6
    )


def test_an_imported_network_answers_a_catalogue(
    left_behind: Path, files: tuple[Path, Path], command: Command
) -> None:
    import_original(
        left_behind / "best_cluster_cinn.pt",
        left_behind / "processed_data",
        left_behind / "model",
    )
    line = f"infer --model {left_behind}/model --catalogue {files[0]} --draws 20 --no-map --out {left_behind}/all.nc"
    assert command(line).code == 0
    assert command(f"show {left_behind}/model").code == 0


@pytest.mark.parametrize("prefix", ["cinn.", "module.cinn."])
def test_a_prefix_of_the_names_does_not_matter(left_behind: Path, prefix: str) -> None:
    state = torch.load(left_behind / "best_cluster_cinn.pt", weights_only=True)
    torch.save(
        {"state_dict": {prefix + name: value for name, value in state.items()}},
        left_behind / "other.pt",
    )
    one, two = (
        import_original(
            left_behind / name, left_behind / "processed_data", left_behind / name[:-3]
        )
        for name in ("best_cluster_cinn.pt", "other.pt")
    )
    pairs = zip(
        one.flow.state_dict().values(), two.flow.state_dict().values(), strict=True
    )
    assert all(torch.equal(mine, other) for mine, other in pairs)


# --- scalers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def scaler() -> StandardScaler:
    rng = np.random.default_rng(0)
    return StandardScaler().fit(
        pd.DataFrame(rng.normal(size=(30, 3)) * [1, 5, 9] + 4, columns=["a", "b", "c"])
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickled_scaler_is_read_without_running_it(
    scaler: StandardScaler, protocol: int, tmp_path: Path
) -> None:
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(scaler, protocol=protocol))
    found = read_scaler(tmp_path / "s.pkl")
    np.testing.assert_array_equal(found.mean, scaler.mean_)
    np.testing.assert_array_equal(found.scale, scaler.scale_)
    assert found.names == ("a", "b", "c")


def test_a_scaler_dumped_by_joblib_is_read(
    scaler: StandardScaler, tmp_path: Path
) -> None:
    joblib.dump(scaler, tmp_path / "s.joblib")
    found = read_scaler(tmp_path / "s.joblib")
    np.testing.assert_array_equal(found.mean, scaler.mean_)
    np.testing.assert_array_equal(found.scale, scaler.scale_)
    assert found.names == ("a", "b", "c")


def test_a_scaler_of_an_array_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "s.pkl").write_bytes(
        pickle.dumps(StandardScaler().fit(np.random.default_rng(0).random((9, 2))))
    )
    assert read_scaler(tmp_path / "s.pkl").names == ()


def test_a_scaler_as_arrays_is_read(scaler: StandardScaler, tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mean=scaler.mean_, scale=scaler.scale_)
    np.testing.assert_array_equal(read_scaler(tmp_path / "s.npz").scale, scaler.scale_)


class Malicious:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_scaler_is_refused_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(Malicious(tmp_path / "hacked")))
    with pytest.raises(DataError, match="which no scaler needs"):
        read_scaler(tmp_path / "s.pkl")
    assert not (tmp_path / "hacked").exists()
    pickle.loads((tmp_path / "s.pkl").read_bytes())
    assert (tmp_path / "hacked").exists(), (
        "the pickle must be one that would have run code"
    )


def test_code_beside_a_scaler_is_refused_and_not_run(
    scaler: StandardScaler, tmp_path: Path
) -> None:
    scaler.more = Malicious(tmp_path / "hacked")
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(scaler))
    with pytest.raises(DataError, match="which no scaler needs"):
        read_scaler(tmp_path / "s.pkl")
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "damage or another format"),
        (b"not a pickle", "expected a pickled StandardScaler"),
        (pickle.dumps([1, 2]), r"another object \(list\)"),
        (pickle.dumps(StandardScaler()), "StandardScaler that is not fitted"),
        (pickle.dumps(LinearRegression()), "which no scaler needs"),
        (pickle.dumps(PowerTransformer().fit(np.eye(3))), "which no scaler needs"),
    ],
)
def test_what_is_no_scaler_is_refused(
    content: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / "s.pkl").write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_scaler(tmp_path / "s.pkl")


NESTED = (
    b"\x80\x02]"
    + b"".join(
        b"q" + bytes([depth]) + b"](h" + bytes([depth]) + b"h" + bytes([depth]) + b"e"
        for depth in range(60)
    )
    + b"."
)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02]r\xff\xff\xff\xff.",  # a memo of 2^32 places
        b"\x80\x04\x8e"
        + b"\xff" * 7
        + b"\x0f"
        + b"abc.",  # 2^60 bytes that are not there
        b"\x80\x02" + b"(" * 100_000 + b".",
        NESTED,  # a list of 2^60 items
    ],
)
def test_a_hostile_pickle_takes_no_memory(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.pkl").write_bytes(content)
    with pytest.raises(DataError, match="expected a pickled StandardScaler"):
        read_scaler(tmp_path / "s.pkl")


def test_nested_objects_in_place_of_names_are_refused(
    scaler: StandardScaler, tmp_path: Path
) -> None:
    scaler.feature_names_in_ = np.array([["a", ["b"]], 3, None], dtype=object)
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(scaler))
    with pytest.raises(DataError, match="objects other than text"):
        read_scaler(tmp_path / "s.pkl")


def test_a_cut_scaler_is_refused(scaler: StandardScaler, tmp_path: Path) -> None:
    joblib.dump(scaler, tmp_path / "s.joblib", compress=("xz", 3))
    with pytest.raises(DataError, match=r"numpy\.savez"):
        read_scaler(tmp_path / "s.joblib")
    joblib.dump(scaler, tmp_path / "s.joblib", compress=3)
    cut = (tmp_path / "s.joblib").read_bytes()[:200]
    (tmp_path / "s.joblib").write_bytes(cut)
    with pytest.raises(DataError, match="cut short"):
        read_scaler(tmp_path / "s.joblib")
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(scaler)[:200])
    with pytest.raises(DataError, match="damage"):
        read_scaler(tmp_path / "cut.pkl")
    with pytest.raises(DataError, match="expected a readable file"):
        read_scaler(tmp_path / "none.pkl")
    (tmp_path / "s.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="arrays mean and scale"):
        read_scaler(tmp_path / "s.npz")


# --- what cannot be imported -----------------------------------------------------------------------------------------


def refused(folder: Path, state: Any, told: str) -> None:
    torch.save(state, folder / "bad.pt")
    with pytest.raises((BundleError, DataError), match=told):
        import_original(folder / "bad.pt", folder / "processed_data", folder / "model")
    assert not (folder / "model").exists()


def test_other_checkpoints_are_refused(left_behind: Path) -> None:
    state = torch.load(left_behind / "best_cluster_cinn.pt", weights_only=True)
    refused(left_behind, torch.nn.Linear(2, 2), "another object or damage")
    refused(left_behind, [1, 2], "expected a state dict of tensors; got list")
    refused(left_behind, {"weight": torch.zeros(2)}, r"module_list.0.subnet1")
    refused(
        left_behind,
        {**state, **{f"twin.{k}": v for k, v in state.items()}},
        "got 2 networks",
    )
    refused(
        left_behind,
        {**state, "module_list.30.loc": torch.zeros(3)},
        "GLOW coupling blocks and fixed permut",
    )
    refused(
        left_behind,
        {**state, "module_list.24.perm": torch.arange(6)},
        "two permutations in a row",
    )
    refused(
        left_behind,
        {**state, "module_list.2.subnet1.2.bias": torch.zeros(5)},
        "coupling blocks of one shape",
    )
    lacking = {
        name: value
        for name, value in state.items()
        if name != "module_list.0.subnet1.2.bias"
    }
    refused(left_behind, lacking, "linear layers with a bias")
    shallow = {
        name: value
        for name, value in state.items()
        if not name.startswith("module_list.0.subnet1.2")
    }
    refused(left_behind, shallow, "two linear layers or more")
    wide = {**state, "module_list.0.subnet1.0.weight": torch.zeros(64, 10)}
    refused(left_behind, wide, "hidden layers of one width")
    with torch.random.fork_rng():
        refused(
            left_behind,
            freia_glow(5, 7).state_dict(),
            "as many Y columns as its scaler",
        )
    with pytest.raises(BundleError, match="expected a readable file"):
        import_original(
            left_behind / "none.pt",
            left_behind / "processed_data",
            left_behind / "model",
        )


def test_a_missing_or_second_scaler_is_refused_in_one_line(
    left_behind: Path, command: Command
) -> None:
    line = f"import-original {left_behind}/best_cluster_cinn.pt --processed-dir {left_behind}/processed_data"
    (left_behind / "processed_data/x_scaler.joblib").touch()
    command(f"{line} --out {left_behind}/model").demand_error(
        "one scaler of X", "scaler_X.pkl, x_scaler.joblib"
    )
    for path in (left_behind / "processed_data").glob("*x*"):
        path.unlink()
    (left_behind / "processed_data/scaler_X.pkl").unlink(missing_ok=True)
    command(f"{line} --out {left_behind}/model").demand_error(
        "one scaler of X", "scaler_Y.pkl"
    )
    (left_behind / "model").mkdir()
    (left_behind / "model/mine").touch()
    command(f"{line} --out {left_behind}/model").demand_error("--overwrite")


# --- processed tables ------------------------------------------------------------------------------------------------


def test_processed_tables_come_back_to_catalogue_values(
    left_behind: Path, tables: Tables, command: Command
) -> None:
    folder = left_behind / "processed_data"
    tables[0].to_csv(left_behind / "observables1.csv", index=False)
    line = f"prepare --processed-dir {folder} --clusters {left_behind}/observables1.csv"
    done = command(f"{line} --out {left_behind}/run")
    assert done.code == 0, done.err
    run = open_run(left_behind / "run")
    joined = (
        tables[0]
        .merge(
            tables[1].drop(columns="HaloOrigID", errors="ignore"),
            on=["HaloID", "Snapshot"],
        )
        .dropna(subset=Y_COLUMNS)
    )
    expected = joined[joined.last_M_Crit500_coll > 0]
    found = run.catalogue.table
    assert found.HaloOrigID.tolist() == expected.HaloOrigID.tolist()
    for columns in (X_COLUMNS, Y_COLUMNS):
        np.testing.assert_allclose(
            found[columns], expected[columns], rtol=1e-11, atol=1e-11
        )
    assert [entry["name"] for entry in run.record["files"]] == [
        "X.csv",
        "Y.csv",
        "meta.csv",
    ]


def test_processed_tables_that_cannot_be_used_are_refused(
    left_behind: Path, tables: Tables, command: Command
) -> None:
    folder = left_behind / "processed_data"
    line = f"prepare --processed-dir {folder} --out {left_behind}/run"
    command(line).demand_error("HaloOrigID", "--clusters")
    tables[0].iloc[:-40].to_csv(left_behind / "few.csv", index=False)
    command(f"{line} --clusters {left_behind}/few.csv").demand_error("without")
    tables[0].to_csv(left_behind / "all.csv", index=False)
    line = f"{line} --clusters {left_behind}/all.csv"
    scaled = pd.read_csv(folder / "X.csv")
    (scaled + 5).to_csv(folder / "X.csv", index=False)
    command(line).demand_error("scaled columns", "--observables")
    scaled.iloc[:-1].to_csv(folder / "X.csv", index=False)
    command(line).demand_error("meta.csv", "scaler_X.pkl")
    assert command(f"prepare --out {left_behind}/run").code == 2


def test_a_scaler_that_ends_in_a_number_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "s.pkl").write_bytes(b"\x80\x04G\x00\x00.")  # a float of two bytes
    with pytest.raises(DataError, match=r"s\.pkl"):
        read_scaler(tmp_path / "s.pkl")
