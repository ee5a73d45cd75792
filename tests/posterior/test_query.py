"""Queries made of tables: by column name, with keys, and with missing values where allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError
from cinn_clusters.posterior.query import Kernels, Query, Sampling


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "m": [14.2, 14.7, 14.9],
            "object": ["A1", "A2", "A3"],
            schema.LOOKBACK: [1.0, 2.0, 3.0],
            "HaloID": [7, 8, 9],
            "remark": ["", "", "merging"],
        },
        index=[5, 6, 7],
    )


def test_columns_are_found_by_name_and_keys_are_kept(make_posterior, table) -> None:
    posterior = make_posterior("last_T_coll", "my_own")
    query = posterior.query(table)
    np.testing.assert_array_equal(query.inputs, table[[schema.LOOKBACK, "m"]])
    np.testing.assert_array_equal(query.places, [0, 1, 2])
    assert list(query.keys) == ["HaloID", "object"]
    assert list(posterior.query(table, keys=("remark",)).keys) == ["remark"]
    assert len(query.rows(np.array([2, 0]))) == 2
    assert query.rows(np.array([2, 0])).keys["object"].tolist() == ["A3", "A1"]
    assert repr(query) == "Query((3, 2), keys=['HaloID', 'object'])"


def test_a_query_without_names_has_the_samples_of_its_inputs(
    make_posterior, table
) -> None:
    posterior = make_posterior("last_T_coll", "my_own", num_members=2, distance=0.2)
    query = posterior.query(table)
    nameless = posterior.query(table.drop(columns=["HaloID", "object"]))
    np.testing.assert_array_equal(
        posterior.sample(nameless, 20), posterior.sample(query.inputs, 20)
    )
    theta = posterior.sample(query, 20)
    assert (theta != posterior.sample(nameless, 20)).mean() > 0.9
    np.testing.assert_array_equal(
        posterior.log_prob(theta, query), posterior.log_prob(theta, query.inputs)
    )
    assert posterior.as_query(query) is query


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda table: table.drop(columns="m"),
            "column 'm': expected a column of the table; got no such column",
        ),
        (
            lambda table: table.assign(m=[14.0, np.nan, 15.0]),
            "column 'm': .* got 1 of 3 missing",
        ),
        (lambda table: table.assign(m=["a", "b", "c"]), "column 'm': expected numbers"),
    ],
)
def test_an_exact_model_needs_every_value(
    make_posterior, table, change: Callable[[pd.DataFrame], pd.DataFrame], match: str
) -> None:
    with pytest.raises(DataError, match=match):
        make_posterior("my_own").query(change(table))


def test_a_model_that_accepts_missing_values_takes_them(make_posterior, table) -> None:
    posterior = make_posterior("my_own")
    maps = (ObservableMap(schema.LOOKBACK), ObservableMap(schema.MASS))
    columns = {schema.LOOKBACK: np.arange(9.0), schema.MASS: np.arange(9.0) % 4}
    transforms = accept_missing_values(
        Transforms(maps, (TargetMap("my_own"),)), columns
    )
    posterior = replace(posterior, transforms=transforms)
    assert transforms.accepts_missing
    query = posterior.query(table)
    np.testing.assert_array_equal(query.inputs[:, 0], table[schema.LOOKBACK])
    assert np.isnan(query.inputs[:, 1]).all(), "the mass is absent"
    assert (query.inputs[:, 2] == 0.0).all(), "an absent error is zero"


def test_a_number_of_samples_is_positive() -> None:
    with pytest.raises(
        DataError, match="num_samples: expected a whole number of 1 or more; got 0"
    ):
        Sampling(0)


def test_a_query_is_cut_into_slices() -> None:
    query = Query.from_inputs(np.zeros((5, 2)))
    assert list(query.batches(2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]


@pytest.mark.parametrize(
    ("num_samples", "num_objects", "expected"),
    [(1000, 499, "reference"), (1000, 500, "compiled"), (1, 500_000, "compiled")],
)
def test_the_size_of_the_whole_job_chooses_the_kernels(
    num_samples: int, num_objects: int, expected: str
) -> None:
    assert Sampling(num_samples).for_job(num_objects).kernels == expected
    fixed = Sampling(num_samples, kernels="reference")
    assert fixed.for_job(num_objects) == fixed


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(DataError, match=r"kernels: expected auto or compiled or .*'x'"):
        Sampling(kernels="x")  # type: ignore[arg-type]


def test_kernels_draw_the_samples_of_pytorch_in_any_batches_and_threads(
    make_posterior, table, monkeypatch
) -> None:
    posterior = make_posterior("last_T_coll", "my_own", num_members=3, distance=0.2)
    query = posterior.query(table)

    def samples(kernels: Kernels) -> np.ndarray:
        batches = posterior.sample_batches(query, Sampling(50, kernels=kernels))
        return np.concatenate([batch for _, batch in batches], 1)

    compiled = samples("compiled")
    np.testing.assert_allclose(compiled, samples("reference"), rtol=1e-4, atol=1e-4)
    assert not np.array_equal(compiled, samples("reference"))
    monkeypatch.setattr("cinn_clusters.posterior.posterior.POINTS_A_BATCH", 50)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    np.testing.assert_array_equal(samples("compiled"), compiled)


def test_kernels_give_the_densities_of_pytorch(make_posterior, table) -> None:
    posterior = make_posterior("last_T_coll", "my_own", num_members=3, distance=0.2)
    query = posterior.query(table)
    theta = posterior.sample(query, 20)
    expected = posterior.log_prob(theta, query)
    compiled = posterior.log_prob(theta, query, kernels="compiled")
    np.testing.assert_allclose(compiled, expected, rtol=1e-4, atol=1e-4)
    assert not np.array_equal(compiled, expected)
