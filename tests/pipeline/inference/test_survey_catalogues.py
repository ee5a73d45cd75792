"""A catalogue of an observer to an answer, with the model of the package: formats, flags,
errors, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.io.votable.ucd import parse_ucd
from astropy.table import MaskedColumn, Table

from cinn_clusters import schema
from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.catalogues.mapping import Mapping, read_preset
from cinn_clusters.catalogues.table_files import read_table, write_table
from cinn_clusters.cosmology import age_at_lookback, lookback_at_redshift
from cinn_clusters.errors import BundleError, DataError, OutputError
from cinn_clusters.files import Destination
from cinn_clusters.ood.sample_test import two_sample_test
from cinn_clusters.pipeline.inference.answering import InferenceOptions
from cinn_clusters.pipeline.inference.demo_observed import demo_observed
from cinn_clusters.pipeline.inference.infer import Inferred, infer
from cinn_clusters.posterior.collision import MajorMerger
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.progress import Progress
from cinn_clusters.storage.model import load_model, packaged_model
from cinn_clusters.storage.posterior_file import read_samples
from support import Command

SINCE = "time_since_collision_Gyr_median"


def erass(num: int = 6) -> Table:
    rng = np.random.default_rng(0)
    mass = 10.0 ** rng.normal(14.6, 0.2, num)
    return Table(
        {
            "NAME": [f"1eRASS J{row:04d}" for row in range(num)],
            "BEST_Z": rng.uniform(0.05, 0.8, num),
            "M500": mass / 1e13,
            "M500_L": 0.1 * mass / 1e13,
            "M500_H": 0.12 * mass / 1e13,
            "R500": np.full(num, np.nan),
            "MGAS500": 0.11 * mass / 1e11,
            "MGAS500_L": 0.005 * mass / 1e11,
            "MGAS500_H": 0.006 * mass / 1e11,
        }
    )


def inferred(path: Path, **options: Any) -> Inferred:
    """Infer with the mapping of eRASS1; all but mapping, model, sampling are options."""
    known = {
        name: options.pop(name) for name in ("model", "mapping") if name in options
    }
    sampling = Sampling(options.pop("num_samples", 20), options.pop("seed", 0))
    return infer(
        path,
        Destination(path.with_name("own.nc"), options.pop("overwrite", True)),
        sampling=sampling,
        options=InferenceOptions(**options),
        **{"mapping": read_preset("erass1"), **known},
    )


def answered(tmp_path: Path, table: Table, **options: object) -> Table:
    table.write(tmp_path / "own.vot", format="votable", overwrite=True)
    more = {"num_samples": 200, "table": tmp_path / "answer.ecsv", **options}
    inferred(tmp_path / "own.vot", **more)
    return read_table(tmp_path / "answer.ecsv")


def test_the_calibration_of_masses_is_printed_stored_and_replaced(
    tmp_path: Path, command: Command
) -> None:
    erass().write(tmp_path / "own.ecsv", format="ascii.ecsv")
    out = tmp_path / "own.nc"
    line = (
        f"infer --catalogue {tmp_path}/own.ecsv --preset erass1 --out {out} --draws 2"
    )
    done = command(f"{line} --mass-offset 0.155 --mass-scatter 0.08")
    assert done.code == 0, done.err
    told = "converted: mass: calibration lensing, M500 +0.155 dex, scatter 0.080 dex (offset and scatter set by hand)"
    assert told in " ".join(done.err.split())
    with xr.open_dataset(out, engine="h5netcdf") as file:
        assert file.attrs["mass_calibration"] == "lensing"
        stored = file.attrs["mass_offset_dex"], file.attrs["mass_scatter_dex"]
        assert "+0.155 dex" in file.attrs["conversions"]
    assert stored == (0.155, 0.08)
    with xr.open_dataset(out, group="constant_data", engine="h5netcdf") as file:
        told_mass = file[schema.MASS].to_numpy()
        errors = file[f"sigma_{schema.MASS}"].to_numpy()
    published = np.log10(1e13 * np.array(erass()["M500"]) * 67.77 / 67.74)
    np.testing.assert_allclose(told_mass, published + 0.155, atol=0.01)
    own_error = 0.11 / np.log(10.0)
    np.testing.assert_allclose(errors, np.hypot(own_error, 0.08), atol=0.002)
    meta = read_table(tmp_path / "own_table.ecsv").meta
    header = [meta[key] for key in ("CINNCAL", "CINNMOFF", "CINNMSCA")]
    assert header == ["lensing", 0.155, 0.08]
    by_name = line.replace("--preset erass1", "--overwrite --mass-offset 0.1")
    done = command(by_name)
    message = " ".join(done.err.replace("│", " ").split())
    assert done.code == 2
    assert "--mass-offset goes with --preset or --mapping" in message


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot", "csv", "parquet"])
def test_every_format_comes_back_with_columns_appended(
    tmp_path: Path, command: Command, ending: str
) -> None:
    kinds = {"vot": "votable", "csv": "ascii.csv", "ecsv": "ascii.ecsv"}
    own = erass()
    own["BEST_Z"][-1], own["M500"][-1] = 0.98, 9.0  # little mass, a short record
    own["MGAS500"][-1] = 90.0
    own.write(tmp_path / f"own.{ending}", format=kinds.get(ending, ending))
    out = tmp_path / "own.nc"
    line = f"infer --catalogue {tmp_path}/own.{ending} --preset erass1 --out {out} --draws 50 --no-map"
    done = command(line)
    assert done.code == 0, done.err
    table = read_table(tmp_path / f"own_table.{ending}")
    assert [str(name) for name in table["NAME"]] == [
        f"1eRASS J{row:04d}" for row in range(6)
    ]
    assert np.isfinite(np.asarray(table[SINCE], dtype=float)).all()
    assert {str(status) for status in table["cinn_status"]} <= {"ok", "flagged"}
    if ending != "csv":
        assert str(table[SINCE].unit) == "Gyr"
    assert "converted: mass: M500" in done.err
    assert "conditional on a collision that is recorded (since" in done.err
    assert "mostly a minor one" in done.err
    ends = np.asarray(table["unconditional_time_since_collision_Gyr_p84"], dtype=float)
    is_beyond = np.asarray(table["record_probability"], dtype=float) < 0.84
    assert is_beyond.any()
    assert (np.isposinf(ends) == is_beyond).all(), "longer than the window"
    with xr.open_dataset(
        tmp_path / "own.nc", group="posterior", engine="h5netcdf"
    ) as samples:
        assert samples["last_T_coll"].shape == (1, 50, 6)
        assert samples["object"].values.tolist()[0] == "1eRASS J0000"


def test_less_is_known_of_a_cluster_with_less(tmp_path: Path) -> None:
    whole = answered(tmp_path, erass(40))
    less = erass(40)
    for name in ("M500_L", "M500_H"):
        less[name] = 8.0 * less[name] / 2.0
    noisy = answered(tmp_path, less)
    none = erass(40)
    none["M500"], none["MGAS500"] = np.full(40, np.nan), np.full(40, np.nan)
    missing = answered(tmp_path, none)

    def width(table: Table) -> float:
        return float(np.mean(table["last_V_coll_p84"] - table["last_V_coll_p16"]))

    assert width(whole) < width(noisy) < width(missing)


def test_the_network_and_monte_carlo_agree(tmp_path: Path) -> None:
    told = answered(tmp_path, erass(60), num_samples=500)
    drawn = answered(tmp_path, erass(60), num_samples=500, errors="monte-carlo")
    for name in ("last_V_coll", "last_M_Crit500_coll"):
        gap = np.abs(told[f"{name}_median"] - drawn[f"{name}_median"])
        assert np.mean(gap) < 0.15 * np.mean(told[f"{name}_p84"] - told[f"{name}_p16"])


def test_draws_depend_on_seed_and_row_only(tmp_path: Path) -> None:
    whole, first = answered(tmp_path, erass()), answered(tmp_path, erass()[:3])
    np.testing.assert_allclose(whole[SINCE][:3], first[SINCE], rtol=1e-5)
    other = answered(tmp_path, erass(), seed=5)
    assert not np.allclose(whole[SINCE], other[SINCE])


def strange() -> Table:
    table = erass(5)
    table["M500"][1] *= 100.0
    for name in ("MGAS500", "MGAS500_L", "MGAS500_H"):
        table[name][2] *= 0.02
    table["BEST_Z"] = MaskedColumn(
        table["BEST_Z"], mask=[False, False, False, True, False]
    )
    table["BEST_Z"][4] = 1.2
    return table


def test_flags_say_why(tmp_path: Path) -> None:
    table = answered(tmp_path, strange())
    status = [str(one) for one in table["cinn_status"]]
    assert status[1:] == ["flagged", "flagged", "unusable", "flagged"]
    reasons = [str(one) for one in np.ma.filled(table["cinn_reasons"], "")]
    assert "above all training clusters" in reasons[1]
    assert "unlike" in reasons[2] or "below" in reasons[2]
    assert "no redshift" in reasons[3]
    assert f"{schema.LOOKBACK} above all" in reasons[4]
    assert np.ma.getmaskarray(table[SINCE]).tolist() == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert np.asarray(table["ood_score"][1]) > 0.99


def test_refused_and_kept(tmp_path: Path) -> None:
    refused = answered(tmp_path, strange(), ood="refuse")
    assert [str(one) for one in refused["cinn_status"]][1:] == [
        "refused",
        "refused",
        "unusable",
        "refused",
    ]
    with xr.open_dataset(
        tmp_path / "own.nc", group="posterior", engine="h5netcdf"
    ) as samples:
        assert samples["cluster"].values.tolist() == [0]
    kept = answered(tmp_path, strange(), ood="keep")
    assert [str(one) for one in kept["cinn_status"]] == [
        "ok",
        "ok",
        "ok",
        "unusable",
        "ok",
    ]
    np.testing.assert_allclose(kept[SINCE][0], refused[SINCE][0], rtol=1e-5)


@pytest.mark.parametrize("value", [11.96, -5.0, 0.0, -99.0, np.inf])
def test_a_value_that_was_given_and_not_used_is_flagged(
    tmp_path: Path, value: float
) -> None:
    table = erass()
    table["M500"] = MaskedColumn(
        table["M500"] * 1e13, mask=[False, True, False, False, False, False]
    )
    table["M500"][0] = value
    mapping = Mapping.model_validate(
        {"redshift": {"column": "BEST_Z"}, "mass": {"column": "M500"}}
    )
    kept = answered(tmp_path, table, mapping=mapping)
    assert [str(status) for status in kept["cinn_status"][:3]] == [
        "flagged",
        "ok",
        "ok",
    ]
    assert "taken as missing" in str(kept["cinn_reasons"][0])
    refused = answered(tmp_path, table, mapping=mapping, ood="refuse")
    assert [str(status) for status in refused["cinn_status"][:3]] == [
        "refused",
        "ok",
        "ok",
    ]
    assert np.ma.getmaskarray(refused[SINCE])[:3].tolist() == [True, False, False]


def test_a_contradiction_is_counted_once(tmp_path: Path) -> None:
    table = erass()
    table["R500"][:2] = 100.0
    table.write(tmp_path / "own.vot", format="votable")
    done = inferred(tmp_path / "own.vot")
    (told,) = [
        count for reason, count in done.reasons.items() if "contradiction" in reason
    ]
    assert told == 2


def test_a_simulated_table_may_lack_columns(tmp_path: Path, command: Command) -> None:
    rows = pd.DataFrame(
        {schema.LOOKBACK: [1.0, 3.0], schema.MASS: [14.5, 14.8], "mine": ["a", "b"]}
    )
    rows.to_csv(tmp_path / "own.csv", index=False)
    rows.assign(
        HaloID=[7, 8],
        Snapshot=99,
        **dict.fromkeys(("bcg_SubhaloMass", "GroupGasMass"), 14.6),
        bcg_StellarMass=12.5,
        bcg_SubhaloBHMass=0.3,
    ).to_csv(tmp_path / "others.csv", index=False)
    line = f"infer --catalogue {tmp_path}/own.csv --out {tmp_path}/own.nc --draws 20 --no-map"
    line += f" --analogues {tmp_path}/others.csv"
    command(line).demand_error("others.csv", "at least 5")
    many = pd.concat([pd.read_csv(tmp_path / "others.csv")] * 4, ignore_index=True)
    many.assign(HaloID=range(8)).to_csv(tmp_path / "others.csv", index=False)
    done = command(line)
    assert done.code == 0, done.err
    table = read_table(tmp_path / "own_table.csv")
    assert str(table["analogues"][0]).split()[0] == "99:0"
    assert str(table["analogues"][1]).split()[0] == "99:1"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.rename_column("M500", "M5"), "column 'M500'"),
        (
            lambda table: table.__setitem__("BEST_Z", np.full(6, -1.0)),
            "row that can be answered",
        ),
        (
            lambda table: table.__setitem__("selection_probability", np.ones(6)),
            r"column 'selection_probability'.*own\.vot; rename it",
        ),
        (
            lambda table: table.__setitem__("last_V_coll_map", np.ones(6)),
            "column 'last_V_coll_map'",
        ),
    ],
)
def test_bad_catalogues_are_refused_whole(tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    table = erass()
    change(table)
    with pytest.raises(DataError, match=told):
        answered(tmp_path, table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.vot"]


def test_places_and_models_are_looked_at_first(tmp_path: Path) -> None:
    erass().write(tmp_path / "own.fits")
    (tmp_path / "taken.nc").touch()
    with pytest.raises(OutputError, match=r"taken\.nc"):
        infer(
            tmp_path / "own.fits", tmp_path / "taken.nc", mapping=read_preset("erass1")
        )
    with pytest.raises(BundleError):
        inferred(tmp_path / "own.fits", model=tmp_path)
    russian = Table({"name": ["Пуля"], "z": [0.3]})
    russian.write(tmp_path / "own.ecsv")
    mapping = Mapping.model_validate(
        {"object_name": "name", "redshift": {"column": "z"}}
    )
    with pytest.raises(OutputError, match="ASCII"):
        inferred(tmp_path / "own.ecsv", mapping=mapping, table=tmp_path / "a.fits")
    done = inferred(tmp_path / "own.ecsv", mapping=mapping)
    assert str(read_table(done.table)["name"][0]) == "Пуля"


def test_the_packaged_model_tells_where_it_comes_from(command: Command) -> None:
    model = load_model()
    assert model.selection is not None
    told = command(f"show {model.path} --json")
    assert '"augment": true' in told.out
    assert '"table_sha256"' in told.out


def test_what_is_said_whether_or_not_a_collision_is_recorded(tmp_path: Path) -> None:
    """Against the samples; what counts as recent and major stands in both files."""
    major = MajorMerger(0.1, 1.5)
    table = answered(tmp_path, erass(), major=major)
    samples = read_samples(tmp_path / "own.nc", schema.DEFAULT_TARGETS)
    age = age_at_lookback(lookback_at_redshift(np.asarray(table["BEST_Z"])))
    since = age - samples[..., 0]
    share = ((since < 1.5) & (samples[..., 4] > 0.1)).mean(0)
    chance = np.asarray(table["record_probability"])
    np.testing.assert_allclose(table["p_major_recent"], chance * share, rtol=1e-5)
    np.testing.assert_allclose(table["record_window_Gyr"], age - 4.9, rtol=1e-5)
    median = np.asarray(table["unconditional_time_since_collision_Gyr_median"])
    assert (median >= np.asarray(table[SINCE]) - 1e-5).all()
    for row in np.flatnonzero(chance > 0.5):
        expected = np.quantile(since[:, row], 0.5 / chance[row])
        assert median[row] == pytest.approx(expected, rel=1e-4)
    with xr.open_dataset(tmp_path / "own.nc", engine="h5netcdf") as file:
        assert (file.attrs["major_ratio"], file.attrs["recent_gyr"]) == (0.1, 1.5)
        assert "mostly a minor one" in file.attrs["caution"]
    assert (table.meta["CINNRAT"], table.meta["CINNGYR"]) == (0.1, 1.5)


def test_p_recorded_falls_with_lookback_time_and_lies_in_0_1() -> None:
    model = load_model()
    assert model.selection is not None
    inputs = np.full((8, len(model.posterior.transforms.inputs)), np.nan)
    inputs[:, model.posterior.transforms.names.index(schema.LOOKBACK)] = np.linspace(
        0.0, 7.9, 8
    )
    inputs[:, len(model.posterior.transforms.names) :] = 0.0
    chance = model.selection.record_probability(inputs)
    assert ((chance > 0) & (chance < 1)).all()
    assert chance[0] > 0.95 > chance[-1]


def test_a_sample_like_the_training_clusters_is_told_from_another() -> None:
    model = load_model()
    transforms, rng = model.posterior.transforms, np.random.default_rng(0)
    inputs = np.zeros((300, len(transforms.inputs)))
    times = rng.uniform(0.0, 7.0, 300)
    inputs[:, transforms.names.index(schema.LOOKBACK)] = times
    drawn = model.populations[0].draw(times, rng)
    for place, name in enumerate(transforms.optional):
        is_log = transforms.observables[transforms.names.index(name)].is_log
        inputs[:, transforms.names.index(name)] = (
            np.exp(drawn[:, place]) if is_log else drawn[:, place]
        )
    _, own = two_sample_test(model.populations, transforms, inputs)
    inputs[:, transforms.names.index("GroupGasMass")] -= 0.3
    _, biased = two_sample_test(model.populations, transforms, inputs)
    assert own > 0.01 > biased


@pytest.mark.parametrize(("num", "has_test"), [(12, True), (6, False)])
def test_the_sample_test_stands_in_every_answer(
    tmp_path: Path, command: Command, num: int, has_test: bool
) -> None:
    erass(num).write(tmp_path / "own.fits")
    line = f"infer --catalogue {tmp_path}/own.fits --preset erass1 --out {tmp_path}/own.nc --draws 20 --no-map --json"
    done = command(line)
    told = json.loads(done.out)
    with xr.open_dataset(tmp_path / "own.nc", engine="h5netcdf") as samples:
        attributes = dict(samples.attrs)
    header = read_table(tmp_path / "own_table.fits").meta
    assert ("the training clusters (MMD^2" in done.err) == has_test
    if not has_test:
        assert told["sample_p"] is told["sample_mmd2"] is None
        assert "sample_p" not in attributes
        assert "CINNMMDP" not in header
        return
    assert 0.0 < told["sample_p"] <= 1.0
    for name, key in (("sample_mmd2", "CINNMMD"), ("sample_p", "CINNMMDP")):
        assert attributes[name] == pytest.approx(told[name], abs=1e-6)
        assert header[key] == pytest.approx(told[name], abs=1e-6)


@pytest.mark.parametrize(
    ("option", "companion"),
    [
        ("--allow-atypical", "columns by name"),
        ("--filenames {0}/own.fits", "--embeddings"),
        ("--projections each", "--embeddings"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    tmp_path: Path, command: Command, option: str, companion: str
) -> None:
    erass().write(tmp_path / "own.fits")
    line = (
        f"infer --catalogue {tmp_path}/own.fits --preset erass1 --out {tmp_path}/own.nc"
    )
    done = command(f"{line} {option.format(tmp_path)}")
    assert done.code == 2
    message = " ".join(done.err.replace("│", " ").split())
    assert f"{option.split()[0]} goes with {companion}" in message
    assert not (tmp_path / "own.nc").exists()


def test_strict_refuses_a_catalogue_with_an_unusable_row(tmp_path: Path) -> None:
    strange().write(tmp_path / "own.ecsv")
    with pytest.raises(
        DataError, match=r"\(--strict\).*1 of 5 rows.*row 3, BEST_Z: no redshift"
    ):
        inferred(tmp_path / "own.ecsv", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["own.ecsv"]


def test_a_model_without_a_summary_of_its_clusters_is_refused(tmp_path: Path) -> None:
    bundle = read_bundle(packaged_model())
    older = {
        name: value
        for name, value in bundle.info.items()
        if name != "training_populations"
    }
    write_bundle(tmp_path / "older", older, bundle.tensors)
    with pytest.raises(BundleError, match="train it again"):
        load_model(tmp_path / "older")


def test_known_clusters(tmp_path: Path) -> None:
    lines = demo_observed(tmp_path / "named", sampling=Sampling(100))
    assert {"Bullet (1E 0657-558)", "Musket Ball (DLSCL J0916.2+2951)"} <= {
        line["cluster"] for line in lines
    }
    assert "published 0.585 (0.343 to 1.09)" in lines[0]["time since collision [Gyr]"]
    assert [line["published by"] for line in lines[1:4]] == [
        "Dawson 2013 (arXiv:1210.0014), default priors, outbound",
        "Ng+15 (arXiv:1412.1826), returning; from memory, not verified",
        "no estimate",
    ]
    assert (
        "published (not verified) 0.91 (0.52 to 1.13)"
        in lines[2]["time since collision [Gyr]"]
    )
    relaxed = lines[4]
    assert relaxed["cluster"] == "A2029"
    assert relaxed["longest time possible [Gyr]"].startswith("7.83 ")
    assert float(relaxed["P(major and recent)"].split()[0]) < 0.25
    assert relaxed["P(major and recent)"].endswith("(ratio > 0.25 within 2 Gyr)")
    for name in ("published.ecsv", "clusters.ecsv"):
        table = read_table(tmp_path / "named" / name)
        assert [
            float(table[f"published_since{end}"][0]) for end in ("", "_low", "_high")
        ] == [0.585, 0.343, 1.09]
        assert str(table["published_speed"].unit) == "km / s"
        assert "Dawson 2013" in str(table["published_from"][0])
        assert str(table["published_phase"][2]) == "returning"
        assert [bool(one) for one in table["published_is_verified"]] == [
            True,
            True,
            False,
            True,
            True,
        ]
    assert {path.name for path in (tmp_path / "named").iterdir()} == {
        "clusters.ecsv",
        "known_clusters.png",
        "posterior.nc",
        "published.ecsv",
    }


def test_an_answer_is_refused_before_the_work(tmp_path: Path) -> None:
    answered(tmp_path, erass())
    done: list[Progress] = []
    with pytest.raises(
        DataError, match=r"column 'cinn_status'.*got an answer given before.*without it"
    ):
        infer(
            tmp_path / "answer.ecsv",
            tmp_path / "b.nc",
            mapping=read_preset("erass1"),
            on_progress=done.append,
        )
    assert not done
    assert not list(tmp_path.glob("b*"))


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot", "parquet"])
def test_metadata_of_the_observer_stay_beside_ours(tmp_path: Path, ending: str) -> None:
    own = erass()
    own.meta |= {
        "comments": ["measured by me"],
        "HISTORY": ["cut at z 0.8"],
        "ORIGIN": "MPE",
    }
    write_table(own, tmp_path / f"own.{ending}")
    done = inferred(tmp_path / f"own.{ending}")
    meta = read_table(done.table).meta
    comments = " ".join(meta["comments"])
    assert comments.startswith("measured by me")
    for told in ("posteriors are conditional", "mass: M500 [1e+13 solMass]"):
        assert told in comments
    assert (list(meta["HISTORY"]), meta["ORIGIN"], str(meta["CINNSEED"])) == (
        ["cut at z 0.8"],
        "MPE",
        "0",
    )


def test_ucds_are_words_of_the_vocabulary_and_true(tmp_path: Path) -> None:
    table = answered(tmp_path, erass(), with_map=True)
    told = {name: table[name].info.meta or {} for name in table.colnames}
    ucds = {name: meta["ucd"] for name, meta in told.items() if "ucd" in meta}
    for ucd in ucds.values():
        assert parse_ucd(ucd, check_controlled_vocabulary=True)
        assert "stat.min" not in ucd  # a percentile is no minimum
        assert "stat.max" not in ucd
    assert (
        ucds["last_V_coll_p16"]
        == ucds["last_V_coll_p84"]
        == "phys.veloc;stat.percentile"
    )
    assert ucds["last_V_coll_lower68"] == "phys.veloc;stat.interval"
    assert ucds["ood_score"] == "stat.percentile"


def test_both_sides_of_an_error_enter_the_answer(tmp_path: Path) -> None:
    """A long tail above is another posterior than one below, for the network, too, which is told
    the mean of each true value."""
    tail = {}
    for side, (low, high) in {"below": (0.3, 0.05), "above": (0.05, 0.3)}.items():
        table = erass(30)
        mass = np.asarray(table["M500"])
        table["M500_L"], table["M500_H"] = (
            mass * (1.0 - 10.0**-low),
            mass * (10.0**high - 1.0),
        )
        for name in ("MGAS500", "MGAS500_L", "MGAS500_H"):
            table[name] = np.nan
        for errors in ("network", "monte-carlo"):
            answer = answered(tmp_path, table, errors=errors, num_samples=500)
            tail[side, errors] = float(np.mean(answer["last_M_Crit500_coll_median"]))
    for errors in ("network", "monte-carlo"):
        assert tail["above", errors] > 1.1 * tail["below", errors]
