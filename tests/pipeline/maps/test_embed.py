"""Maps from end to end at small size: encoder, vectors, probes, pictures, one run with maps."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image

from cinn_clusters.diagnostics.probes import (
    alignment,
    effective_rank,
    knn_predictions,
    probe_embedding,
    sphere_uniformity,
)
from cinn_clusters.errors import BundleError, ConfigError, DataError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.maps.embed import match_maps, train_encoder
from cinn_clusters.pipeline.maps.probe import probe_encoders
from cinn_clusters.progress import Progress
from cinn_clusters.schema import DEFAULT_TARGETS
from cinn_clusters.settings.embedding import EmbedConfig, read_embed_config
from cinn_clusters.settings.sections import Section
from cinn_clusters.storage.encoder import (
    COMPONENTS,
    NAMES,
    VECTORS,
    encode_maps,
    load_encoder,
)
from cinn_clusters.storage.map_store import MapStore, read_store
from cinn_clusters.storage.posterior_file import read_samples
from cinn_clusters.storage.run import open_run
from support import TINY, Command

pytestmark = pytest.mark.filterwarnings("ignore")  # of Lightning and its libraries
CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = "--set embed.epochs=2 --set embed.batch=32 --set embed.size=32 --set embed.components=4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalogue, maps and a prepared run of 14 clusters."""
    from cinn_clusters import Preparation, TableFiles, prepare, write_mock
    from cinn_clusters.pipeline.maps.mock_maps import MockMaps, write_mock_maps

    path = tmp_path_factory.mktemp("embed")
    files = write_mock(path / "mock", num_clusters=14)
    options = MockMaps(14, size=32, num_projections=2, processes=1)
    write_mock_maps(Destination(path / "mock/maps"), options)
    prepare(TableFiles(*files), path / "run", options=Preparation(allow_atypical=True))
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Path:
    config = read_embed_config(
        changes=[part for part in SMALL.split() if part != "--set"]
    )
    train_encoder(
        open_run(folder / "run"),
        read_store(folder / "mock/maps"),
        config,
        Destination(folder / "encoder"),
    )
    return folder / "encoder"


def test_the_committed_settings_are_the_defaults() -> None:
    written = read_embed_config(CONFIGS / "embed.toml")
    assert written == EmbedConfig()
    spelled = tomllib.loads((CONFIGS / "embed.toml").read_text(encoding="utf-8"))
    for name, section in EmbedConfig():
        if isinstance(section, Section):
            assert spelled[name].keys() == type(section).model_fields.keys() - {
                "views"
            }, name


def test_training_sees_training_clusters_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinn_clusters.pipeline.maps import embed as module

    seen: list[int] = []

    def spy(
        method: object, data: module.MapSet, *args: object, **kwargs: object
    ) -> list[float]:
        seen.append(len(data.maps))
        assert set(data.clusters.tolist()) == set(
            range(len(set(data.clusters.tolist())))
        )
        assert data.partners.shape == (len(data.maps), 1)
        return [0.0]

    monkeypatch.setattr(module, "learn", spy)
    run = open_run(folder / "run")
    store = read_store(folder / "mock/maps")
    train_encoder(run, store, read_embed_config(), Destination(folder / "unused"))
    assert seen == [2 * len(run.split.train)]


def test_maps_find_their_rows(folder: Path) -> None:
    run, store = open_run(folder / "run"), read_store(folder / "mock/maps")
    rows, maps = match_maps(run.catalogue, store)
    table = run.catalogue.table.reset_index(drop=True)
    for key in ("HaloID", "Snapshot"):
        np.testing.assert_array_equal(
            table[key].to_numpy()[rows], store.table[key].to_numpy()[maps]
        )
    assert len(maps) == 2 * len(table)


def test_an_encoder_comes_back_as_it_was(encoder: Path, folder: Path) -> None:
    store = read_store(folder / "mock/maps")
    one, two = load_encoder(encoder), load_encoder(encoder)
    np.testing.assert_array_equal(
        one.vectors(store.values[:5]), two.vectors(store.values[:5])
    )
    components = one.components(one.vectors(store.values))
    assert components.shape == (len(store.values), 4)
    assert 0.3 < components.std() < 3.0
    assert one.info["config"]["embed"]["method"] == "simclr"
    history = pd.read_csv(encoder.with_name("encoder.history.csv"))
    assert history.epoch.tolist() == [1, 2]
    assert not list(encoder.parent.glob(".encoder*"))


