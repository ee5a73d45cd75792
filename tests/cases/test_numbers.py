"""Columns of any size, one wrong value, few values, few clusters, dead features: work or say why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5netcdf
import numpy as np
import pandas as pd
import pytest

from cinn_clusters.data.declared import read_schema
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.diagnostics.scores import contraction
from cinn_clusters.errors import DataError
from cinn_clusters.evaluation.json_model import JsonModel, Number
from cinn_clusters.moments import far_values, robust_moments
from cinn_clusters.pipeline.simulation.crossval import crossval
from cinn_clusters.pipeline.simulation.diagnose import diagnose
from cinn_clusters.pipeline.simulation.evaluate import evaluate
from cinn_clusters.pipeline.simulation.prepare import TableFiles, prepare
from cinn_clusters.pipeline.simulation.train import train
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.schema import DEFAULT
from cinn_clusters.settings.config import Config, read_config
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.storage.run import Run, open_run
from support import TINY, Command

Columns = dict[str, np.ndarray]
NUM_SNAPSHOTS = 3
AUGMENT = "train.augment=true"


def tiny(*changes: str) -> Config:
    parts = [part for part in TINY.split() if part != "--set"]
    return read_config(changes=[*parts, *changes])


def write_tables(folder: Path, x: Columns, y: Columns) -> TableFiles:
    num_rows = len(next(iter(x.values())))
    num_clusters = num_rows // NUM_SNAPSHOTS
    numbers = np.arange(num_rows)
    keys = pd.DataFrame(
        {"HaloID": numbers % num_clusters, "Snapshot": numbers // num_clusters}
    )
    keys["HaloOrigID"] = keys.HaloID
    folder.mkdir(exist_ok=True)
    paths = folder / "x.csv", folder / "y.csv"
    for columns, path in zip((x, y), paths, strict=True):
        keys.assign(**columns).to_csv(path, index=False)
    return TableFiles(*paths)


def make_run(folder: Path, x: Columns, y: Columns) -> Run:
    files = write_tables(folder, x, y)
    return prepare(files, folder / "run", schema=DEFAULT.choose(list(x), list(y)))


def prepare_line(folder: Path, x: Columns, y: Columns, more: str = "") -> str:
    files = write_tables(folder, x, y)
    columns = f"--x-columns {','.join(x)} --y-columns {','.join(y)}"
    tables = f"--observables {files.observables} --targets {files.targets}"
    return f"prepare {tables} {columns} --out {folder}/run {more}"


def normal(seed: int, num_clusters: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=num_clusters * NUM_SNAPSHOTS)


def demand_finite(values: object) -> None:
    """Check that every number of a JSON file is one."""
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            demand_finite(value)
    elif isinstance(values, float):
        assert math.isfinite(values)
    else:
        assert values is not None


SIZES = {"lx": 1e44, "flux": 1e-14, "tiny": 1e-299, "huge": 1e301}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose columns are as large and small as numbers get, with posterior and diagnosis."""
    base = normal(0)
    x = {
        name: size * np.exp(0.3 * (base + 0.5 * normal(number + 2)))
        for number, (name, size) in enumerate(SIZES.items())
    }
    y = {
        f"{name}_of_y": size * np.exp(0.4 * (base + 0.3 * normal(number + 7)))
        for number, (name, size) in enumerate(SIZES.items())
    }
    folder = tmp_path_factory.mktemp("wide")
    run = make_run(folder, x, y).path
    train(run, tiny(AUGMENT))
    evaluate(run, Sampling(60))
    diagnose(run / "posterior.nc")
    return run


