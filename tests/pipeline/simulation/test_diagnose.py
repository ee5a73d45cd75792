"""The stage: anyone's file, matched as the independent scorer matches it, with its numbers; bad
input in one line."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import arviz
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cinn_clusters import schema
from cinn_clusters.data.declared import read_schema
from cinn_clusters.errors import BundleError
from cinn_clusters.evaluation.diagnosis import NO_TIME
from cinn_clusters.evaluation.ground_truth import score_scales
from cinn_clusters.evaluation.joint_diagnosis import NO_DENSITIES
from cinn_clusters.evaluation.matched import TruthFiles, match_ground_truth
from cinn_clusters.pipeline.simulation.crossval import crossval
from cinn_clusters.pipeline.simulation.diagnose import diagnose
from cinn_clusters.pipeline.simulation.evaluate import evaluate
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.settings.config import read_config
from cinn_clusters.storage.posterior_file import NUM_DENSITIES, read_log_prob
from cinn_clusters.storage.run import open_run
from support import SHARED, TINY, Command

TARGETS = list(schema.DEFAULT_TARGETS)
KEYS = list(schema.KEYS)
FILES = "--targets {folder}/unobservables1.csv --observables {folder}/observables1.csv"


@pytest.fixture(scope="module")
def judged(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an out-of-fold posterior; do not write into it."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("judged") / "run"))
    settings = read_config(changes=[part for part in TINY.split() if part != "--set"])
    crossval(run, settings, Sampling(250), num_folds=2)
    return run


@pytest.fixture
def posterior(judged: Path, tmp_path: Path) -> Path:
    """That posterior alone, outside the run."""
    return Path(
        shutil.copy(judged / "crossval/posterior.nc", tmp_path / "posterior.nc")
    )


@pytest.fixture
def tables_of(trained: Path) -> TruthFiles:
    return TruthFiles(
        trained.parent / "unobservables1.csv", trained.parent / "observables1.csv"
    )


def rewrite(path: Path, change: Any) -> None:
    with xr.open_dataset(path, group="posterior", engine="h5netcdf") as data:
        changed = change(data.load())
    path.unlink()
    changed.to_netcdf(path, group="posterior", engine="h5netcdf")


@pytest.fixture(scope="module")
def report(judged: Path) -> dict[str, Any]:
    return diagnose(judged / "crossval/posterior.nc").to_json()


def test_a_file_in_a_run_needs_no_tables(judged: Path, report: dict[str, Any]) -> None:
    assert json.loads((judged / "crossval/diagnostics.json").read_text()) == report
    assert report["rows"] == len(open_run(judged).catalogue.table)
    assert list(report["targets"]) == TARGETS
    assert report["skipped"] == []
    subjects = {finding["subject"] for finding in report["findings"]}
    assert {*TARGETS, "joint"} <= subjects


def test_numbers_are_those_of_the_independent_script(
    judged: Path, trained: Path, report: dict[str, Any]
) -> None:
    if not (SHARED / "score.py").is_file():
        pytest.skip(
            f"needs the independent scorer: no {SHARED}/score.py (set CINN_CLUSTERS_SHARED)"
        )
    score = runpy.run_path(str(SHARED / "score.py"))["score"]
    tables = (
        pd.read_csv(trained.parent / name)
        for name in ("unobservables1.csv", "observables1.csv")
    )
    with xr.open_dataset(judged / "crossval/posterior.nc", group="posterior") as data:
        theirs = score(data, *tables)
    exact = {"abs": 1e-6, "rel": 0}
    assert [report[name] for name in ("rows", "clusters", "draws")] == [
        theirs[name] for name in ("rows", "clusters", "draws")
    ]
    assert report["joint"]["energy_score"]["value"] == pytest.approx(
        theirs["energy_score"], **exact
    )
    for name, of in report["targets"].items():
        assert of["crps"]["value"] == pytest.approx(
            theirs["crps_per_target"][name], **exact
        )
        assert of["contraction"] == pytest.approx(theirs["contraction"][name], **exact)


def test_skill_and_likelihood_are_those_of_crossval(
    judged: Path, report: dict[str, Any]
) -> None:
    scores = json.loads((judged / "crossval/scores.json").read_text())
    assert report["joint"]["nll"]["mean"]["value"] == pytest.approx(
        scores["nll"]["mean"], rel=1e-6
    )
    assert set(report["joint"]["energy_skill"]) == set(scores["skill"])


def test_coverage_is_of_dequantised_times_as_in_crossval(
    judged: Path, report: dict[str, Any]
) -> None:
    """That of crossval is judged by the independent script, on dequantised histories."""
    scores = json.loads((judged / "crossval/scores.json").read_text())
    errors = {name: of["calibration_error"] for name, of in report["targets"].items()}
    expected = scores["calibration_error_per_target"]
    assert errors == pytest.approx(expected, abs=1e-9, rel=0)


def test_densities_of_draws_are_written_beside_them(judged: Path) -> None:
    found = read_log_prob(judged / "crossval/posterior.nc")
    assert found is not None
    draws, truth = found
    assert draws.shape == (250, len(truth))
    assert np.isfinite(truth).all()
    assert np.isfinite(draws[:NUM_DENSITIES]).all()
    assert np.isnan(draws[NUM_DENSITIES:]).all()
    data = arviz.from_netcdf(judged / "crossval/posterior.nc")
    assert {"posterior", "sample_stats"} <= set(data.groups())


def test_the_posterior_of_evaluate_is_judged_beside_its_scores(
    trained: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    scores = evaluate(run, Sampling(60)).to_json()
    told = diagnose(run / "posterior.nc").to_json()
    assert (run / "diagnostics.json").is_file()
    assert [told[name] for name in ("rows", "clusters")] == [
        scores["rows"],
        scores["clusters"],
    ]
    assert told["joint"]["nll"]["mean"]["value"] == pytest.approx(
        scores["nll"]["mean"], rel=1e-5
    )


def test_outside_a_run_the_tables_say_the_same(
    posterior: Path, tables_of: TruthFiles, report: dict[str, Any]
) -> None:
    told = diagnose(
        posterior, tables_of, out=posterior.with_name("mine.json")
    ).to_json()
    assert json.loads(posterior.with_name("mine.json").read_text()) == told
    assert told["targets"] == report["targets"]
    assert told["joint"] == report["joint"]


def test_a_rival_with_several_chains_in_another_order(
    posterior: Path, tables_of: TruthFiles, report: dict[str, Any]
) -> None:
    """Dims in another order, two chains, objects shuffled, a variable nobody knows, no
    densities."""

    def rival(data: xr.Dataset) -> xr.Dataset:
        order = np.random.default_rng(0).permutation(data.sizes["cluster"])
        halves = [data.isel(draw=slice(begin, begin + 125)) for begin in (0, 125)]
        halves = [
            half.assign_coords(draw=np.arange(125), chain=[k])
            for k, half in enumerate(halves)
        ]
        joined = xr.concat(halves, "chain", join="outer").isel(cluster=order)
        return joined.assign(spin=2 * joined["last_d_peri"]).transpose(
            "cluster", "draw", "chain"
        )

    rewrite(posterior, rival)
    told = diagnose(posterior, tables_of).to_json()
    assert told["skipped"] == [NO_DENSITIES]
    assert "hpd" not in told["joint"]
    assert told["ignored_variables"] == ["spin"]
    assert told["draws"] == 250
    for name in TARGETS:
        ours, theirs = report["targets"][name], told["targets"][name]
        assert theirs["crps"]["value"] == pytest.approx(ours["crps"]["value"], rel=1e-6)
        assert theirs["calibration_error"] == pytest.approx(
            ours["calibration_error"], abs=1e-9
        )


def test_without_a_time_column_what_needs_it_is_skipped(
    posterior: Path, tables_of: TruthFiles, tmp_path: Path, report: dict[str, Any]
) -> None:
    assert tables_of.observables is not None
    frame = pd.read_csv(tables_of.observables).drop(columns="lookback_time_Gyr")
    frame.to_csv(tmp_path / "x.csv", index=False)
    timeless = diagnose(
        posterior, TruthFiles(tables_of.targets, tmp_path / "x.csv")
    ).to_json()
    assert timeless["skipped"] == [NO_TIME]
    assert set(timeless["joint"]["energy_skill"]) == {"prior"}
    assert timeless["joint"]["energy_score"] == report["joint"]["energy_score"]
    for name in TARGETS:
        ours, theirs = report["targets"][name], timeless["targets"][name]
        assert set(theirs["coverage_68_by_tertile"]) == {"mass"}
        assert theirs["crps"] == ours["crps"]
        is_spread = name == "last_T_coll"  # with a time, over its resolution
        assert (theirs["coverage"] == ours["coverage"]) != is_spread
    matched = match_ground_truth(posterior, tables_of)
    d = TARGETS.index("last_T_coll")
    below = (matched.samples[:239, :, d] < matched.objects.theta[:, d]).sum(axis=0)
    counts = np.bincount(below * 20 // 240, minlength=20)
    sbc = timeless["targets"]["last_T_coll"]["sbc"]
    assert sbc["counts"] == counts.tolist(), "ranks of the times as they are recorded"


OWN_COLUMNS = """
observables = ["my_mass", "z_obs", "glow"]
targets = ["last_V_coll", "ratio"]

