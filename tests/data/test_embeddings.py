"""Vectors of maps: every projection kept with its cluster, whatever is wrong said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters import schema
from cinn_clusters.data.embeddings import join_embeddings, read_embeddings
from cinn_clusters.data.split import split_by_cluster
from cinn_clusters.errors import DataError
from cinn_clusters.storage.run import open_run
from support import TINY, Command

Files = tuple[Path, Path]
Tables = tuple[pd.DataFrame, pd.DataFrame]
WIDTH = 4


def names_of(table: pd.DataFrame, sides: int = 3) -> list[str]:
    rows = [
        (row.Snapshot, row.HaloID, side)
        for row in table.itertuples()
        for side in range(sides)
    ]
    return [
        f"snap_{snapshot:03d}_halo_{halo}_proj_{side}.jpg"
        for snapshot, halo, side in rows
    ]


def write(folder: Path, names: list[str], values: Any = None) -> Files:
    values = (
        np.random.default_rng(0).normal(size=(len(names), WIDTH))
        if values is None
        else values
    )
    np.save(folder / "embeddings.npy", values)
    np.save(folder / "filenames.npy", np.array(names))
    return folder / "embeddings.npy", folder / "filenames.npy"


def test_names_tell_cluster_snapshot_and_side(tmp_path: Path) -> None:
    names = [
        "maps/snap_050_halo_123456_proj_0.jpg",
        "snap_99_halo_7_proj_12.png",
        r"C:\maps\snap_072_halo_8_proj_1",
    ]
    found = read_embeddings(*write(tmp_path, names))
    assert found.table[["Snapshot", "HaloID", "Projection"]].to_numpy().tolist() == [
        [50, 123456, 0],
        [99, 7, 12],
        [72, 8, 1],
    ]
    assert found.columns == (
        "embedding_000",
        "embedding_001",
        "embedding_002",
        "embedding_003",
    )


def test_names_may_be_text(tmp_path: Path) -> None:
    names = ["snap_050_halo_1_proj_0.jpg", "snap_050_halo_1_proj_1.jpg"]
    embeddings, _ = write(tmp_path, names)
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    assert (
        read_embeddings(embeddings, tmp_path / "names.txt").table.filename.tolist()
        == names
    )


@pytest.mark.parametrize(
    ("names", "values", "told"),
    [
        (["snap_050_halo_1_proj_0.jpg"], np.zeros((2, 3)), "2 vectors and 1 names"),
        (
            ["snap_050_halo_1_proj_0.jpg"],
            np.full((1, 3), np.nan),
            "1 rows with NaN or infinity; first row 0, snap_050",
        ),
        (["cluster_7.jpg"], np.zeros((1, 3)), "1 other names; first 'cluster_7.jpg'"),
        (
            ["a/snap_050_halo_1_proj_0.jpg", "b/snap_50_halo_1_proj_0.png"],
            np.zeros((2, 3)),
            "two: a/snap_050",
        ),
        (["snap_050_halo_1_proj_0.jpg"], np.zeros(3), r"float64 of shape \(3,\)"),
        (["snap_050_halo_1_proj_0.jpg"], np.array([["a"]]), "expected numbers"),
    ],
)
def test_bad_embeddings_are_refused(
    names: list[str], values: np.ndarray, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told):
        read_embeddings(*write(tmp_path, names, values))


def test_pickled_names_are_refused_and_not_run(tmp_path: Path) -> None:
    embeddings, names = write(tmp_path, ["snap_050_halo_1_proj_0.jpg"])
    np.save(
        names, np.array(["snap_050_halo_1_proj_0.jpg"], dtype=object), allow_pickle=True
    )
    with pytest.raises(DataError, match="dtype=str"):
        read_embeddings(embeddings, names)
    names.write_bytes(b"no array")
    with pytest.raises(DataError, match=r"\.npy format"):
        read_embeddings(embeddings, names)
    with pytest.raises(DataError, match="expected a readable"):
        read_embeddings(tmp_path / "none.npy", names)
    np.save(names, np.zeros(1))
    with pytest.raises(DataError, match="a list of text"):
        read_embeddings(embeddings, names)
    with pytest.raises(DataError, match="a text file of names"):
        read_embeddings(embeddings, tmp_path / "none.txt")


def test_every_projection_is_a_row_beside_its_cluster(
    tables: Tables, files: Files, tmp_path: Path
) -> None:
    from cinn_clusters import read_catalogue

    catalogue = read_catalogue(*files)
    is_lone = (catalogue.table.HaloOrigID == catalogue.clusters[0]).to_numpy()
    kept = catalogue.table[~is_lone]
    names = [*names_of(kept), "snap_099_halo_999999999_proj_0.jpg"]
    joined, unmatched = join_embeddings(
        catalogue, read_embeddings(*write(tmp_path, names))
    )
    assert len(joined.table) == 3 * len(kept) + is_lone.sum()
    assert unmatched == ("snap_099_halo_999999999_proj_0.jpg",)
    assert joined.dropped == catalogue.dropped
    without = joined.table[joined.table.HaloOrigID == catalogue.clusters[0]]
    assert (without.Projection == schema.NO_PROJECTION).all()
    assert without[list(joined.observables[-WIDTH:])].isna().all(axis=None)
    np.testing.assert_array_equal(
        without[list(catalogue.observables)],
        catalogue.table[is_lone][list(catalogue.observables)],
    )
    complete = joined.table.iloc[joined.complete_rows()]
    assert (complete.HaloOrigID != catalogue.clusters[0]).all()
    assert len(complete) == 3 * len(kept)
    assert joined.observables[-WIDTH:] == tuple(
        f"embedding_{k:03d}" for k in range(WIDTH)
    )
    vectors = np.load(tmp_path / "embeddings.npy")
    row = joined.table[joined.table.HaloOrigID != catalogue.clusters[0]].iloc[7]
    place = names.index(
        f"snap_{row.Snapshot:03.0f}_halo_{row.HaloID:.0f}_proj_{row.Projection:.0f}.jpg"
    )
    np.testing.assert_array_equal(
        row[[f"embedding_{k:03d}" for k in range(WIDTH)]].to_numpy(float),
        vectors[place],
    )


def test_maps_of_another_simulation_are_refused(files: Files, tmp_path: Path) -> None:
    from cinn_clusters import read_catalogue

    found = read_embeddings(*write(tmp_path, ["snap_050_halo_999999999_proj_0.jpg"]))
    with pytest.raises(DataError, match="are they one simulation"):
        join_embeddings(read_catalogue(*files), found)


@given(
    st.lists(st.integers(0, 30), min_size=20, max_size=60).filter(
        lambda names: len(set(names)) >= 8
    ),
    st.integers(0, 99),
)
def test_clusters_keep_their_part(names: list[int], seed: int) -> None:
    clusters = np.array(names)
    split = split_by_cluster(clusters, seed)
    many = np.repeat(clusters, 3)
    parts = split_by_cluster(many, seed)
    for before, after in (
        (split.train, parts.train),
        (split.validation, parts.validation),
        (split.test, parts.test),
    ):
        assert set(clusters[before]) == set(many[after])
    assert sorted(np.concatenate([parts.train, parts.validation, parts.test])) == list(
        range(len(many))
    )


def test_the_original_protocol_leaves_rows_without_a_map_out(
    files: Files, tables: Tables, tmp_path: Path
) -> None:
    from cinn_clusters import Preparation, TableFiles, prepare

    kept = tables[0][tables[0].HaloOrigID != tables[0].HaloOrigID.iloc[0]]
    maps = write(tmp_path, names_of(kept, sides=1))
    run = prepare(
        TableFiles(*files, maps),
        tmp_path / "run",
        options=Preparation(protocol="original"),
    )
    assert run.catalogue.dropped[-1].reason == "no map among the embeddings"
    assert run.catalogue.dropped[-1].clusters == 1
    assert len(run.catalogue.complete_rows()) == len(run.catalogue.table)


def test_the_whole_job_with_maps(
    files: Files, tables: Tables, tmp_path: Path, command: Command
) -> None:
    """Scalars and embeddings go through every stage; draws are of every projection, judged as
    such."""
    from cinn_clusters.evaluation.matched import match_ground_truth

    embeddings, names = write(tmp_path, names_of(tables[0], sides=2))
    run = tmp_path / "run"
    line = f"prepare --observables {files[0]} --targets {files[1]} --out {run}"
    done = command(f"{line} --embeddings {embeddings} --filenames {names}")
    assert done.code == 0, done.err
    assert "maps without a row" in done.err
    opened = open_run(run)
    assert opened.record["unmatched_maps"]
    assert [entry["name"] for entry in opened.record["files"]][2:] == [
        "embeddings.npy",
        "filenames.npy",
    ]
    audit = command(f"audit {run}")
    assert audit.code == 0
    assert "projections" in audit.out
    for stage in (
        f"train {run} {TINY}",
        f"evaluate {run} --draws 50",
        f"diagnose {run}/posterior.nc",
    ):
        assert command(stage).code == 0, stage
    matched = match_ground_truth(run / "posterior.nc")
    assert matched.objects.table.Projection.nunique() == 2
    assert len(matched.rows) == len(opened.split.test)
    assert command(f"crossval {run} {TINY} --folds 2 --draws 20").code == 0
    plain = tmp_path / "plain"
    assert command(line.replace(str(run), str(plain))).code == 0
    parts = [
        {
            part: set(one.catalogue.clusters[getattr(one.split, part)])
            for part in ("train", "validation", "test")
        }
        for one in (opened, open_run(plain))
    ]
    assert parts[0] == parts[1], "a cluster is in the same part with maps and without"


def test_half_an_embedding_is_a_usage_error(
    files: Files, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "e.npy").touch()
    line = f"prepare --observables {files[0]} --targets {files[1]} --out {tmp_path}/run"
    line += f" --embeddings {tmp_path}/e.npy"
    assert command(line).code == 2