@pytest.mark.parametrize("name", list(SIZES))
def test_case_203f_a_luminosity_as_target(wide: Path, name: str) -> None:
    scores = json.loads((wide / "scores.json").read_text())
    demand_finite({**scores, "unphysical": 0.0, "config": {}})
    assert "not_finite" not in scores
    column = f"{name}_of_y"
    assert 0.1 < scores["crps_per_target"][column] < 1.5  # in units of the spread
    assert 0.1 < scores["mae"][column]["median"] / SIZES[name] < 1.0
    with h5netcdf.File(wide / "posterior.nc", "r") as file:
        samples = file["posterior"][column][:]
    assert samples.dtype == np.float64
    assert 0.3 < np.median(samples) / SIZES[name] < 3.0
    summary = pd.read_csv(wide / "summary.csv")
    assert (summary[f"{column}_lower68"] < summary[f"{column}_upper68"]).all()


def test_case_203f_its_diagnosis_is_finite(wide: Path) -> None:
    diagnosis = json.loads((wide / "diagnostics.json").read_text())
    assert "not_finite" not in diagnosis
    for target in diagnosis["targets"].values():
        demand_finite({key: target[key] for key in ("z_mean", "contraction", "crps")})
    assert "NLL beside a reference" not in str(diagnosis["skipped"])


@pytest.mark.parametrize("name", list(SIZES))
def test_case_203g_and_203b_columns_of_any_size(wide: Path, name: str) -> None:
    run = open_run(wide)
    index = run.catalogue.observables.index(name)
    train_rows = run.catalogue.rows(run.split.train)
    x = run.transforms.standardise_inputs(train_rows.inputs(run.transforms.inputs))
    assert abs(float(x[:, index].mean())) < 1e-9
    assert abs(float(x[:, index].std(correction=0)) - 1.0) < 0.05  # a clip at 4
    # the features of the model are those of the same table in other units
    transforms = load_posterior(wide / "model").transforms
    assert isinstance(transforms, MeasurementTransforms)
    inputs = train_rows.inputs(transforms.inputs)
    features = transforms.standardise_inputs(inputs).numpy()
    np.testing.assert_allclose(features[:, :4], x, rtol=1e-9, atol=1e-9)
    masked = transforms.without(inputs, np.arange(4) != index)
    filled = transforms.standardise_inputs(masked).numpy()
    assert np.corrcoef(filled[:, index], features[:, index])[0, 1] > 0.5


def test_a_model_of_large_numbers_answers_a_catalogue(
    wide: Path, tmp_path: Path, command: Command
) -> None:
    line = f"infer --model {wide}/model --catalogue {wide.parent}/x.csv --samples 20"
    done = command(f"{line} --out {tmp_path}/a.nc --table {tmp_path}/a.csv")
    assert done.code == 0, done.err
    assert "collision" not in done.err  # these targets are no collisions
    table = pd.read_csv(tmp_path / "a.csv")
    ratio = table.huge_of_y_median / 1e301
    assert ratio.between(0.05, 20.0).all()


# --- one wrong value -----------------------------------------------------------------


def with_outlier(values: np.ndarray, row: int = 7, value: float = 1e12) -> np.ndarray:
    changed = values.copy()
    changed[row] = value
    return changed


def test_case_203c_an_outlier_among_the_observables(
    tmp_path: Path, command: Command
) -> None:
    a, b = normal(0), normal(1)
    y = {"y": a + 0.1 * normal(2)}
    done = command(prepare_line(tmp_path, {"a": a, "b": with_outlier(b)}, y))
    assert done.code == 0, done.err
    assert "column 'b': 1 of 72 values beyond 1000 robust deviations" in done.err
    assert "1e+12 at HaloID 7, Snapshot 0" in done.err
    run = open_run(tmp_path / "run")
    assert len(run.record["cautions"]) == 1
    # the other rows stand where they would without it, in both kinds of model
    (tmp_path / "plain").mkdir()
    plain = make_run(tmp_path / "plain", {"a": a, "b": b}, y)
    is_other = (run.catalogue.table.HaloID != 7) | (run.catalogue.table.Snapshot != 0)
    for one, two in ((run, plain), (augmented(run), augmented(plain))):
        found, expected = (
            item.transforms.standardise_inputs(
                item.catalogue.inputs(item.transforms.inputs)
            ).numpy()[is_other]
            for item in (one, two)
        )
        assert found[:, 1].std() > 0.7
        np.testing.assert_allclose(found[:, 1], expected[:, 1], atol=0.2)
    train(run.path, tiny(AUGMENT))
    model = load_posterior(run.path / "model")
    inputs = run.catalogue.inputs(model.inputs)
    assert np.isfinite(model.sample(inputs, 5)).all()