[keys]
halo = "halo_num"
snapshot = "snap"
cluster = "tree"

[columns.my_mass]
unit = "log10 Msun"
role = "mass"

[columns.z_obs]
bounds = [0, 2]
role = "redshift"

[columns.last_V_coll]
unit = "km/s"
"""


def own_files(folder: Path) -> tuple[Path, TruthFiles]:
    """An own simulation: 40 clusters at two redshifts, its posterior the truth plus noise."""
    rng = np.random.default_rng(5)
    keys = pd.DataFrame(
        {
            "halo_num": np.arange(80) + 7,
            "snap": np.repeat([4, 9], 40),
            "tree": np.tile(np.arange(40), 2),
        }
    )
    truth = keys.drop(columns="tree").assign(
        last_V_coll=rng.normal(900.0, 200.0, 80), ratio=rng.uniform(0, 1, 80)
    )
    x = keys.assign(
        my_mass=rng.normal(14.5, 0.3, 80),
        z_obs=np.repeat([0.5, 0.1], 40),
        glow=truth["last_V_coll"] + rng.normal(0, 100, 80),
    )
    truth.to_csv(folder / "y.csv", index=False)
    x.to_csv(folder / "x.csv", index=False)
    (folder / "mine.toml").write_text(OWN_COLUMNS, encoding="utf-8")
    order = rng.permutation(80)
    widths = {"last_V_coll": 50.0, "ratio": 0.1}
    middle = {
        name: truth[name].to_numpy() + rng.normal(0, width, 80)
        for name, width in widths.items()
    }
    draws = {
        name: (middle[name] + width * rng.normal(size=(1, 250, 80)))[:, :, order]
        for name, width in widths.items()
    }
    dims = ("chain", "draw", "cluster")
    coordinates = {
        key: ("cluster", keys[key].to_numpy()[order]) for key in ("halo_num", "snap")
    }
    file = folder / "own.nc"
    data = {name: (dims, samples) for name, samples in draws.items()}
    xr.Dataset(data, coordinates).to_netcdf(file, group="posterior", engine="h5netcdf")
    schema = read_schema(folder / "mine.toml")
    return file, TruthFiles(folder / "y.csv", folder / "x.csv", schema)


def test_declared_columns_and_keys_match_an_own_simulation(
    tmp_path: Path, command: Command
) -> None:
    file, files = own_files(tmp_path)
    tables = f"--targets {files.targets} --observables {files.observables}"
    result = command(f"diagnose {file} {tables} --columns {tmp_path / 'mine.toml'}")
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "diagnostics.json").read_text())
    assert (report["rows"], report["clusters"], report["draws"]) == (80, 40, 250)
    assert list(report["targets"]) == ["last_V_coll", "ratio"]
    assert report["skipped"] == [NO_DENSITIES]
    assert set(report["joint"]["energy_skill"]) == {"prior", "prior given M500, z"}
    thirds = report["targets"]["ratio"]["coverage_68_by_tertile"]["redshift"]
    assert [(third["from"], third["rows"]) for third in thirds] == [
        (0.1, 40),
        (0.5, 40),
    ]
    assert report["targets"]["last_V_coll"]["width"]["value"] == pytest.approx(
        1, abs=0.2
    )
    posterior_sd = np.array([50.0, 0.1])
    spread = pd.read_csv(str(files.targets))[["last_V_coll", "ratio"]].std(ddof=0)
    contraction = 1 - posterior_sd**2 / spread.to_numpy() ** 2
    for name, expected in zip(report["targets"], contraction, strict=True):
        assert report["targets"][name]["contraction"] == pytest.approx(
            expected, abs=0.02
        )


def test_a_declared_column_is_scored_in_its_own_spread(tmp_path: Path) -> None:
    """last_V_coll is re-declared in km/s without a score_scale: that of TNG is another's."""
    file, files = own_files(tmp_path)
    matched = match_ground_truth(file, files)
    assert schema.column("last_V_coll").score_scale is not None
    truth = pd.read_csv(str(files.targets))[["last_V_coll", "ratio"]]
    expected = truth.std(ddof=0).to_numpy()
    scales = score_scales(matched.objects, matched.samples)
    np.testing.assert_allclose(scales, expected, rtol=1e-12)


