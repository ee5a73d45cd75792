"""The campaign at small size, and inputs that it found, each refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from random import Random

import h5py
import numpy as np
import pytest
import torch

from cinn_clusters.bundle import FORMAT_VERSION, INFO, MANIFEST, WEIGHTS, read_bundle
from cinn_clusters.errors import CinnError
from cinn_clusters.files import sha256_of
from cinn_clusters.storage.map_store import is_store
from cinn_clusters.storage.model import load_model
from fuzz.campaign import Campaign, is_right, table, watch
from fuzz.corpus import build
from support import Command

NUMBER = 100


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("fuzz") / "corpus")


def test_spoilt_inputs_are_answered_or_refused(corpus: Path, tmp_path: Path) -> None:
    """In forked processes, each input under its watch; the slow lines are left to the campaign."""
    campaign = Campaign(corpus, tmp_path, seed=0)
    indices = [
        index for index in range(2 * NUMBER) if campaign.kind(index) != "slow line"
    ]
    outcomes = list(watch(campaign, indices[::2], processes=1))
    wrong = [outcome for outcome in outcomes if not is_right(outcome)]
    assert not wrong, "\n".join(
        f"{one.index} {one.kind}: {one.message}" for one in wrong
    )
    assert "| mapping |" in table(outcomes)
    assert len({outcome.outcome for outcome in outcomes}) > 1


def test_no_bit_of_a_model_may_flip(corpus: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(corpus / "run/model", tmp_path / "model"))
    rng = Random(0)
    for name in (MANIFEST, INFO, WEIGHTS):
        whole = (model / name).read_bytes()
        for place in rng.sample(range(len(whole)), 60):
            data = bytearray(whole)
            data[place] ^= 1 << rng.randrange(8)
            (model / name).write_bytes(data)
            try:
                read_bundle(model)
            except CinnError:
                continue
            assert name == MANIFEST
            assert json.loads(data) == json.loads(whole)
        (model / name).write_bytes(whole)


# --- what the campaign found -------------------------------------------------------------------


DEEP = "[" * 20_000 + "]" * 20_000
HUGE = "9" * 5000


@pytest.mark.parametrize("value", [DEEP, HUGE, f"0x{'f' * 500}", "2" * 30])
def test_settings_that_nest_or_count_too_far(
    value: str, corpus: Path, tmp_path: Path, command: Command
) -> None:
    line = f"train {corpus / 'run'}"
    command(f"{line} --set train.epochs={value}").demand_error("--set", "more than")
    file = tmp_path / "config.toml"
    file.write_text(f"[train]\nepochs = {value}\n")
    command(f"{line} --config {file}").demand_error("config.toml", "valid TOML")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(f"[redshift]\ncolumn = {value}\n")
    infer = f"infer --catalogue {corpus / 'observed.csv'} --out {tmp_path / 'p.nc'}"
    command(f"{infer} --mapping {mapping}").demand_error("mapping.toml", "valid TOML")
    columns = tmp_path / "columns.toml"
    columns.write_text(f"[keys]\nhalo = {value}\n")
    command(f"{prepare_line(corpus, tmp_path)} --columns {columns}").demand_error(
        "columns.toml", "valid TOML"
    )


def prepare_line(corpus: Path, out: Path) -> str:
    mock = corpus / "mock"
    tables = f"--observables {mock / 'observables1.csv'} --targets {mock / 'unobservables1.csv'}"
    return f"prepare {tables} --out {out / 'run'}"


@pytest.mark.parametrize(
    "setting",
    ["model.members=1000", "autoregressive.blocks=100", "autoregressive.layers=16"],
)
def test_a_network_larger_than_any_machine(
    setting: str, corpus: Path, command: Command
) -> None:
    line = f"train {corpus / 'run'} --set autoregressive.hidden=4096 --set {setting}"
    command(line).demand_error("'autoregressive'", "at most 1e+08 weights")


@pytest.mark.parametrize(
    "options", ["--samples 1000000000", "--threads 1000000000000", "--seed 1e3"]
)
def test_options_without_bound(
    options: str, corpus: Path, tmp_path: Path, command: Command
) -> None:
    line = f"infer --catalogue {corpus / 'simulated.csv'} --out {tmp_path / 'p.nc'}"
    assert command(f"{line} {options}").code == 2


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_what_is_no_file_is_refused_at_once(
    kind: str, corpus: Path, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "input.csv"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    for line in (
        f"infer --catalogue {path} --out {tmp_path / 'p.nc'}",
        f"infer --catalogue {corpus / 'observed.csv'} --mapping {path} --out {tmp_path / 'p.nc'}",
        f"maps {path} --out {tmp_path / 'm.h5'}",
        f"train {corpus / 'run'} --config {path}",
    ):
        command(line).demand_error(
            "input.csv", "readable" if "maps" not in line else ""
        )


def sign(model: Path) -> None:
    hashes = {name: sha256_of(model / name) for name in (INFO, WEIGHTS)}
    (model / MANIFEST).write_text(
        json.dumps({"format_version": FORMAT_VERSION, "sha256": hashes})
    )


@pytest.fixture
def model(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus / "run/model", tmp_path / "model"))


@pytest.fixture
def encoder(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus / "encoder", tmp_path / "encoder"))


def changed_tensors(folder: Path, change: str) -> str:
    """Change a tensor, sign the bundle anew, and return the name of the tensor."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / WEIGHTS)
    name = next(
        name
        for name, value in sorted(tensors.items())
        if value.is_floating_point() and value.ndim > 1
    )
    value = tensors[name]
    if change == "NaN":
        value.view(-1)[0] = torch.nan
    elif change == "rank":
        tensors[name] = value[None].clone()
    elif change == "type":
        tensors[name] = value.double()
    else:
        del tensors[name]
    save_file(tensors, folder / WEIGHTS)
    sign(folder)
    return name


