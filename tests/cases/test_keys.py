"""Ids, names and clusters of real files: cases of the public reports, and made-up siblings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table

from cinn_clusters.data.embeddings import read_embeddings
from cinn_clusters.data.leakage import audit_split
from cinn_clusters.data.reading.keys import key_values
from cinn_clusters.errors import DataError
from cinn_clusters.pipeline.inference.map_views import NamedVectors, join_views
from cinn_clusters.schema import DEFAULT
from cinn_clusters.storage.run import Run, open_run
from support import Command

Frames = tuple[pd.DataFrame, pd.DataFrame]
CLUSTER = "HaloOrigID"
BIG = 2**53


@pytest.fixture
def prepare(
    tables: Frames, tmp_path: Path, command: Command
) -> Callable[..., Callable[[str], Run | str]]:
    """Prepare the mock tables after a change; the run, or the one line of its error."""

    def after(change: Callable[[pd.DataFrame], object], extra: str = "") -> Run | str:
        paths = tmp_path / "observables.csv", tmp_path / "targets.csv"
        for frame, path in zip(tables, paths, strict=True):
            changed = frame.astype({CLUSTER: object, "HaloID": object})
            change(changed)
            changed.to_csv(path, index=False)
        line = f"prepare --observables {paths[0]} --targets {paths[1]} --out {tmp_path / 'run'}"
        result = command(f"{line} {extra}")
        if result.code == 0:
            return open_run(tmp_path / "run")
        assert not (tmp_path / "run").exists()
        return result.demand_error()

    return after


def leaks(run: Run) -> list[int]:
    overlaps = audit_split(run.catalogue, run.split)
    return [overlap.shared_with_validation for overlap in overlaps]


def mapped(tmp_path: Path) -> str:
    path = tmp_path / "mapping.toml"
    path.write_text(
        'object_name = "id"\n[redshift]\ncolumn = "z"\n'
        '[mass]\ncolumn = "M"\nunit = "Msun"\n'
    )
    return str(path)


def answered_names(
    names: list[str], header: str, tmp_path: Path, command: Command
) -> list[str]:
    """Names in the answer table of a CSV catalogue."""
    rows = [f"{name},0.2,{(4 + row) * 1e14:g}" for row, name in enumerate(names)]
    (tmp_path / "c.csv").write_text("\n".join([f"{header},z,M", *rows]) + "\n")
    line = f"infer --catalogue {tmp_path / 'c.csv'} --mapping {mapped(tmp_path)} --out {tmp_path / 'p.nc'} --draws 10"
    result = command(line)
    assert result.code == 0, result.err
    answer = pd.read_csv(tmp_path / "p_table.csv", dtype=str, na_filter=False)
    return answer["id"].tolist()


ODD_NAMES = {
    "16_ids_7_10_100000": ["007", "010", "1e5"],
    "16b_zeros_in_front": ["007", "010"],
    "words_of_libraries": ["NA", "null", "None", "True", "nan", "inf"],
    "clusters_that_look_like_numbers": ["1E0657", "0x1F", "1_000", "+5", "2142."],
    "dates_of_excel": ["MAR1", "1-Mar", "2020-01-01"],
    "beyond_every_integer": ["9223372036854775808", "9007199254740993"],
}


@pytest.mark.parametrize("case", ODD_NAMES)
def test_case_16_and_16b_names_stay_as_they_stand(
    case: str, tmp_path: Path, command: Command
) -> None:
    assert answered_names(ODD_NAMES[case], "id", tmp_path, command) == ODD_NAMES[case]


def test_case_173_the_column_of_a_sister_project_is_suggested(
    tables: Frames, tmp_path: Path, command: Command
) -> None:
    names = {"HaloID": "halo_num", "Snapshot": "snapshot_id"}
    for frame, name in zip(tables, ("o.csv", "t.csv"), strict=True):
        frame.rename(columns=names).to_csv(tmp_path / name, index=False)
    line = f"prepare --observables {tmp_path / 'o.csv'} --targets {tmp_path / 't.csv'} --out {tmp_path / 'run'}"
    options = "--halo-column halo_num --snapshot-column snapshot_id"
    command(line).demand_error("'HaloID'", f"pass {options}")
    assert command(f"{line} {options}").code == 0


@pytest.mark.parametrize("offset", [BIG, 2**63 - 10_000_000_000])
def test_case_176_ids_of_64_bits(offset: int, prepare: Callable[..., Run]) -> None:
    ids: list[int] = []

    def change(frame: pd.DataFrame) -> None:
        frame["HaloID"] = [offset + row for row in range(len(frame))]
        ids[:] = frame["HaloID"]

    run = prepare(change)
    kept = run.catalogue.table["HaloID"]
    assert kept.dtype == np.int64
    assert set(kept) <= set(ids)
    assert run.record["rows_read"] == len(ids)
    assert run.record["key_types"]["HaloID"] == "integer"


def test_ids_beyond_64_bits_are_refused(prepare: Callable[..., str]) -> None:
    def change(frame: pd.DataFrame) -> None:
        frame["HaloID"] = [str(2**63 + row) for row in range(len(frame))]

    error = prepare(change)
    assert "'HaloID'" in error
    assert "9223372036854775808" in error
    assert "line 2" in error


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot", "parquet", "csv"])
@pytest.mark.parametrize("has_gap", [False, True])
def test_ids_of_64_bits_come_back_from_every_format(
    ending: str, has_gap: bool, trained: Path, tmp_path: Path, command: Command
) -> None:
    frame = pd.read_csv(trained.parent / "observables1.csv").head(3)
    table = Table.from_pandas(frame.drop(columns="HaloID"))
    ids = [BIG + 1, BIG + 3, 2**63 - 1]
    table["HaloID"] = MaskedColumn(ids, mask=[False, False, has_gap])
    path = tmp_path / f"c.{ending}"
    table.write(path, format={"vot": "votable"}.get(ending))
    line = f"infer --catalogue {path} --model {trained / 'model'} --out {tmp_path / 'p.nc'}"
    result = command(f"{line} --draws 10 --table {tmp_path / 'answer.csv'}")
    assert result.code == 0, result.err
    answer = pd.read_csv(tmp_path / "answer.csv", dtype=str)
    assert (
        answer["HaloID"].tolist()[: 3 - has_gap] == list(map(str, ids))[: 3 - has_gap]
    )
    import xarray as xr

    with xr.open_dataset(tmp_path / "p.nc", group="posterior") as posterior:
        written = [str(name) for name in posterior["HaloID"].to_numpy()]
    assert written[: 3 - has_gap] == list(map(str, ids))[: 3 - has_gap]


ODD_CLUSTERS = ["NA", "null", "None", "nan", "True", "1E0657", "007", "1e5", "inf"]


def test_case_177d_clusters_may_be_called_na(prepare: Callable[..., Run]) -> None:
    def change(frame: pd.DataFrame) -> None:
        odd = dict(zip(frame[CLUSTER].unique(), ODD_CLUSTERS, strict=False))
        frame[CLUSTER] = [odd.get(name, f"zoom {name}") for name in frame[CLUSTER]]

    run = prepare(change)
    assert set(ODD_CLUSTERS) & set(run.catalogue.clusters)
    assert set(run.catalogue.clusters) <= {
        *ODD_CLUSTERS,
        *(f"zoom {name}" for name in range(1000)),
    }
    assert leaks(run) == [0, 0, 0]


def test_case_177e_blanks_behind_cluster_names(prepare: Callable[..., Run]) -> None:
    def change(frame: pd.DataFrame) -> None:
        blanks = ["", " ", "\u00a0", "\t"]
        frame[CLUSTER] = [
            f"H{name}{blanks[row % 4]}" for row, name in enumerate(frame[CLUSTER])
        ]

    run = prepare(change)
    assert leaks(run) == [0, 0, 0]
    assert all(name == name.strip() for name in run.catalogue.clusters)
    assert run.record["num_clusters"]["test"] < 8


@pytest.mark.parametrize("twin", ["h{}", "H {}", "\uff28{}"])
def test_case_177e_names_that_differ_in_case_are_asked_about(
    twin: str, prepare: Callable[..., str]
) -> None:
    def change(frame: pd.DataFrame) -> None:
        frame[CLUSTER] = [
            (twin if row % 2 else "H{}").format(name)
            for row, name in enumerate(frame[CLUSTER])
        ]

    error = prepare(change)
    assert f"'{CLUSTER}'" in error
    assert "differ in more than case, blanks or leading zeros" in error


def test_one_text_among_cluster_numbers_is_a_name(prepare: Callable[..., Run]) -> None:
    def change(frame: pd.DataFrame) -> None:
        first = frame[CLUSTER].iloc[0]
        frame[CLUSTER] = frame[CLUSTER].replace({first: "A907"})

    run = prepare(change)
    assert run.record["key_types"][CLUSTER] == "text"
    assert leaks(run) == [0, 0, 0]


def test_text_ids_join_whatever_the_other_file_holds(
    prepare: Callable[..., Run], tables: Frames
) -> None:
    run = prepare(
        lambda frame: frame.__setitem__("HaloID", "h" + frame["HaloID"].astype(str))
    )
    assert run.catalogue.table["HaloID"].str.startswith("h").all()
    assert run.record["rows_read"] == min(map(len, tables))
    left_out = run.left_out()
    assert left_out is not None
    assert left_out["HaloID"].str.startswith("h").all()


def test_an_id_that_a_spreadsheet_changed_is_named(
    tables: Frames, tmp_path: Path, command: Command
) -> None:
    for frame, name, write in zip(
        tables, ("o.csv", "t.csv"), ("{:09d}", "{}"), strict=True
    ):
        ids = frame["HaloID"].map(write.format)
        frame.assign(HaloID=ids).to_csv(tmp_path / name, index=False)
    line = f"prepare --observables {tmp_path / 'o.csv'} --targets {tmp_path / 't.csv'} --out {tmp_path / 'run'}"
    command(line).demand_error("the two files", "written alike", ":0", " and ")


def test_case_178j_the_same_rows_under_other_ids(
    tables: Frames, tmp_path: Path, command: Command
) -> None:
    for frame, name in zip(tables, ("o.csv", "t.csv"), strict=True):
        twin = frame.assign(
            HaloID=frame["HaloID"] + 10_000_000, HaloOrigID=frame[CLUSTER] + 5000
        )
        pd.concat([frame, twin]).to_csv(tmp_path / name, index=False)
    run = tmp_path / "run"
    line = f"prepare --observables {tmp_path / 'o.csv'} --targets {tmp_path / 't.csv'} --out {run}"
    command(line).demand_error(
        f"'{CLUSTER}'", "exact targets", "and 50", "--allow-shared", "--merge-shared"
    )
    assert not run.exists()
    assert command(f"{line} --merge-shared").code == 0
    assert command(f"audit {run}").code == 0
    assert command(f"{line} --allow-shared --overwrite").code == 0
    audit = command(f"audit {run}")
    assert audit.code == 1
    assert "--merge-shared" in audit.err
    assert "--protocol cluster" not in audit.err


def test_discrete_targets_coincide_by_chance(
    tables: Frames, tmp_path: Path, command: Command
) -> None:
    observables, targets = tables
    classes = {f"class_{k}": np.arange(len(targets)) * (k + 1) % 3 for k in range(3)}
    observables.to_csv(tmp_path / "o.csv", index=False)
    targets.assign(**classes).to_csv(tmp_path / "t.csv", index=False)
    line = f"prepare --observables {tmp_path / 'o.csv'} --targets {tmp_path / 't.csv'} --out {tmp_path / 'run'}"
    result = command(f"{line} --y-columns class_0,class_1,class_2")
    assert "--allow-shared" not in result.err


def vectors_of(
    tmp_path: Path, names: list[str], num_features: int = 2
) -> tuple[Path, Path]:
    values = np.arange(len(names) * num_features, dtype=float)
    np.save(tmp_path / "vectors.npy", values.reshape(len(names), num_features))
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return tmp_path / "vectors.npy", tmp_path / "names.txt"


PATTERNS = {
    "ours": ("snap_{snapshot:03d}_halo_{halo}_proj_0.jpg", ""),
    "case_170_sister": ("snap{snapshot}_halo{halo}_1.fits", ""),
    "own": (
        "cut-{halo}-at-{snapshot}-v2.npy",
        "--name-pattern 'cut-{halo}-at-{snapshot}-*'",
    ),
    "one_snapshot": ("Halo_{halo}_proj_2", "--map-snapshot {snapshot}"),
}


@pytest.mark.parametrize("case", PATTERNS)
@pytest.mark.parametrize("prefix", ["", "h"])
def test_case_170_and_172_names_of_maps(
    case: str, prefix: str, tables: Frames, tmp_path: Path, command: Command
) -> None:
    for frame, name in zip(tables, ("o.csv", "t.csv"), strict=True):
        ids = prefix + frame["HaloID"].astype(str)
        frame.assign(HaloID=ids).to_csv(tmp_path / name, index=False)
    observables, targets = tables
    snapshot = int(observables["Snapshot"].mode()[0])
    rows = observables[observables["Snapshot"] == snapshot].merge(
        targets[["HaloID", "Snapshot", "last_d_peri"]].dropna()
    )
    pattern, options = PATTERNS[case]
    names = [
        pattern.format(halo=f"{prefix}{halo}", snapshot=snapshot)
        for halo in rows.HaloID
    ]
    vectors, filenames = vectors_of(tmp_path, names)
    line = f"prepare --observables {tmp_path / 'o.csv'} --targets {tmp_path / 't.csv'} --out {tmp_path / 'run'}"
    line = f"{line} --embeddings {vectors} --filenames {filenames} "
    result = command(
        line
        + options.replace("{snapshot}-", "{{snapshot}}-").format(
            snapshot=snapshot, halo="{halo}"
        )
    )
    assert result.code == 0, result.err
    table = open_run(tmp_path / "run").catalogue.table
    has_map = table["embedding_000"].notna()
    assert set(table["Snapshot"][has_map]) == {snapshot}
    assert has_map.sum() > 0.8 * len(names)
    placed = dict(
        zip(
            table["HaloID"][has_map].astype(str),
            table["embedding_000"][has_map],
            strict=True,
        )
    )
    for row, halo in enumerate(rows.HaloID):
        assert placed.get(f"{prefix}{halo}", 2.0 * row) == 2.0 * row


def test_case_172_maps_without_a_snapshot_are_asked_about(
    tables: Frames, files: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    halo = tables[0]["HaloID"].iloc[0]
    vectors, filenames = vectors_of(tmp_path, [f"Halo_{halo}_proj_0"])
    line = f"prepare --observables {files[0]} --targets {files[1]} --out {tmp_path / 'run'}"
    command(f"{line} --embeddings {vectors} --filenames {filenames}").demand_error(
        "the snapshot of each map", f"Halo_{halo}_proj_0", "--map-snapshot"
    )


def test_a_pattern_without_a_halo_is_refused(
    files: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    vectors, filenames = vectors_of(tmp_path, ["a"])
    line = f"prepare --observables {files[0]} --targets {files[1]} --out {tmp_path / 'run'}"
    line += f" --embeddings {vectors} --filenames {filenames}"
    command(f"{line} --name-pattern 'snap{{snap}}'").demand_error("{halo}")
    command(f"{line} --name-pattern '{{halo}}_{{snapshot}}'").demand_error("'a'")


def test_case_165k_a_number_beyond_64_bits_in_a_name(tmp_path: Path) -> None:
    names = [
        "snap_050_halo_99999999999999999999_proj_0.jpg",
        "snap_050_halo_7_proj_0.jpg",
    ]
    table = read_embeddings(*vectors_of(tmp_path, names)).table
    assert table["HaloID"].tolist() == ["99999999999999999999", "7"]


def stub(**keys: str | None) -> SimpleNamespace:
    transforms = SimpleNamespace(schema=DEFAULT.choose(**keys))
    inputs = ("Group_M_Crit500", "embedding_000", "embedding_001")
    return SimpleNamespace(transforms=transforms, inputs=inputs)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["H1", "h2"], ["snap_099_halo_h2_proj_0", "snap_099_halo_H1_proj_0"]),
        (["007", "7"], ["snap_099_halo_7_proj_0", "snap_099_halo_007_proj_0"]),
        ([BIG + 1, BIG], [f"snap99_halo{BIG}_0.png", f"snap99_halo{BIG + 1}_0.png"]),
    ],
)
def test_case_q1_maps_join_text_ids(
    ids: list[object], names: list[str], tmp_path: Path
) -> None:
    keys = pd.DataFrame({"HaloID": ids, "Snapshot": 99})
    views = join_views(keys, NamedVectors(vectors_of(tmp_path, names)), stub())
    assert views.embeddings["embedding_000"].tolist() == [2.0, 0.0]
    assert views.unmatched == ()


def test_maps_join_keys_of_other_names_and_objects_by_their_text(
    tmp_path: Path,
) -> None:
    keys = pd.DataFrame({"halo_num": ["a", "b"]})
    named = NamedVectors(vectors_of(tmp_path, ["Halo_b_proj_0", "Halo_a_proj_0"]))
    views = join_views(keys, named, stub(halo="halo_num", snapshot="none"))
    assert views.embeddings["embedding_000"].tolist() == [2.0, 0.0]
    objects = pd.DataFrame({"object": ["007", "1e5", "7"]})
    named = NamedVectors(vectors_of(tmp_path, ["1e5.fits", "007.fits"]))
    views = join_views(objects, named, stub())
    assert views.projections.tolist() == [0, 0, -1]
    assert views.embeddings["embedding_000"].tolist()[:2] == [2.0, 0.0]
    with pytest.raises(DataError, match="object_name"):
        join_views(pd.DataFrame({CLUSTER: [1, 2]}), named, stub())


@pytest.mark.parametrize(
    "repeated", ["A2142_proj_1.fits", "snap_050_halo_1_proj_0.jpg"]
)
def test_two_maps_of_one_projection_are_refused(repeated: str, tmp_path: Path) -> None:
    keys = {"A": pd.DataFrame({"object": ["A2142"]})}.get(
        repeated[0], pd.DataFrame({"HaloID": [1], "Snapshot": 50})
    )
    named = NamedVectors(vectors_of(tmp_path, [repeated, f"other/{repeated}"]))
    with pytest.raises(DataError, match="one file a projection; got two"):
        join_views(keys, named, stub())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1.0", "2"], [1, 2]),
        (np.array([3.0, 4.0]), [3, 4]),
        (["007", "2"], ["007", "2"]),
        (["1e5", "2"], ["1e5", "2"]),
        (["1.10", "1.1"], ["1.10", "1.1"]),
        (["-0", "2"], ["-0", "2"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["\u0661", "2"], ["\u0661", "2"]),
        (pd.Series([BIG + 1, None], dtype="Int64"), [str(BIG + 1), ""]),
        ([b"A ", None], ["A", ""]),
        (pd.Series([True, False]), ["True", "False"]),
    ],
)
def test_the_one_rule_of_keys(values: object, expected: list[object]) -> None:
    assert key_values(values).tolist() == expected


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (["1", "1.5"], "'1.5'"),
        (np.array([1.0, 0.5]), "'0.5'"),
        (np.array([2.0**60]), "1.152921504606847e"),
        (np.array([2**26], dtype=np.float32), "6.7108864e+07"),
        (np.array([2**63], dtype=np.uint64), "9223372036854775808"),
        (["1", "9" * 5000], "99999"),
    ],
)
def test_numbers_that_lost_digits_are_no_keys(values: object, got: str) -> None:
    with pytest.raises(DataError, match="column 'id': expected") as caught:
        key_values(values, "id", "a.csv")
    assert got in str(caught.value)
    assert len(str(caught.value)) < 250


def test_the_types_of_the_keys_are_stored_with_the_split(
    prepare: Callable[..., Run],
) -> None:
    def change(frame: pd.DataFrame) -> None:
        frame[CLUSTER] = [f"{name:05d}" for name in frame[CLUSTER]]

    run = prepare(change)
    record = json.loads((run.path / "split.json").read_text())
    types = {"HaloID": "integer", "Snapshot": "integer", CLUSTER: "text"}
    assert record["key_types"] == types
    assert all(len(name) == 5 for name in run.catalogue.clusters)
