"""HATS catalogues, by ourselves and by LSDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import Sampling, answer, mock_catalogue
from cinn_clusters.pipeline.inference.answer import InferenceRequest
from cinn_clusters.pipeline.scale.engines import PartitionOptions
from cinn_clusters.pipeline.scale.infer_partitions import infer_partitions

DRAW = Sampling(20)
pytestmark = pytest.mark.filterwarnings("ignore")  # those of LSDB and Dask are not ours


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    table, _ = mock_catalogue(8, seed=3)
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0.0, 360.0, 64), rng.uniform(-60.0, 60.0, 64)
    return table.assign(ra=ra, dec=dec)


@pytest.fixture(scope="module")
def hats(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import lsdb

    path = tmp_path_factory.mktemp("hats") / "clusters"
    catalogue = lsdb.from_dataframe(frame, margin_threshold=None, partition_rows=20)
    catalogue.write_catalog(path, catalog_name="clusters")
    return path


def by_key(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["HaloID", "Snapshot"]).reset_index(drop=True)


def test_a_hats_catalogue_is_answered_as_one(
    hats: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Pixels are cut and joined as partitions need; the answers have the pixels of the catalogue."""
    import lsdb

    out = tmp_path / "answers.hats"
    infer_partitions(
        hats,
        out,
        InferenceRequest(sampling=DRAW),
        partitions=PartitionOptions(rows_a_partition=9),
    )
    before, after = lsdb.open_catalog(hats), lsdb.open_catalog(out)
    assert after.get_healpix_pixels() == before.get_healpix_pixels()
    answers = by_key(after.compute())
    expected = by_key(answer(frame, sampling=DRAW))
    np.testing.assert_array_equal(
        answers["last_T_coll_median"].to_numpy(float), expected["last_T_coll_median"]
    )
    assert answers["cinn_status"].tolist() == expected["cinn_status"].tolist()


def test_lsdb_maps_answer_over_the_partitions_in_two_processes(
    hats: Path, frame: pd.DataFrame, cluster: Any
) -> None:
    import lsdb

    catalogue = lsdb.open_catalog(hats)
    answers = by_key(catalogue.map_partitions(answer, sampling=DRAW).compute())
    expected = by_key(answer(frame, sampling=DRAW))
    np.testing.assert_array_equal(
        answers["last_T_coll_p16"].to_numpy(float), expected["last_T_coll_p16"]
    )
