"""One model of scalars and maps answers rows with a map and rows without; maps are joined by key
or by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cinn_clusters import schema
from cinn_clusters.data.embeddings import ENCODER, ENCODER_HASH
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.inference.answering import InferenceOptions
from cinn_clusters.pipeline.inference.infer import infer
from cinn_clusters.pipeline.simulation.crossval import crossval
from cinn_clusters.pipeline.simulation.evaluate import evaluate
from cinn_clusters.pipeline.simulation.prepare import TableFiles, prepare
from cinn_clusters.pipeline.simulation.train import train
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.schema import DEFAULT_TARGETS
from cinn_clusters.settings.config import Config, read_config
from cinn_clusters.storage.model import load_model
from cinn_clusters.storage.posterior_file import read_samples
from cinn_clusters.storage.run import open_run
from support import TINY, Command

Tables = tuple[pd.DataFrame, pd.DataFrame]
NUM_FEATURES, NUM_WITHOUT_MAP = 3, 9
MAPPING = """
object_name = "name"
[redshift]
column = "z"
[mass]
column = "m500"
unit = "1e14 solMass"
"""


def write_vectors(folder: Path, names: list[str], sha256: str | None = None) -> Path:
    """Write a vector for each map, as ``embed encode`` does."""
    folder.mkdir()
    vectors = np.random.default_rng(len(names)).normal(size=(len(names), NUM_FEATURES))
    np.save(folder / "components.npy", vectors)
    np.save(folder / "filenames.npy", np.array(names))
    if sha256 is not None:
        facts = {"clusters": [], ENCODER_HASH: sha256}
        (folder / ENCODER).write_text(json.dumps(facts), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings() -> Config:
    """A small model that is trained with masking and noise augmentation."""
    changes = [part for part in TINY.split() if part != "--set"]
    return read_config(changes=[*changes, "train.augment=true"])


@pytest.fixture(scope="module")
def folder(
    tables: Tables, settings: Config, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run of scalars and vectors: two projections of all rows but the first nine."""
    folder = tmp_path_factory.mktemp("views")
    files = folder / "observables1.csv", folder / "unobservables1.csv"
    for frame, path in zip(tables, files, strict=True):
        frame.to_csv(path, index=False)
    has_map = tables[0].iloc[NUM_WITHOUT_MAP:]
    names = [
        f"snap_{row.Snapshot:03d}_halo_{row.HaloID}_proj_{projection}.npy"
        for row in has_map.itertuples()
        for projection in range(2)
    ]
    vectors = write_vectors(folder / "vectors", names, sha256="a" * 64)
    embeddings = vectors / "components.npy", vectors / "filenames.npy"
    prepare(TableFiles(*files, embeddings), folder / "run")
    train(folder / "run", settings)
    return folder


def answer(folder: Path, out: Path, embeddings: Path | None) -> pd.DataFrame:
    infer(
        folder / "observables1.csv",
        Destination(out, True),
        model=folder / "run/model",
        embeddings=embeddings,
        sampling=Sampling(40),
        options=InferenceOptions(allow_atypical=True),
    )
    return pd.read_csv(out.with_name(f"{out.stem}_table.csv"))