def test_an_outlier_beside_tiny_values(tmp_path: Path) -> None:
    flux = 1e-14 * (1.0 + 0.1 * normal(1))
    columns = {"a": normal(0), "flux": with_outlier(flux, value=1.0)}
    run = make_run(tmp_path, columns, {"y": normal(2)})
    entry = run.transforms.observables[1]
    assert 0.5e-15 < entry.scale * entry.unit < 2e-15
    assert "column 'flux': 1 of 72 values" in run.record["cautions"][0]


def augmented(run: Run) -> Run:
    """The run with the transforms of a model that accepts missing values."""
    rows = run.catalogue.rows(run.split.train)
    names = run.catalogue.observables
    columns = dict(zip(names, rows.inputs(names).T, strict=True))
    return replace(run, transforms=accept_missing_values(run.transforms, columns))


def test_an_outlier_among_the_targets_is_refused(
    tmp_path: Path, command: Command
) -> None:
    y = {"y": normal(0), "z": with_outlier(normal(1), 3, -1e9)}
    line = command(prepare_line(tmp_path, {"a": normal(2)}, y)).demand_error(
        "target 'z'", "-1e+09 at HaloID 3, Snapshot 0", "[columns.z]", "missing_mark"
    )
    assert "72 values" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "number"),
    [
        (with_outlier(normal(0)), 1),
        (1e-14 * with_outlier(normal(0), value=1e5), 1),
        (1e300 * with_outlier(normal(0), value=1e7), 1),
        (2460000.5 + 1e-3 * with_outlier(normal(0), value=1e6), 1),
        (normal(0), 0),
        (np.exp(3.0 * normal(0)), 0),  # a long tail
        (np.where(normal(0) > 1, np.exp(20 + 5 * normal(1)), 1e-6 * normal(2)), 0),
        (np.full(72, 5.0), 0),
        (np.append(np.full(71, 5.0), np.nan), 0),
        (np.full(3, np.nan), 0),
    ],
)
def test_what_is_far_off_is_relative_to_the_spread(
    values: np.ndarray, number: int
) -> None:
    assert far_values(values).sum() == number


def test_the_robust_deviation_has_the_unit_of_its_column() -> None:
    values = normal(0)
    median, spread = robust_moments(values)
    scaled = robust_moments(values * 2.0**-900)
    assert scaled == (median * 2.0**-900, spread * 2.0**-900)


def test_a_column_that_spans_decades_is_said_to_be_a_logarithm(
    tmp_path: Path, command: Command
) -> None:
    mass, noise = 10.0 ** (13.5 + 0.7 * normal(0)), normal(1)
    done = command(prepare_line(tmp_path, {"m": mass, "b": noise}, {"y": normal(2)}))
    assert done.code == 0, done.err
    assert done.err.count("caution:") == 1
    assert "column 'm': positive values over decades" in done.err
    assert "declare log = true in [columns.m]" in done.err
    (tmp_path / "c.toml").write_text('[columns.m]\nlog = true\nunit = "Msun"\n')
    line = prepare_line(tmp_path, {"m": mass, "b": noise}, {"y": normal(2)})
    done = command(f"{line} --columns {tmp_path}/c.toml --overwrite")
    assert done.code == 0, done.err
    assert "caution" not in done.err
    assert open_run(tmp_path / "run").transforms.observables[0].is_log


@pytest.mark.parametrize("offset", [0.0, 1.7e9, 2460000.5])
def test_a_spread_counts_beside_a_large_mean(offset: float, tmp_path: Path) -> None:
    x = {"t": offset + 1e-3 * normal(0), "b": normal(1)}
    run = make_run(tmp_path, x, {"y": normal(2)})
    assert run.transforms.observables[0].scale > 0