def test_a_killed_training_goes_on(folder: Path, encoder: Path) -> None:
    class Killed(Exception):
        pass

    def kill(progress: Progress) -> None:
        if progress.done == 1:
            raise Killed

    config = read_embed_config(
        changes=[part for part in SMALL.split() if part != "--set"]
    )
    run, store = open_run(folder / "run"), read_store(folder / "mock/maps")
    with pytest.raises(Killed):
        train_encoder(
            run, store, config, Destination(folder / "killed"), on_progress=kill
        )
    assert not (folder / "killed").exists()
    other = read_embed_config(
        changes=[
            "embed.epochs=3",
            "embed.batch=32",
            "embed.size=32",
            "embed.components=4",
        ]
    )
    with pytest.raises(BundleError, match="this run, these maps and these settings"):
        train_encoder(run, store, other, Destination(folder / "killed"), resume=True)
    train_encoder(run, store, config, Destination(folder / "killed"), resume=True)
    weights = [
        (path / "weights.safetensors").read_bytes()
        for path in (encoder, folder / "killed")
    ]
    assert weights[0] == weights[1]
    with pytest.raises(BundleError, match="checkpoint"):
        train_encoder(run, store, config, Destination(folder / "none"), resume=True)


def test_a_killed_training_with_dropout_goes_on_and_a_damaged_checkpoint_is_told(
    folder: Path,
) -> None:
    changes = [part for part in SMALL.split() if part != "--set"] + [
        "embed.method=supervised"
    ]
    config, run, store = (
        read_embed_config(changes=changes),
        open_run(folder / "run"),
        read_store(folder / "mock/maps"),
    )
    train_encoder(run, store, config, Destination(folder / "whole"))
    torch.manual_seed(
        7
    )  # the dropout of the second run must not depend on what came before

    def kill(progress: Progress) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train_encoder(
            run, store, config, Destination(folder / "halved"), on_progress=kill
        )
    weights = folder / ".halved.checkpoint" / "weights.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1])
    with pytest.raises(BundleError, match="sha256"):
        train_encoder(run, store, config, Destination(folder / "halved"), resume=True)
    weights.write_bytes(kept)
    train_encoder(run, store, config, Destination(folder / "halved"), resume=True)
    assert (
        len(
            {
                (folder / name / "weights.safetensors").read_bytes()
                for name in ("whole", "halved")
            }
        )
        == 1
    )


