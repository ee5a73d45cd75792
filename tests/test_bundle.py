"""A bundle comes back as it was written, or says what is wrong with it: every single bit counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cinn_clusters.bundle import (
    FORMAT_VERSION,
    INFO,
    MANIFEST,
    WEIGHTS,
    read_bundle,
    write_bundle,
)
from cinn_clusters.errors import BundleError, OutputError
from cinn_clusters.files import sha256_of
from cinn_clusters.storage.model import describe_bundle, load_posterior
from support import Command

TENSORS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "order": torch.tensor([2, 0, 1]),
    "one": torch.tensor(0.5),
}
INFORMATION = {"package": "cinn-clusters", "nested": {"list": [1, None, "é"]}}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", INFORMATION, TENSORS)
    return tmp_path / "bundle"


def signed_anew(bundle: Path) -> None:
    """Give changed files hashes that fit."""
    manifest = {
        "format_version": FORMAT_VERSION,
        "sha256": {name: sha256_of(bundle / name) for name in (INFO, WEIGHTS)},
    }
    (bundle / MANIFEST).write_text(json.dumps(manifest))


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
INTEGERS = st.integers(-(2**63), 2**64 - 1)


@given(
    weight=arrays(
        np.float32,
        array_shapes(max_dims=3, max_side=4, min_side=0),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    order=arrays(np.int64, array_shapes(max_dims=2, max_side=4)),
    info=st.dictionaries(TEXT, st.none() | INTEGERS | TEXT, max_size=4),
)
def test_goes_round(
    weight: np.ndarray,
    order: np.ndarray,
    info: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.getbasetemp() / "hypothesis-bundle"
    tensors = {
        "weight": torch.from_numpy(weight).transpose(0, -1),
        "order": torch.from_numpy(order),
    }
    write_bundle(place, info, tensors, overwrite=True)
    again = read_bundle(place)
    assert again.info == info
    assert set(again.tensors) == set(tensors)
    for name, value in tensors.items():
        assert again.tensors[name].dtype == value.dtype
        assert torch.equal(again.tensors[name], value)


def test_same_content_same_bytes(bundle: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "other", INFORMATION, TENSORS)
    assert {path.name for path in bundle.iterdir()} == {MANIFEST, INFO, WEIGHTS}
    for name in (MANIFEST, INFO, WEIGHTS):
        assert (bundle / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize("name", [INFO, WEIGHTS])
def test_no_bit_may_flip(name: str, bundle: Path) -> None:
    whole = (bundle / name).read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 8)
        (bundle / name).write_bytes(data)
        with pytest.raises(
            BundleError, match=f"{name}: expected sha256 .*copy the bundle again"
        ):
            read_bundle(bundle)


def test_no_bit_of_the_manifest_may_flip_unless_it_says_the_same(bundle: Path) -> None:
    whole = (bundle / MANIFEST).read_bytes()
    refused = 0
    for place in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            (bundle / MANIFEST).write_bytes(data)
            try:
                read_bundle(bundle)
            except BundleError:
                refused += 1
            else:
                assert json.loads(data) == json.loads(whole), data
    assert refused > 7.5 * len(whole)


@pytest.mark.parametrize("name", [MANIFEST, INFO, WEIGHTS])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_no_file_may_be_cut(name: str, share: float, bundle: Path) -> None:
    whole = (bundle / name).read_bytes()
    (bundle / name).write_bytes(whole[: int(share * (len(whole) - 2))])
    with pytest.raises(BundleError, match=name):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (MANIFEST, "a bundle .a folder with manifest.json.; got none; train one first"),
        (INFO, "bundle.json: expected a file of the bundle; got nothing"),
        (WEIGHTS, "weights.safetensors: expected a file of the bundle; got nothing"),
    ],
)
def test_no_file_may_be_missing(name: str, told: str, bundle: Path) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=told):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (
            FORMAT_VERSION + 1,
            f"bundle format up to {FORMAT_VERSION}; got format {FORMAT_VERSION + 1}; upgrade cinn-clusters",
        ),
        (10**18, "upgrade cinn-clusters"),
        (10**30, "a whole number of more than 64 bits"),
        (0, "a format version; got 0"),
        (-1, "a format version; got -1"),
        (True, "a format version; got True"),
        (1.0, "a format version; got 1.0"),
        ("1", "a format version; got '1'"),
        (None, "a format version; got None"),
    ],
)
def test_another_format_is_told(version: object, told: str, bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "format_version": version}))
    with pytest.raises(BundleError, match=told):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "manifest",
    ["[]", "3", '{"format_version": 1}', '{"format_version": 1, "sha256": {}}'],
)
def test_a_manifest_of_something_else_is_told(manifest: str, bundle: Path) -> None:
    (bundle / MANIFEST).write_text(manifest)
    with pytest.raises(BundleError, match=r"manifest.json: expected"):
        read_bundle(bundle)


@pytest.mark.parametrize("weights", [b"", b"not safetensors", b"\xff" * 100])
def test_signed_nonsense_is_no_model(weights: bytes, bundle: Path) -> None:
    (bundle / WEIGHTS).write_bytes(weights)
    signed_anew(bundle)
    with pytest.raises(BundleError, match=r"weights.safetensors: expected tensors"):
        read_bundle(bundle)


def test_a_bundle_of_something_else_is_no_posterior(
    bundle: Path, trained: Path
) -> None:
    with pytest.raises(
        BundleError, match=r"a model of format 3; got .*; train it again"
    ):
        load_posterior(bundle)
    for name in (INFO, WEIGHTS):
        mixed = bundle.parent / name
        shutil.copytree(trained / "model", mixed)
        shutil.copy(bundle / name, mixed / name)
        signed_anew(mixed)
        with pytest.raises(
            BundleError, match=r"a model of format 3; got .*; train it again"
        ):
            load_posterior(mixed)


@pytest.mark.parametrize("info", ["[1]", "null", "3"])
def test_signed_information_of_another_kind_is_told(
    info: str, bundle: Path, command: Command
) -> None:
    (bundle / INFO).write_text(info)
    signed_anew(bundle)
    for face in (load_posterior, describe_bundle):
        with pytest.raises(BundleError, match="bundle"):
            face(bundle)
    command(f"show {bundle}").demand_error(str(bundle))


def test_show_of_a_bundle_of_something_else_is_told(
    bundle: Path, command: Command
) -> None:
    command(f"show {bundle}").demand_error(str(bundle), "train it again")


def test_what_exists_is_not_replaced(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--overwrite"):
        write_bundle(bundle, {}, TENSORS)
    assert read_bundle(bundle).info == INFORMATION
    write_bundle(bundle, {"new": 1}, TENSORS, overwrite=True)
    assert read_bundle(bundle).info == {"new": 1}
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/a").write_text("mine")
    with pytest.raises(OutputError, match="not ours"):
        write_bundle(tmp_path / "precious", {}, TENSORS, overwrite=True)
    assert (tmp_path / "precious/a").read_text() == "mine"