@pytest.mark.parametrize("value", [0.1, 0.0, 1e44, -3e-14, 1e-299])
def test_a_constant_column_is_refused(value: float, tmp_path: Path) -> None:
    x = {"t": np.full(72, value), "b": normal(1)}
    with pytest.raises(DataError, match=r"column 't'.*differ.*--x-columns"):
        make_run(tmp_path, x, {"y": normal(2)})


# --- few values ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (int, "the two values 0 and 1"),
        (float, "resolution = 1"),
        (bool, "logical values (True)"),
    ],
)
def test_case_204b_a_logical_target_is_refused(
    kind: type, reason: str, tmp_path: Path, command: Command
) -> None:
    y = {"y": normal(0), "merger": (normal(1) > 0).astype(kind)}
    command(prepare_line(tmp_path, {"a": normal(2)}, y)).demand_error(
        "'merger'", reason
    )


def test_case_204b_a_discrete_target_is_told_and_spread_on_request(
    tmp_path: Path, command: Command
) -> None:
    count = np.random.default_rng(1).integers(0, 4, 72)
    line = prepare_line(tmp_path, {"a": normal(2)}, {"y": normal(0), "count": count})
    done = command(line)
    assert done.code == 0, done.err
    assert "target 'count': 4 values only (0, 1, 2, 3)" in done.err
    assert "declare resolution = 1 in [columns.count]" in done.err
    (tmp_path / "c.toml").write_text(
        "[columns.count]\nresolution = 1\nbounds = [-0.5, 4]\n"
    )
    done = command(f"{line} --columns {tmp_path}/c.toml --overwrite")
    assert done.code == 0, done.err
    assert "caution" not in done.err
    schema = read_schema(tmp_path / "c.toml")
    assert schema.column("count").resolution == 1
    run = tmp_path / "run"
    train(run, tiny())
    scores = evaluate(run, Sampling(40))
    assert scores.nll.mean is not None
    assert scores.unphysical == 0.0


@pytest.mark.parametrize(
    "values",
    [
        np.tile(np.arange(24.0), 3),  # a whole number for each cluster
        np.round(1000 + 300 * normal(3)),  # velocities in whole km/s
        np.repeat(normal(4)[:24], 1).tolist() * 3,
    ],
)
def test_whole_numbers_of_a_continuous_quantity_are_no_matter(
    values: np.ndarray, tmp_path: Path
) -> None:
    run = make_run(tmp_path, {"a": normal(0)}, {"v": np.array(values)})
    assert run.record["cautions"] == []


# --- few clusters --------------------------------------------------------------------


@pytest.mark.parametrize("num_clusters", [5, 6, 10])
def test_case_205_5_few_clusters(
    num_clusters: int, tmp_path: Path, command: Command
) -> None:
    a, b, y = (normal(seed, num_clusters) for seed in range(3))
    run = make_run(tmp_path, {"a": a, "b": b}, {"y": a + 0.1 * y}).path
    train(run, tiny())
    done = command(f"evaluate {run} --draws 40")
    assert done.code == 0, done.err
    assert "energy_score.se is not finite: of one cluster" in done.err
    scores = json.loads((run / "scores.json").read_text())
    assert scores["energy_score"]["se"] is None
    assert "of one cluster" in scores["not_finite"]["energy_score.se"]
    command(f"diagnose {run}/posterior.nc").demand_error(
        "at least 2 clusters", "3 rows of 1", "crossval"
    )
    assert not (run / "diagnostics.json").exists()


def test_case_205_5_all_clusters_out_of_fold(tmp_path: Path) -> None:
    a, y = normal(0, 5), normal(1, 5)
    run = make_run(tmp_path, {"a": a}, {"y": a + 0.1 * y}).path
    crossval(run, tiny(), Sampling(40), num_folds=2)
    diagnosis = diagnose(run / "crossval" / "posterior.nc")
    assert diagnosis.clusters == 5
    assert not diagnosis.not_finite()


# --- scores --------------------------------------------------------------------------


class Wanting(JsonModel):
    contraction: dict[str, Number]
    se: Number
    fine: Number


