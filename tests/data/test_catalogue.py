"""Two files to one table: joined on the keys, every lost row in the account, nothing else
touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.catalogue import Catalogue, read_catalogue
from cinn_clusters.data.reading.join import Dropped
from cinn_clusters.errors import DataError

KEYS, TARGETS = list(schema.KEYS), list(schema.DEFAULT_TARGETS)
Files = tuple[Path, Path]


def edit(path: Path, **columns: object) -> pd.DataFrame:
    frame = pd.read_csv(path).assign(**columns)
    frame.to_csv(path, index=False)
    return frame


def test_account_is_a_recount(files: Files) -> None:
    seen, hidden = (pd.read_csv(path) for path in files)
    seen.sample(frac=1, random_state=1).iloc[7:].to_csv(files[0], index=False)
    hidden.iloc[3:].to_csv(files[1], index=False)
    catalogue = read_catalogue(*files)
    left = {tuple(key) for key in pd.read_csv(files[0])[KEYS].to_numpy()}
    right = {tuple(key) for key in pd.read_csv(files[1])[KEYS].to_numpy()}
    common = hidden[[tuple(key) in left & right for key in hidden[KEYS].to_numpy()]]
    is_unlabelled = common[TARGETS].isna().all(axis=1)
    is_marked = common[schema.COLLISION_MASS] == -1
    assert catalogue.rows_read == len(common)
    assert catalogue.dropped == (
        Dropped("only in the observables file", len(left - right), -1),
        Dropped("only in the targets file", len(right - left), -1),
        Dropped(
            "no collision recorded before the snapshot",
            int(is_unlabelled.sum()),
            common[is_unlabelled]["HaloOrigID"].nunique(),
        ),
        Dropped(
            "last_M_Crit500_coll holds the missing-value mark -1",
            int(is_marked.sum()),
            common[is_marked]["HaloOrigID"].nunique(),
        ),
    )
    assert is_marked.any()
    assert len(catalogue.table) == (~is_unlabelled & ~is_marked).sum()
    assert (catalogue.theta[:, 2] > 0).all()


def test_marks_are_kept_when_asked_and_never_for_another_value(files: Files) -> None:
    marks = (pd.read_csv(files[1])[schema.COLLISION_MASS] == -1).sum()
    kept = read_catalogue(*files, original=True)
    assert (kept.theta[:, 2] == -1).sum() == marks > 0
    hidden = pd.read_csv(files[1])
    edit(
        files[1],
        **{schema.COLLISION_MASS: hidden[schema.COLLISION_MASS].replace(-1, -2)},
    )
    with pytest.raises(DataError, match=f"'last_M_Crit500_coll'.*{marks} outside.*-2"):
        read_catalogue(*files, original=True)


def test_a_mark_of_a_column_that_is_no_target_drops_nothing(files: Files) -> None:
    catalogue = read_catalogue(*files, schema.DEFAULT.choose(targets=("last_d_peri",)))
    assert len(catalogue.table) == pd.read_csv(files[1])["last_d_peri"].notna().sum()


def test_the_halo_number_alone_does_not_join(files: Files) -> None:
    """HaloID repeats between snapshots: only the pair is a key."""
    seen, hidden = (
        edit(path, HaloID=pd.read_csv(path)["HaloOrigID"]) for path in files
    )
    catalogue = read_catalogue(*files, original=True)
    assert catalogue.rows_read == len(seen)
    expected = hidden.set_index(KEYS).loc[
        pd.MultiIndex.from_frame(catalogue.table[KEYS]), TARGETS
    ]
    assert (catalogue.theta == expected.to_numpy()).all()


def test_properties_are_those_of_the_table(files: Files) -> None:
    catalogue = read_catalogue(*files, schema.DEFAULT.choose(cluster="HaloOrigID"))
    assert catalogue.clusters.tolist() == catalogue.table["HaloOrigID"].tolist()
    np.testing.assert_array_equal(
        catalogue.age, age_at_lookback(catalogue.table["lookback_time_Gyr"].to_numpy())
    )
    some = catalogue.rows(np.array([5, 2]))
    assert (
        some.table["HaloID"].tolist() == catalogue.table["HaloID"].iloc[[5, 2]].tolist()
    )
    values = catalogue.inputs(catalogue.observables)
    values[:] = 0
    assert catalogue.table["Group_M_Crit500"].min() > 10, "a copy"
    bare = Catalogue(pd.DataFrame({"a": [1.0]}), ("a",), ())
    assert np.isnan(bare.age).all()


def test_columns_nobody_knows_are_told_and_left_out(files: Files) -> None:
    edit(files[0], comment="x", mine=1.0)
    edit(files[1], note="y")
    catalogue = read_catalogue(*files)
    assert catalogue.unknown == ("comment", "mine", "note")
    assert not {"comment", "mine", "note"} & set(catalogue.table)
    chosen = schema.DEFAULT.choose(("Group_M_Crit500", "mine", schema.LOOKBACK))
    assert read_catalogue(*files, chosen).unknown == ("comment", "note")


def test_a_cluster_column_of_text_by_another_name(files: Files) -> None:
    names = [f"zoom {number}" for number in pd.read_csv(files[0])["HaloOrigID"]]
    edit(files[0], name=names)
    catalogue = read_catalogue(*files, schema.DEFAULT.choose(cluster="name"))
    assert set(catalogue.clusters) <= set(names)
    assert catalogue.cluster_column == "name"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"observables": ()},
            r"observables: expected one or more columns, each once; got \[\]",
        ),
        (
            {"targets": ("last_d_peri", "last_d_peri")},
            "targets: expected one or more columns, each once",
        ),
        (
            {"targets": ("Group_M_Crit500",)},
            "'Group_M_Crit500': expected an observable or a target; got both",
        ),
        (
            {"observables": ("Snapshot",)},
            "'Snapshot': expected an observable or a target; got a key",
        ),
        (
            {"targets": ("HaloID",)},
            "'HaloID': expected an observable or a target; got a key",
        ),
        (
            {"cluster": "HaloID"},
            "cluster column 'HaloID': .*; got a key, which changes between snapshots",
        ),
        ({"cluster": "Snapshot"}, "cluster column 'Snapshot'"),
        (
            {"cluster": "GroupGasMass"},
            "cluster column 'GroupGasMass': .* got an observable or a target",
        ),
        (
            {"cluster": "Halo"},
            "'Halo': .*pass --cluster-column with one of: HaloOrigID, .*HaloID is not",
        ),
        ({"targets": ("last_dperi",)}, "'last_dperi'.*did you mean 'last_d_peri'"),
    ],
)
def test_roles_that_cannot_be_are_refused(
    options: dict[str, object], told: str, files: Files
) -> None:
    keys = replace(schema.DEFAULT.keys, cluster=options.pop("cluster", "HaloOrigID"))
    chosen = replace(schema.DEFAULT, keys=keys, **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=told):
        read_catalogue(*files, chosen)


def test_nothing_left_to_use_is_told(files: Files) -> None:
    hidden = pd.read_csv(files[1])
    edit(
        files[1],
        **{
            schema.COLLISION_MASS: hidden[schema.COLLISION_MASS].where(
                hidden["last_d_peri"].isna(), -1.0
            )
        },
    )
    with pytest.raises(
        DataError, match="rows with a known history; got none left to use"
    ):
        read_catalogue(*files)


def test_a_cluster_is_the_same_in_both_files(files: Files) -> None:
    clusters = pd.read_csv(files[1])["HaloOrigID"].to_numpy(copy=True)
    clusters[4] += 1
    row = edit(files[1], HaloOrigID=clusters).iloc[4]
    with pytest.raises(
        DataError,
        match=f"one cluster in both files; got two; HaloID {row.HaloID:.0f}, Snapshot",
    ):
        read_catalogue(*files)