def test_undeclared_keys_and_columns_ask_for_the_clusters_alone(
    tmp_path: Path, command: Command
) -> None:
    file, files = own_files(tmp_path)
    tables = f"--targets {files.targets} --observables {files.observables}"
    hint = "pass --cluster-column, such as halo_num"
    command(f"diagnose {file} {tables}").demand_error("tells what rows are one", hint)
    result = command(f"diagnose {file} {tables} --cluster-column tree")
    assert result.code == 0, result.err
    assert "80 rows of 40 clusters" in result.out


def test_wrong_posteriors_are_named(posterior: Path, tables_of: TruthFiles) -> None:
    """Draws pulled to their middle and pushed away from it, with the truths where they are."""

    def spoil(data: xr.Dataset) -> xr.Dataset:
        for name, width in (("last_V_coll", 0.2), ("last_d_peri", 4.0)):
            middle = data[name].median(("chain", "draw"))
            data[name] = middle + width * (data[name] - middle)
        data["last_Mass_ratio"] = data["last_Mass_ratio"] + 0.5
        return data

    rewrite(posterior, spoil)
    found = {
        (finding["subject"], finding["name"])
        for finding in diagnose(posterior, tables_of).to_json()["findings"]
    }
    assert {
        ("last_V_coll", "too narrow"),
        ("last_d_peri", "too wide"),
        ("last_Mass_ratio", "biased high"),
    } <= found
    assert ("joint", "not calibrated") in found