def test_what_is_not_finite_is_named_with_its_reason(tmp_path: Path) -> None:
    wanting = Wanting(contraction={"y": math.nan, "z": 1.0}, se=math.inf, fine=0.5)
    wanting.write(tmp_path / "w.json")
    values = json.loads((tmp_path / "w.json").read_text())
    assert values["contraction"] == {"y": None, "z": 1.0}
    assert "equal" in values["not_finite"]["contraction.y"]
    assert set(values["not_finite"]) == {"contraction.y", "se"}
    assert Wanting.read(tmp_path / "w.json").fine == 0.5


def test_equal_ground_truths_have_no_contraction() -> None:
    samples = np.random.default_rng(0).normal(size=(9, 4, 1))
    assert np.isnan(contraction(samples, np.ones((4, 1)))).all()
    assert np.isnan(contraction(samples[:, :1], np.ones((1, 1)))).all()


# --- dead features of an embedding ---------------------------------------------------


def write_vectors(folder: Path, change: Callable[[np.ndarray], None]) -> str:
    keys = pd.read_csv(folder / "x.csv")
    vectors = np.maximum(np.random.default_rng(5).normal(size=(len(keys), 6)), 0.0)
    change(vectors)
    names = [
        f"snap_{s:03d}_halo_{h}_proj_0.jpg"
        for h, s in zip(keys.HaloID, keys.Snapshot, strict=True)
    ]
    np.save(folder / "vectors.npy", vectors.astype(np.float32))
    np.save(folder / "names.npy", np.array(names))
    return f"--embeddings {folder}/vectors.npy --filenames {folder}/names.npy"


def kill_some(vectors: np.ndarray) -> None:
    vectors[:, 3] = 0.0  # of a ReLU
    vectors[:, 0] = 0.7
    vectors[:, 5] = np.nan


def test_case_165o_dead_units_are_left_out_and_counted(
    tmp_path: Path, command: Command
) -> None:
    a = normal(0)
    line = prepare_line(tmp_path, {"a": a}, {"y": a + 0.1 * normal(1)})
    maps = write_vectors(tmp_path, kill_some)
    done = command(f"{line} {maps}")
    assert done.code == 0, done.err
    assert "3 features of the embedding are constant" in done.err
    assert "embedding_000, embedding_003, embedding_005" in done.err
    run = open_run(tmp_path / "run")
    assert run.record["dead_features"] == [f"embedding_00{k}" for k in (0, 3, 5)]
    alive = ("a", "embedding_001", "embedding_002", "embedding_004")
    assert run.catalogue.observables == alive
    train(run.path, tiny(AUGMENT))
    model = load_posterior(run.path / "model")
    assert model.inputs[:4] == alive
    # the same vectors are answered, their dead features left out again
    line = f"infer --model {run.path}/model --catalogue {tmp_path}/x.csv {maps}"
    done = command(f"{line} --samples 5 --out {tmp_path}/a.nc")
    assert done.code == 0, done.err
    np.save(tmp_path / "vectors.npy", np.ones((len(a), 5)))
    command(f"{line} --samples 5 --out {tmp_path}/b.nc").demand_error("6 features")


def kill_all(vectors: np.ndarray) -> None:
    vectors[:] = np.arange(6)


def test_all_dead_units_are_refused(tmp_path: Path, command: Command) -> None:
    line = prepare_line(tmp_path, {"a": normal(0)}, {"y": normal(1)})
    maps = write_vectors(tmp_path, kill_all)
    command(f"{line} {maps}").demand_error("6 constant", "--embeddings")


def test_a_vector_with_a_gap_is_refused(tmp_path: Path, command: Command) -> None:
    line = prepare_line(tmp_path, {"a": normal(0)}, {"y": normal(1)})

    def break_one(vectors: np.ndarray) -> None:
        vectors[4, 2] = np.nan

    maps = write_vectors(tmp_path, break_one)
    command(f"{line} {maps}").demand_error("1 rows with NaN", "row 4")