@pytest.mark.parametrize("change", ["NaN", "rank", "type", "missing"])
def test_tensors_of_another_recipe(
    change: str,
    model: Path,
    encoder: Path,
    corpus: Path,
    tmp_path: Path,
    command: Command,
) -> None:
    name = changed_tensors(model, change).removeprefix("selection.")
    line = f"infer --catalogue {corpus / 'simulated.csv'} --out {tmp_path / 'p.nc'}"
    command(f"{line} --model {model}").demand_error(str(model), name, "train")
    name = changed_tensors(encoder, change).removeprefix("backbone.")
    line = f"embed encode --maps {corpus / 'maps.h5'} --out {tmp_path / 'v'}"
    command(f"{line} --model {encoder}").demand_error(str(encoder), name, "train")
    assert not (tmp_path / "p.nc").exists()
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\u0000"}',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
        DEEP,
        HUGE,
        "[]",
    ],
)
def test_information_that_is_no_json_of_ours(text: str, model: Path) -> None:
    (model / INFO).write_text(text)
    sign(model)
    with pytest.raises(CinnError, match="expected"):
        load_model(model)


SPOILT_STORES = {
    "rank": "not (N, H, H)",
    "infinite": "finite pixels",
    "empty map": "finite pixels",
    "text": "log_brightness of",
    "names": "filename of shape",
    "twice": "2 times",
    "width": "half_width_r500",
    "gone": "log_brightness",
    "group": "a store of maps",
    "huge": "GiB of memory",
}


@pytest.mark.parametrize(("way", "message"), SPOILT_STORES.items())
def test_a_store_of_maps_that_is_none(
    way: str, message: str, corpus: Path, tmp_path: Path, command: Command
) -> None:
    store = Path(shutil.copy(corpus / "maps.h5", tmp_path / "spoilt.h5"))
    with h5py.File(store, "r+") as file:
        values, names = file["log_brightness"][:], file["filename"][:]
        del file["log_brightness"], file["filename"]
        if way == "rank":
            values = values[..., None]
        elif way == "infinite":
            values[1, 2, 3] = np.inf
        elif way == "empty map":
            values[1] = np.nan
        elif way == "text":
            values = np.full(values.shape, b"x")
        elif way == "names":
            names = names[1:]
        elif way == "twice":
            names[0] = names[1]
        elif way == "width":
            file.attrs["half_width_r500"] = np.nan
        file["filename"] = names
        if way == "group":
            file.create_group("log_brightness")
        elif way == "huge":
            del file["counts"], file["exposure"]
            shape = (len(names), 10**6, 10**6)
            file.create_dataset("log_brightness", shape, "f2", chunks=(1, 64, 64))
        elif way != "gone":
            file["log_brightness"] = values
    line = f"embed encode --model {corpus / 'encoder'} --out {tmp_path / 'v'}"
    command(f"{line} --maps {store}").demand_error("spoilt.h5", message)


def test_no_damage_to_hdf5_is_a_store(corpus: Path, tmp_path: Path) -> None:
    """HDF5 raises what it likes where its tables of links are damaged."""
    whole = (corpus / "images/map.hdf5").read_bytes()
    path = tmp_path / "map.hdf5"
    for place in range(96, 1200, 3):
        data = bytearray(whole)
        data[place] ^= 0x40
        path.write_bytes(data)
        assert not is_store(path)


def test_keys_that_nest_too_deeply(
    corpus: Path, tmp_path: Path, command: Command
) -> None:
    """Their parser takes memory with the square of the depth."""
    columns = tmp_path / "columns.toml"
    columns.write_text("a." * 20_000 + "b = 1\n")
    line = f"{prepare_line(corpus, tmp_path)} --columns {columns}"
    command(line).demand_error("50 levels of nesting")


@pytest.mark.parametrize("name", ["upper", "covariance", "distances"])
def test_a_support_of_another_shape(name: str, model: Path) -> None:
    info = json.loads((model / INFO).read_text())
    info["training_support"][name] = [info["training_support"][name]]
    (model / INFO).write_text(json.dumps(info))
    sign(model)
    with pytest.raises(CinnError, match=f"'{name}' of shape"):
        load_model(model)


@pytest.mark.parametrize("out", ["/", ".", '""'])
def test_a_place_without_a_name(out: str, corpus: Path, command: Command) -> None:
    line = prepare_line(corpus, Path("x")).replace("--out x/run", f"--out {out}")
    command(line).demand_error("a path with a name")


def test_text_that_no_terminal_takes_is_escaped() -> None:
    line = str(CinnError("a\x1b[31m\udcff", "text", "\u202e" + "x" * 5000))
    assert line.isprintable()
    assert len(line) < 700
    assert r"\x1b" in line
    assert r"\udcff" in line