def test_points_and_explosions_are_judged_too(
    posterior: Path, tables_of: TruthFiles, command: Command
) -> None:
    """A regressor's single value as every draw, and a network whose draws explode."""

    def spoil(data: xr.Dataset) -> xr.Dataset:
        data["last_V_coll"] = (
            data["last_V_coll"]
            .mean(("chain", "draw"))
            .broadcast_like(data["last_V_coll"])
        )
        data["last_d_peri"][0, ::50] = 1e6
        return data

    rewrite(posterior, spoil)
    line = f"diagnose {posterior} {FILES.format(folder=tables_of.targets.parent)}"
    result = command(line)
    assert result.code == 0, result.err
    assert "Warning" not in result.err
    report = json.loads(posterior.with_name("diagnostics.json").read_text())
    assert ("last_V_coll", "too narrow") in {
        (found["subject"], found["name"]) for found in report["findings"]
    }
    assert report["targets"]["last_V_coll"]["z_sd"] is None


def test_the_table_tells_the_verdict(
    posterior: Path, tables_of: TruthFiles, command: Command
) -> None:
    result = command(
        f"diagnose {posterior} {FILES.format(folder=tables_of.targets.parent)}"
    )
    assert result.code == 0, result.err
    for told in (
        "bias 0",
        "width 1",
        "TARP",
        "L-C2ST",
        "joint HPD",
        "NLL",
        "skill, prior",
        "68 %",
    ):
        assert told in result.out, told
    for name in TARGETS:
        assert any(line.startswith(name) for line in result.out.splitlines()), name
    again = command(
        f"diagnose {posterior} {FILES.format(folder=tables_of.targets.parent)}"
    )
    again.demand_error("diagnostics.json", "--overwrite")
    line = f"diagnose {posterior} {FILES.format(folder=tables_of.targets.parent)} --overwrite --json"
    assert json.loads(command(line).out) == json.loads(
        posterior.with_name("diagnostics.json").read_text()
    )


# --- bad input -------------------------------------------------------------------------------------------------------


def refused(command: Command, posterior: Path, folder: Path, *told: str) -> None:
    command(f"diagnose {posterior} {FILES.format(folder=folder)}").demand_error(*told)
    assert not posterior.with_name("diagnostics.json").exists()


