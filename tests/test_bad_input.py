"""Bad input: one line that says what was expected, exit code 1, nothing written and nothing
lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import schema
from cinn_clusters.bundle import FORMAT_VERSION
from support import TINY, Command

Frames = tuple[pd.DataFrame, pd.DataFrame]
Change = Callable[[pd.DataFrame, pd.DataFrame], Frames | None]


def prepare_line(folder: Path, extra: str = "") -> str:
    return (
        f"prepare --observables {folder / 'observables1.csv'} --targets {folder / 'unobservables1.csv'} "
        f"--out {folder / 'run'} {extra}"
    )


def write(frames: Frames, folder: Path) -> None:
    for frame, name in zip(
        frames, ("observables1.csv", "unobservables1.csv"), strict=True
    ):
        frame.to_csv(folder / name, index=False)


def set_value(table: int, name: str, value: object) -> Change:
    def change(observables: pd.DataFrame, targets: pd.DataFrame) -> None:
        frame = (observables, targets)[table]
        row = int(np.flatnonzero(targets["last_d_peri"].notna())[3])
        frame[name] = frame[name].astype(object)
        frame.loc[row, name] = value

    return change


def repeat(observables: pd.DataFrame, targets: pd.DataFrame) -> Frames:
    return pd.concat([observables, observables.iloc[[5]]]), targets


def drop_column(table: int, name: str) -> Change:
    def change(*frames: pd.DataFrame) -> None:
        del frames[table][name]

    return change


def keep_rows(
    observables: pd.DataFrame, targets: pd.DataFrame, mask: pd.Series
) -> Frames:
    return observables[mask], targets[mask]


def no_history(observables: pd.DataFrame, targets: pd.DataFrame) -> None:
    names = [name for name in targets if name.startswith(("last_", "mean_"))]
    targets[names] = np.nan


def two_clusters_in_one(observables: pd.DataFrame, targets: pd.DataFrame) -> None:
    targets.loc[3, "HaloOrigID"] = 17


def other_keys(observables: pd.DataFrame, targets: pd.DataFrame) -> None:
    targets["HaloID"] += 10_000_000


def late(observables: pd.DataFrame, targets: pd.DataFrame) -> None:
    targets.loc[targets["last_T_coll"].idxmin(), "last_T_coll"] = 13.79


BAD: dict[str, tuple[Change, tuple[str, ...]]] = {
    "missing observable": (
        drop_column(0, "GroupGasMass"),
        ("'GroupGasMass'", "no such column", "observables1.csv"),
    ),
    "missing target": (
        drop_column(1, "last_d_peri"),
        ("'last_d_peri'", "no such column", "unobservables1.csv"),
    ),
    "missing key": (drop_column(0, "Snapshot"), ("'Snapshot'",)),
    "missing cluster column": (
        drop_column(0, "HaloOrigID"),
        ("'HaloOrigID'", "pass --cluster-column"),
    ),
    "missing bound of the collision time": (
        drop_column(0, "lookback_time_Gyr"),
        ("'lookback_time_Gyr'",),
    ),
    "text": (
        set_value(0, "GroupGasMass", "n/k"),
        ("'GroupGasMass'", "expected numbers", "'n/k'", "line "),
    ),
    "broken key": (set_value(0, "HaloID", 12.5), ("'HaloID'", "whole numbers", "12.5")),
    "NaN": (
        set_value(0, "lookback_time_Gyr", np.nan),
        ("'lookback_time_Gyr'", "1 NaN", "HaloID", "--drop-incomplete"),
    ),
    "part of a history": (
        set_value(1, "last_d_peri", np.nan),
        ("'last_d_peri'", "1 NaN", "--drop-incomplete"),
    ),
    "infinity": (
        set_value(0, "bcg_StellarMass", -np.inf),
        ("'bcg_StellarMass'", "1 infinite", "HaloID"),
    ),
    "infinite target": (
        set_value(1, "last_V_coll", np.inf),
        ("'last_V_coll'", "1 infinite"),
    ),
    "ratio above 1": (
        set_value(1, "last_Mass_ratio", 1.5),
        ("'last_Mass_ratio'", "[0, 1]", "1 outside", "1.5"),
    ),
    "negative mass": (
        set_value(1, "last_Subcluster_mass", -0.2),
        ("'last_Subcluster_mass'", "1 outside"),
    ),
    "another mark": (
        set_value(1, "last_M_Crit500_coll", -99.0),
        ("'last_M_Crit500_coll'", "1 outside", "-99"),
    ),
    "duplicate keys": (
        repeat,
        ("HaloID and Snapshot", "each once", "1 repeated", "line 322"),
    ),
    "no history at all": (
        no_history,
        ("targets", "at least one row with a known history"),
    ),
    "one cluster": (
        lambda o, t: keep_rows(o, t, o["HaloOrigID"] == 1),
        ("at least 5 clusters", "got 1"),
    ),
    "one row": (
        lambda o, t: keep_rows(o, t, o.index == 8),
        ("at least 5 clusters", "got 1"),
    ),
    "no rows": (lambda o, t: keep_rows(o, t, o.index < 0), ("at least one row",)),
    "two clusters in one": (
        two_clusters_in_one,
        ("'HaloOrigID'", "one cluster in both files"),
    ),
    "nothing in common": (other_keys, ("common pairs",)),
    "after the observation": (
        late,
        ("'last_T_coll'", "at most the age at observation"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_refused_in_one_line(
    name: str, tables: Frames, tmp_path: Path, command: Command
) -> None:
    change, told = BAD[name]
    frames = tables[0].copy(), tables[1].copy()
    write(change(*frames) or frames, tmp_path)
    command(prepare_line(tmp_path)).demand_error(*told)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "observables1.csv",
        "unobservables1.csv",
    ]


def is_log10(name: str) -> bool:
    return schema.column(name).unit.startswith("log10")


def ten_times(name: str, factor: float) -> Change:
    def change(*frames: pd.DataFrame) -> None:
        frame = frames[name in schema.DEFAULT_TARGETS]
        frame[name] = (
            frame[name] + np.log10(factor) if is_log10(name) else frame[name] * factor
        )

    return change


def other_scale(name: str) -> Change:
    def change(*frames: pd.DataFrame) -> None:
        frame = frames[name in schema.DEFAULT_TARGETS]
        frame[name] = (
            10.0 ** frame[name]
            if is_log10(name)
            else np.log10(frame[name].clip(lower=1e-3))
        )

    return change


@pytest.mark.parametrize("factor", [10.0, 0.1])
@pytest.mark.parametrize("name", [*schema.DEFAULT_OBSERVABLES, *schema.DEFAULT_TARGETS])
def test_a_factor_ten_is_found(
    name: str, factor: float, tables: Frames, tmp_path: Path, command: Command
) -> None:
    frames = tables[0].copy(), tables[1].copy()
    ten_times(name, factor)(*frames)
    write(frames, tmp_path)
    # a wrong lookback time shows in what depends on it: M500 against R500, or collisions after the observation
    by_itself = not (name == schema.LOOKBACK and factor < 1) and name != schema.MASS
    command(prepare_line(tmp_path)).demand_error(*([name] if by_itself else []))


@pytest.mark.parametrize("name", [*schema.DEFAULT_OBSERVABLES, *schema.DEFAULT_TARGETS])
def test_a_logarithm_mistaken_is_found(
    name: str, tables: Frames, tmp_path: Path, command: Command
) -> None:
    frames = tables[0].copy(), tables[1].copy()
    other_scale(name)(*frames)
    write(frames, tmp_path)
    command(prepare_line(tmp_path)).demand_error(name if is_log10(name) else "")


def test_an_unusual_sample_can_be_allowed(
    tables: Frames, tmp_path: Path, command: Command
) -> None:
    frames = tables[0].copy(), tables[1].copy()
    ten_times("bcg_SubhaloBHMass", 0.1)(*frames)
    write(frames, tmp_path)
    command(prepare_line(tmp_path)).demand_error("--allow-atypical")
    assert command(prepare_line(tmp_path, "--allow-atypical")).code == 0


NOT_A_TABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "nothing"),
    "blank": (b"\n\n", "expected"),
    "latin-1": ("HaloID,Snapshot,größe\n1,2,3\n".encode("latin-1"), "HaloOrigID"),
    "utf-16": ("HaloID,Snapshot\n1,2\n".encode("utf-16"), "HaloOrigID"),
    "ragged": (b"HaloID,Snapshot\n1,2\n1,2,3,4\n", "rows of equal length"),
    "too wide": (b"HaloID,Snapshot\n1,2,3\n1,3,3\n", "2 values a row"),
    "twice": (b"HaloID,Snapshot,HaloID\n1,2,3\n", "each name once"),
    "header only": (b"HaloOrigID,HaloID,Snapshot\n", "at least one row"),
}


@pytest.mark.parametrize("name", NOT_A_TABLE)
def test_what_is_no_table_is_refused(
    name: str, files: tuple[Path, Path], command: Command
) -> None:
    content, told = NOT_A_TABLE[name]
    files[0].write_bytes(content)
    line = command(prepare_line(files[0].parent)).demand_error("observables1.csv")
    assert told.replace("nothing", "") in line
    assert not (files[0].parent / "run").exists()


def test_a_missing_file_is_named(files: tuple[Path, Path], command: Command) -> None:
    files[1].unlink()
    command(prepare_line(files[0].parent)).demand_error(
        "unobservables1.csv", "No such file"
    )


def test_a_byte_order_mark_is_read_as_what_it_is(
    files: tuple[Path, Path], command: Command
) -> None:
    folder = files[0].parent
    assert command(prepare_line(folder)).code == 0
    without = (folder / "run/X.csv").read_bytes()
    files[0].write_bytes(b"\xef\xbb\xbf" + files[0].read_bytes())
    assert command(prepare_line(folder, "--overwrite")).code == 0
    assert (folder / "run/X.csv").read_bytes() == without


# --- bundles ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "model", tmp_path / "model"))


def infer_line(model: Path, trained: Path, out: Path) -> str:
    return f"infer --model {model} --catalogue {trained.parent / 'observables1.csv'} --out {out} --draws 20"


@pytest.mark.parametrize(
    "name", ["manifest.json", "bundle.json", "weights.safetensors"]
)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_bundle_is_refused(
    name: str, damage: str, model: Path, trained: Path, tmp_path: Path, command: Command
) -> None:
    content = bytearray((model / name).read_bytes())
    if damage == "missing":
        (model / name).unlink()
    elif damage == "truncated":
        (model / name).write_bytes(content[: len(content) // 2])
    else:
        place = (
            content.index(b'"') + 1 if name == "manifest.json" else len(content) // 2
        )
        content[place] ^= 0x10
        (model / name).write_bytes(content)
    command(infer_line(model, trained, tmp_path / "p.nc")).demand_error(str(model))
    assert command(f"show {model}").code == 1
    assert not list(tmp_path.glob("p*"))


def test_a_newer_bundle_asks_for_a_newer_package(
    model: Path, trained: Path, tmp_path: Path, command: Command
) -> None:
    manifest = model / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "format_version": FORMAT_VERSION + 1}))
    command(infer_line(model, trained, tmp_path / "p.nc")).demand_error(
        f"format up to {FORMAT_VERSION}", f"format {FORMAT_VERSION + 1}", "upgrade"
    )


def test_no_bundle_and_no_run_are_named(tmp_path: Path, command: Command) -> None:
    command(f"show {tmp_path}").demand_error(str(tmp_path), "a bundle")
    for stage in ("train", "evaluate", "crossval", "audit"):
        command(f"{stage} {tmp_path}").demand_error(
            str(tmp_path), "a prepared run", "cinn-clusters prepare"
        )


# --- runs and settings -----------------------------------------------------------------------------------------------


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["X.csv", "Y.csv", "meta.csv"])
def test_a_changed_table_is_noticed(name: str, run: Path, command: Command) -> None:
    text = (run / name).read_text()
    (run / name).write_text(text.replace("1", "2", 1))
    command(f"audit {run}").demand_error("changed")
    (run / name).unlink()
    command(f"audit {run}").demand_error(name)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("train.epoch=5", ("'train.epoch'", "unknown", "epochs")),
        ("modell.blocks=5", ("'modell'", "known: seed, model, autoregressive")),
        ("model.blocks=5", ("'model.blocks'", "it is now autoregressive.blocks")),
        ("train.uncertain=true", ("'train.uncertain'", "it is now train.augment")),
        ("autoregressive.layers=1000000000000", ("less than or equal to 16",)),
        ("train.epochs=-1", ("'train.epochs'", "greater than or equal to 1")),
        ("train.epochs=many", ("'train.epochs'", "integer")),
        ("train.epochs", ("--set", "section.key=value")),
        ("model.flow=magic", ("'model.flow'", "glow")),
    ],
)
def test_a_wrong_setting_is_refused(
    setting: str, told: tuple[str, ...], run: Path, command: Command
) -> None:
    command(f"train {run} --overwrite --set {setting}").demand_error(*told)


def test_a_config_file_that_is_none_is_refused(
    run: Path, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "my.toml"
    command(f"train {run} --overwrite --config {path}").demand_error(
        "my.toml", "No such file"
    )
    path.write_text("[train\n")
    command(f"train {run} --overwrite --config {path}").demand_error(
        "my.toml", "valid TOML"
    )


def test_a_device_that_is_not_there_is_refused(run: Path, command: Command) -> None:
    command(f"train {run} --overwrite --device tpu9 {TINY}").demand_error(
        "device 'tpu9'"
    )


def test_a_loss_that_is_not_finite_stops_the_training(
    run: Path, command: Command
) -> None:
    before = (run / "model/weights.safetensors").read_bytes()
    result = command(
        f"train {run} --overwrite {TINY} --set train.learning_rate=1e3 --set train.clip=1e9"
    )
    last = result.err.strip().splitlines()[-1]
    assert result.code == 1
    assert last.startswith("error: ")
    assert "finite" in last
    assert "epoch" in last
    assert (run / "model/weights.safetensors").read_bytes() == before


def test_what_exists_is_not_overwritten(
    run: Path, files: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    assert command(prepare_line(tmp_path)).code == 0
    for name in ("posterior.nc", "summary.csv", "scores.json"):
        (run / name).write_text("mine")
    (run / "crossval").mkdir()
    (run / "crossval/scores.json").write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for line in (
        prepare_line(tmp_path),
        f"mock --clusters 2 --out {tmp_path / 'run'}",
        f"train {run}",
        f"evaluate {run}",
        f"crossval {run} {TINY}",
        infer_line(run / "model", run, run / "posterior.nc").replace(
            str(run.parent / "observables1"), str(files[0])[:-4]
        ),
    ):
        result = command(line)
        assert result.code == 1, line
        assert "--overwrite" in result.err, line
    assert {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    } == before


def test_overwrite_replaces_only_what_is_ours(
    files: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    precious = tmp_path / "run/thesis.tex"
    precious.parent.mkdir()
    precious.write_text("years")
    command(prepare_line(tmp_path, "--overwrite")).demand_error("not ours to replace")
    assert precious.read_text() == "years"


def test_usage_errors_are_told_apart(command: Command) -> None:
    assert command("prepare --seed 1").code == 2
    assert command("train").code == 2
    assert command("fly").code == 2
