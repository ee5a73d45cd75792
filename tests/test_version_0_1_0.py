"""Files of version 0.1.0 load, and models answer as they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cinn_clusters.posterior.query import Sampling
from support import Command

OLD = Path(__file__).parent / "version_0_1_0"
EXPECTED = json.loads((OLD / "expected.json").read_text())
MODELS = {
    "exact": OLD / "run/model",
    "any": OLD / "models/any",
    "glow": OLD / "models/glow",
    "combined": OLD / "models/combined",
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_the_same_samples_and_densities(name: str) -> None:
    from cinn_clusters import load_posterior

    posterior = load_posterior(MODELS[name], device="cpu")
    expected = EXPECTED[name]
    assert list(posterior.inputs) == expected["inputs"]
    inputs = np.array(expected["x"], dtype=float)  # null is NaN: not measured
    samples = np.array(expected["samples"])

    # version 0.1.0 numbered the streams of objects by their rows
    rows = range(len(inputs))
    again = posterior._draw(posterior.context(inputs), rows, Sampling(4, seed=5))
    np.testing.assert_allclose(again, samples, rtol=1e-3, atol=1e-4)
    densities = posterior.log_prob(samples, inputs)
    np.testing.assert_allclose(densities, expected["log_prob"], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_described(name: str, command: Command) -> None:
    shown = json.loads(command(f"show {MODELS[name]} --json").out)
    assert shown["versions"]["cinn-clusters"] == "0.1.0"


def test_a_run_goes_on(tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run"
    shutil.copytree(OLD / "run", run)
    for line in (
        f"audit {run}",
        f"evaluate {run} --draws 20 --overwrite",
        f"diagnose {run / 'posterior.nc'}",
    ):
        result = command(line)
        assert result.code == 0, (line, result.err)


@pytest.mark.parametrize("path", ["answer.nc", "run/posterior.nc"])
def test_samples_are_read(path: str) -> None:
    from cinn_clusters.storage.posterior_file import read_samples

    targets = ("last_T_coll", "last_d_peri")
    samples = read_samples(OLD / path, targets)
    assert samples.shape[0::2] == (20, 2)
    assert np.isfinite(samples).any()


def test_maps_and_vectors_are_read() -> None:
    from cinn_clusters.data.embeddings import read_embeddings
    from cinn_clusters.storage.map_store import read_store

    store = read_store(OLD / "maps.h5")
    assert store.values.shape == (16, 16, 16)
    vectors = read_embeddings(
        OLD / "vectors/components.npy", OLD / "vectors/filenames.npy"
    )
    assert len(vectors.columns) == 4


def test_an_encoder_is_read(tmp_path: Path) -> None:
    pytest.importorskip("lightly", reason="needs the extra: maps")
    import torch

    from cinn_clusters.bundle import write_bundle
    from cinn_clusters.storage.encoder import load_encoder

    shapes = json.loads((OLD / "encoder/shapes.json").read_text())
    tensors = {
        name: torch.zeros(shape, dtype=getattr(torch, kind))
        for name, (kind, shape) in shapes.items()
    }
    info = json.loads((OLD / "encoder/bundle.json").read_text())
    write_bundle(tmp_path / "encoder", info, tensors)
    encoder = load_encoder(tmp_path / "encoder")
    assert encoder.vectors(np.zeros((2, 32, 32), np.float32)).shape == (2, 512)


def test_its_selection_probability_is_that_of_a_record() -> None:
    from cinn_clusters import load_model
    from cinn_clusters.ood.selection import UNCALIBRATED

    model = load_model(MODELS["any"], device="cpu")
    selection = model.selection
    assert selection is not None
    assert selection.calibration is UNCALIBRATED
    inputs = np.array(EXPECTED["any"]["x"], dtype=float)
    assert (selection.record_probability(inputs) > 0.0).all()
    assert not selection.is_of_usable
    assert np.isnan(selection.probability(inputs)).all()