def test_two_processes_train_from_the_command_line(folder: Path) -> None:
    line = f"embed train {folder / 'run'} --maps {folder / 'mock/maps'} --out {folder / 'two'} {SMALL}"
    words = [
        sys.executable,
        "-m",
        "cinn_clusters",
        *line.split(),
        "--set",
        "embed.devices=2",
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch 2 done" in done.stderr
    assert len(pd.read_csv(folder / "two.history.csv")) == 2


def test_clusters_that_an_encoder_saw_are_not_judged(
    folder: Path, encoder: Path, command: Command
) -> None:
    maps, vectors = folder / "mock/maps/maps.h5", folder / "told"
    assert (
        command(f"embed encode --model {encoder} --maps {maps} --out {vectors}").code
        == 0
    )
    seen = json.loads((vectors / "encoder.json").read_text())["clusters"]
    run = open_run(folder / "run")
    assert seen == sorted({str(c) for c in run.catalogue.clusters[run.split.train]})
    files = f"--observables {folder / 'mock/observables1.csv'} --targets {folder / 'mock/unobservables1.csv'}"
    prepared = f"prepare {files} --embeddings {vectors} --allow-atypical"
    command(f"{prepared} --seed 7 --out {folder / 'leaking'}").demand_error(
        "test clusters in its training", "--seed"
    )
    assert not (folder / "leaking").exists()
    assert command(f"{prepared} --out {folder / 'sound'}").code == 0
    result = command(f"audit {folder / 'sound'} --json")
    assert result.code == 0, result.err
    assert (
        json.loads(result.out)["test clusters, by the encoder of maps"]["shared"] == 0
    )
    command(f"crossval {folder / 'sound'} --folds 3 {TINY}").demand_error(
        "test clusters in its training"
    )


def test_maps_of_another_kind_than_trained_on_are_refused(
    folder: Path, encoder: Path, command: Command
) -> None:
    line = f"embed encode --model {encoder} --maps {folder / 'mock/maps'} --out {folder / 'unlike'}"
    command(f"{line} --variant observed").demand_error("ideal maps", "--variant ideal")
    store = read_store(folder / "mock/maps")
    with pytest.raises(DataError, match=r"1\.5 R500 to each side"):
        encode_maps(
            load_encoder(encoder),
            replace(store, half_width=0.4),
            Destination(folder / "unlike"),
        )
    unknown = replace(
        store, values=store.values[:3], table=store.table[:3], half_width=0.0
    )
    encode_maps(load_encoder(encoder), unknown, Destination(folder / "unknown_scale"))


@pytest.mark.parametrize("method", ["byol", "supervised", "joint"])
def test_other_methods_train_from_the_command_line(
    folder: Path, method: str, command: Command
) -> None:
    line = f"embed train {folder / 'run'} --maps {folder / 'mock/maps'} --method {method} --out {folder / method} {SMALL}"
    result = command(f"{line} --json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["features"] == 512
    command(line).demand_error(method, "--overwrite")


def test_vectors_judgement_pictures_and_a_combined_run(
    folder: Path, encoder: Path, command: Command
) -> None:
    maps = folder / "mock/maps/maps.h5"
    result = command(
        f"embed encode --model {encoder} --maps {maps} --out {folder / 'vectors'}"
    )
    assert result.code == 0, result.err
    shapes = [
        np.load(folder / "vectors" / name).shape
        for name in (VECTORS, COMPONENTS, NAMES)
    ]
    assert shapes == [(224, 512), (224, 4), (224,)]

    line = f"embed probe {folder / 'run'} {encoder} {folder / 'vectors'} --maps {maps} --out {folder / 'probed'}"
    result = command(line)
    assert result.code == 0, result.err
    knn = pd.read_csv(folder / "probed/knn.csv", index_col="embedding")
    assert list(knn.index) == ["encoder", "vectors", "pixels (PCA)", "morphology"]
    assert "time_since_collision" in knn
    np.testing.assert_allclose(knn.loc["encoder"], knn.loc["vectors"], atol=1e-6)
    health = json.loads((folder / "probed/embeddings.json").read_text())
    assert health["encoder"]["change_by_rotation"] >= 0.0
    assert "change_by_projection" in health["encoder"]

    result = command(
        f"embed gallery {folder / 'run'} {encoder} --maps {maps} --out {folder / 'pictures'}"
    )
    assert result.code == 0, result.err
    assert {path.name for path in (folder / "pictures").iterdir()} == {
        "plane.png",
        "quantities.png",
        "gallery.png",
        "neighbours.png",
    }
    picture = folder / "query.png"
    Image.fromarray(
        (255 * np.random.default_rng(0).random((48, 48))).astype(np.uint8)
    ).save(picture)
    asked = f"embed gallery {folder / 'run'} {encoder} --maps {maps} --query {picture} --out {folder / 'asked'}"
    assert command(asked).code == 0
    bad = f"embed gallery {folder / 'run'} {encoder} --maps {maps} --out {folder / 'p'} --colour colour"
    command(bad).demand_error("'colour'")


def test_rows_with_a_missing_observable_are_left_out_of_probes(
    folder: Path, encoder: Path
) -> None:
    run, store = open_run(folder / "run"), read_store(folder / "mock/maps")
    table = run.catalogue.table.copy()
    table.loc[run.split.train[:3], "GroupGasMass"] = np.nan
    spoilt = replace(run, catalogue=replace(run.catalogue, table=table))
    vectors = encode_maps(load_encoder(encoder), store, Destination(folder / "of_all"))
    tables = probe_encoders(
        spoilt, store, {"of_all": vectors}, Destination(folder / "probes")
    )
    assert np.isfinite(tables["knn"].loc["of_all"].astype(float)).all()


@pytest.fixture(scope="module")
def combined(folder: Path, encoder: Path) -> Path:
    """A trained run of scalars and vectors."""
    from cinn_clusters import Preparation, TableFiles, prepare, read_config, train

    vectors = encode_maps(
        load_encoder(encoder),
        read_store(folder / "mock/maps"),
        Destination(folder / "given"),
    )
    files = folder / "mock/observables1.csv", folder / "mock/unobservables1.csv"
    given = vectors / COMPONENTS, vectors / NAMES
    prepare(
        TableFiles(*files, given),
        folder / "combined",
        options=Preparation(allow_atypical=True),
    )
    changes = [part for part in TINY.split() if part != "--set"] + ["train.batch=32"]
    train(folder / "combined", read_config(CONFIGS / "combined.toml", changes))
    return folder / "combined"


def test_a_combined_model_answers_for_maps(
    folder: Path, combined: Path, command: Command
) -> None:
    assert len(open_run(combined).catalogue.observables) == 7 + 4
    line = f"infer --model {combined / 'model'} --catalogue {folder / 'mock/observables1.csv'} --draws 60 --allow-atypical"
    mixed, each = folder / "mixed.nc", folder / "each.nc"
    given = f"{line} --embeddings {folder / 'given'}"
    assert command(f"{given} --out {mixed}").code == 0
    assert command(f"{given} --projections each --out {each}").code == 0
    tables = [pd.read_csv(folder / f"{name}_table.csv") for name in ("mixed", "each")]
    assert len(tables[1]) == 2 * len(tables[0])
    assert (tables[0].num_views == 2).all()
    assert tables[1].Projection.tolist() == [0, 1] * len(tables[0])
    draws = [read_samples(path, DEFAULT_TARGETS) for path in (mixed, each)]
    for row in (0, 7):  # half of the samples come from each projection
        is_own = [
            (draws[0][:, row] == draws[1][:, 2 * row + projection]).all(1)
            for projection in (0, 1)
        ]
        assert [int(own.sum()) for own in is_own] == [30, 30]
        assert (is_own[0] ^ is_own[1]).all()
    with xr.open_dataset(each, group="posterior") as data:
        assert data["Projection"].to_numpy().tolist() == [0, 1] * len(tables[0])
    command(f"{given} --out {mixed}").demand_error("--overwrite")
    command(f"{line} --out {folder / 'no.nc'}").demand_error(
        "no map among the embeddings"
    )
    command(f"{given} --out {folder / 'no.nc'} --map").demand_error(
        "one map of each object"
    )
    own = command(f"{given} --out {folder / 'no.nc'} --table {folder / 'no.nc'}")
    own.demand_error("three files")
    assert command(f"{line} --projections each --out {folder / 'no.nc'}").code == 2
    alone = f"infer --model {folder / 'run/model'} --catalogue {folder / 'mock/observables1.csv'}"
    assert command(f"train {folder / 'run'} {TINY} --set train.batch=32").code == 0
    command(
        f"{alone} --embeddings {folder / 'given'} --out {folder / 'no.nc'}"
    ).demand_error("leave out --embeddings")


def test_rows_without_a_map_are_told_and_the_others_answered(
    folder: Path, encoder: Path, combined: Path, command: Command
) -> None:
    store = read_store(folder / "mock/maps")
    keep = store.table.HaloID != store.table.HaloID.iloc[0]
    part = replace(
        store, values=store.values[keep], table=store.table[keep].reset_index(drop=True)
    )
    encode_maps(load_encoder(encoder), part, Destination(folder / "part"))
    line = f"infer --model {combined / 'model'} --catalogue {folder / 'mock/observables1.csv'} --draws 20"
    result = command(
        f"{line} --embeddings {folder / 'part'} --out {folder / 'part.nc'} --json --allow-atypical"
    )
    assert result.code == 0, result.err
    done = json.loads(result.out)
    assert done["objects"] - done["answered"] == 1
    assert "1 of 112: no map among the embeddings" in result.err


def test_another_bundle_is_no_encoder(trained: Path) -> None:
    with pytest.raises(BundleError, match="encoder of X-ray maps"):
        load_encoder(trained / "model")


def test_maps_without_owners_cannot_be_matched(folder: Path) -> None:
    run = open_run(folder / "run")
    store = MapStore(
        np.zeros((1, 16, 16)), pd.DataFrame({"filename": ["A907"]}), 1.0, "here"
    )
    with pytest.raises(ValueError, match="names of maps like"):
        match_maps(run.catalogue, store)


def test_without_the_extra_a_line_says_what_to_install(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = f"embed train {folder / 'run'} --maps {folder} --out {folder / 'x'}"
    command(line).demand_error("pip install 'cinn-clusters[maps]'")


def test_judges_know_good_from_bad_embeddings() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(size=(600, 2))
    train, test = np.arange(400), np.arange(400, 600)
    good = np.concatenate([known, rng.normal(size=(600, 2)) * 0.1], 1)
    noise, collapsed = (
        rng.normal(size=(600, 4)),
        np.ones((600, 4)) + rng.normal(size=(600, 1)) * [1, 1, 1, 1],
    )
    told = {
        name: probe_embedding(z, known, train, test)
        for name, z in (("good", good), ("noise", noise), ("flat", collapsed))
    }
    assert (told["good"].linear > 0.99).all()
    assert (told["good"].knn > 0.8).all()
    assert (told["noise"].linear < 0.05).all()
    assert told["flat"].has_collapsed
    assert not told["noise"].has_collapsed
    assert effective_rank(noise) > 3.8
    assert effective_rank(np.ones((5, 3))) == 1.0
    assert sphere_uniformity(noise) < sphere_uniformity(collapsed)
    assert alignment(noise, noise) == 0.0
    assert alignment(noise, -noise) == pytest.approx(4.0)
    np.testing.assert_allclose(
        knn_predictions(good[train], known[train], good[test]), known[test], atol=2.0
    )


def test_timm_names_are_checked_before_anything_is_trained(folder: Path) -> None:
    config = read_embed_config(changes=["embed.backbone=resnet19"])
    with pytest.raises(ConfigError, match="another model of timm"):
        train_encoder(
            open_run(folder / "run"),
            read_store(folder / "mock/maps"),
            config,
            Destination(folder / "x"),
        )
    assert torch.is_grad_enabled()