def test_what_is_no_netcdf(tmp_path: Path, trained: Path, command: Command) -> None:
    path = tmp_path / "p.nc"
    refused(command, path, trained.parent, "a readable file")
    path.write_text("not netCDF")
    refused(
        command, path, trained.parent, "p.nc", "a netCDF file with a group posterior"
    )


def test_no_object_with_a_known_history(
    posterior: Path, trained: Path, command: Command
) -> None:
    rewrite(posterior, lambda data: data.assign_coords(HaloID=data["HaloID"] + 10**9))
    refused(
        command,
        posterior,
        trained.parent,
        "objects with a known history",
        "none in common",
    )


def test_objects_that_come_twice(
    posterior: Path, trained: Path, command: Command
) -> None:
    rewrite(posterior, lambda data: data.isel(cluster=[0, 1, 1, 2]))
    refused(
        command, posterior, trained.parent, "each object once", "1 repeated", "HaloID"
    )


def test_samples_that_are_not_finite(
    posterior: Path, trained: Path, command: Command
) -> None:
    def spoil(data: xr.Dataset) -> xr.Dataset:
        data["last_d_peri"][0, 3, 5] = np.nan
        data["last_V_coll"][0, 4, 7] = np.inf
        return data

    rewrite(posterior, spoil)
    refused(
        command,
        posterior,
        trained.parent,
        "finite samples",
        "2 objects with others",
        "HaloID",
    )


def test_a_single_draw(posterior: Path, trained: Path, command: Command) -> None:
    rewrite(posterior, lambda data: data.isel(draw=[0]))
    refused(command, posterior, trained.parent, "two samples")


def test_variables_without_draws(
    posterior: Path, trained: Path, command: Command
) -> None:
    rewrite(posterior, lambda data: data.mean("draw"))
    refused(
        command,
        posterior,
        trained.parent,
        "variables with dims chain, draw, cluster",
        "none",
    )


def test_variables_nobody_knows(
    posterior: Path, trained: Path, command: Command
) -> None:
    rewrite(posterior, lambda data: data[["last_d_peri"]].rename(last_d_peri="spin"))
    refused(command, posterior, trained.parent, "variables that are columns", "spin")


def test_objects_without_keys(posterior: Path, trained: Path, command: Command) -> None:
    rewrite(posterior, lambda data: data.drop_vars("Snapshot"))
    refused(command, posterior, trained.parent, "keys HaloID and Snapshot")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("unobservables1.csv", "last_d_peri"),
        ("observables1.csv", "HaloOrigID"),
        ("unobservables1.csv", "Snapshot"),
    ],
)
def test_a_missing_column(
    file: str,
    name: str,
    posterior: Path,
    tmp_path: Path,
    tables_of: TruthFiles,
    command: Command,
) -> None:
    for path in (tables_of.targets, tables_of.observables):
        frame = pd.read_csv(path)
        (frame.drop(columns=name) if path.name == file else frame).to_csv(
            tmp_path / path.name, index=False
        )
    refused(command, posterior, tmp_path, f"column '{name}'")


def test_outside_a_run_the_tables_are_needed(
    posterior: Path, trained: Path, command: Command
) -> None:
    command(f"diagnose {posterior}").demand_error(
        "a file in a run", "pass --targets and --observables"
    )
    command(
        f"diagnose {posterior} --observables {trained.parent / 'observables1.csv'}"
    ).demand_error("expected --targets; got --observables alone")
    alone = command(
        f"diagnose {posterior} --targets {trained.parent / 'unobservables1.csv'}"
    )
    assert alone.code == 0, alone.err
    assert NO_TIME in alone.out


def test_the_posterior_is_not_overwritten(judged: Path, command: Command) -> None:
    path = judged / "crossval/posterior.nc"
    before = path.read_bytes()
    command(f"diagnose {path} --out {path} --overwrite").demand_error(
        "another file than the posterior"
    )
    assert path.read_bytes() == before


def test_densities_that_are_no_densities(
    posterior: Path, tables_of: TruthFiles
) -> None:
    sizes = {
        "lp": (("lines", "draw"), np.zeros((2, 3))),
        "lp_truth": (("lines",), np.zeros(2)),
    }
    rewrite(posterior, lambda data: data)
    xr.Dataset(sizes).to_netcdf(
        posterior, group="sample_stats", engine="h5netcdf", mode="a"
    )
    with pytest.raises(
        BundleError, match="expected log-densities of samples and ground truth"
    ):
        diagnose(posterior, tables_of)