def test_rows_without_a_map_get_what_the_model_gives_without_maps(
    folder: Path, tmp_path: Path
) -> None:
    assert load_model(folder / "run/model").accepts_missing
    table = answer(folder, tmp_path / "with.nc", folder / "vectors")
    scalar = answer(folder, tmp_path / "without.nc", None)
    assert (table.num_views[:NUM_WITHOUT_MAP] == 0).all()
    assert (table.num_views[NUM_WITHOUT_MAP:] == 2).all()
    assert "num_views" not in scalar
    paths = tmp_path / "with.nc", tmp_path / "without.nc"
    samples, expected = (read_samples(path, DEFAULT_TARGETS) for path in paths)
    np.testing.assert_array_equal(
        samples[:, :NUM_WITHOUT_MAP], expected[:, :NUM_WITHOUT_MAP]
    )
    assert (
        (samples[:, NUM_WITHOUT_MAP:] != expected[:, NUM_WITHOUT_MAP:])
        .any((0, 2))
        .all()
    )


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """A published table and what its columns mean."""
    table = pd.DataFrame(
        {"name": ["A1", "A2", "A3"], "z": [0.1, 0.2, 0.3], "m500": [3.0, 5.0, 8.0]}
    )
    table.to_csv(tmp_path / "survey.csv", index=False)
    (tmp_path / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    return tmp_path / "survey.csv"


def test_maps_of_a_published_table_are_joined_by_name(
    folder: Path, survey: Path, tmp_path: Path, command: Command
) -> None:
    vectors = write_vectors(tmp_path / "maps", ["A3.fits", "B7.fits", "A1.fits"])
    line = f"infer --catalogue {survey} --mapping {tmp_path / 'mapping.toml'} "
    line += f"--model {folder / 'run/model'} --draws 30"
    result = command(f"{line} --embeddings {vectors} --out {tmp_path / 'with.nc'}")
    assert result.code == 0, result.err
    assert "maps: 2 of 2 rows, 1 rows have none" in result.err
    assert "maps: 1 of no row, first B7.fits" in result.err
    assert command(f"{line} --out {tmp_path / 'without.nc'}").code == 0

    table = pd.read_csv(tmp_path / "with_table.csv")
    assert table.num_views.tolist() == [1, 0, 1]
    with xr.open_dataset(tmp_path / "with.nc", group="constant_data") as data:
        assert data["object"].to_numpy().tolist() == ["A1", "A2", "A3"]
        given = np.array([data[f"embedding_00{k}"] for k in range(NUM_FEATURES)])
    components = np.load(vectors / "components.npy")
    np.testing.assert_allclose(given[:, [0, 2]].T, components[[2, 0]], rtol=1e-6)
    assert np.isnan(given[:, 1]).all()

    paths = tmp_path / "with.nc", tmp_path / "without.nc"
    samples, expected = (read_samples(path, DEFAULT_TARGETS) for path in paths)
    np.testing.assert_array_equal(samples[:, 1], expected[:, 1])
    assert (samples[:, [0, 2]] != expected[:, [0, 2]]).any((0, 2)).all()


def test_vectors_of_another_encoder_are_refused(
    folder: Path, survey: Path, tmp_path: Path, command: Command
) -> None:
    model = folder / "run/model"
    assert open_run(folder / "run").record[ENCODER_HASH] == "a" * 64
    assert load_model(model).provenance[ENCODER_HASH] == "a" * 64
    line = f"infer --catalogue {survey} --mapping {tmp_path / 'mapping.toml'} "
    line += f"--model {model} --draws 10"
    names = ["A1.fits", "A2.fits"]
    for sha256, is_refused in (("a" * 64, False), ("b" * 64, True), (None, False)):
        vectors = write_vectors(tmp_path / f"maps_{sha256}", names, sha256)
        out = tmp_path / f"answer_{sha256}.nc"
        result = command(f"{line} --embeddings {vectors} --out {out}")
        if is_refused:
            result.demand_error("components.npy", "another's", "encode the maps with")
        assert out.exists() != is_refused, result.err


def test_a_run_with_maps_is_scored_with_and_without_them(
    folder: Path, settings: Config
) -> None:
    evaluate(folder / "run", Sampling(30))
    scores = json.loads((folder / "run/scores.json").read_text())
    without = scores["without_maps"]
    assert without["crps"] != scores["crps"]
    out_of_fold = crossval(folder / "run", settings, Sampling(20), num_folds=2)
    assert out_of_fold.rows == len(open_run(folder / "run").catalogue.table)
    assert schema.PROJECTION in open_run(folder / "run").catalogue.table


def test_maps_of_other_objects_are_refused(
    folder: Path, survey: Path, tmp_path: Path, command: Command
) -> None:
    vectors = write_vectors(tmp_path / "maps", ["B7.fits"])
    line = f"infer --catalogue {survey} --mapping {tmp_path / 'mapping.toml'} "
    line += f"--model {folder / 'run/model'} --embeddings {vectors}"
    result = command(f"{line} --out {tmp_path / 'no.nc'}")
    result.demand_error("maps of the catalogue, such as object A1")
