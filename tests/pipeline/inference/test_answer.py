"""A table of answers: one pure function, the same as ``infer``, in whole and in parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from cinn_clusters import InferenceOptions, Sampling, answer, infer, read_preset
from cinn_clusters.errors import DataError
from cinn_clusters.pipeline.inference.result_table import STATUS

DRAW = Sampling(30)
ALL = InferenceOptions(with_map=True)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty named clusters of whom one has no time, and one an impossible mass."""
    from cinn_clusters import mock_catalogue

    frame, _ = mock_catalogue(6, seed=5)
    frame = frame.drop(columns="bcg_SubhaloBHMass").assign(name="A")
    frame["sigma_Group_M_Crit500"] = 0.1
    frame.loc[3, "lookback_time_Gyr"] = np.nan
    frame.loc[4, "Group_M_Crit500"] = 99.0
    path = tmp_path_factory.mktemp("answer") / "catalogue.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def inferred(catalogue: Path) -> pd.DataFrame:
    done = infer(catalogue, catalogue.with_suffix(".nc"), sampling=DRAW, options=ALL)
    return pd.read_csv(done.table, comment="#")


def test_a_frame_gets_the_columns_of_infer(
    catalogue: Path, inferred: pd.DataFrame
) -> None:
    frame = pd.read_csv(catalogue).set_index(np.arange(7, 55))
    answers = answer(frame, sampling=DRAW, options=ALL)
    assert list(answers) == list(inferred)
    pd.testing.assert_index_equal(answers.index, frame.index)
    pd.testing.assert_frame_equal(answers[list(frame)], frame)
    read = answers.reset_index(drop=True).replace({"": np.nan})
    pd.testing.assert_frame_equal(
        read, inferred, check_dtype=False, rtol=1e-6, check_exact=False
    )
    assert answers[STATUS].value_counts()["unusable"] == 1


def test_the_kind_of_the_table_does_not_matter(catalogue: Path) -> None:
    frame = pd.read_csv(catalogue).head(5)
    expected = answer(frame, sampling=DRAW)
    arrow = frame.convert_dtypes(dtype_backend="pyarrow")
    nullable = frame.convert_dtypes(dtype_backend="numpy_nullable")
    new = [name for name in expected if name not in frame]
    for other in (arrow, nullable):
        got = answer(other, sampling=DRAW)
        pd.testing.assert_frame_equal(got[new], expected[new])
    table = Table.from_pandas(frame)
    table.meta["survey"] = "mine"
    got = answer(table, sampling=DRAW)
    assert isinstance(got, Table)
    assert got.meta["survey"] == "mine"
    assert got.meta["CINNDRAW"] == 30
    assert str(got["last_T_coll_median"].unit) == "Gyr"
    pd.testing.assert_frame_equal(got.to_pandas()[new], expected[new])


def test_parts_and_order_do_not_matter(catalogue: Path) -> None:
    frame = pd.read_csv(catalogue).drop(index=4)
    expected = answer(frame, sampling=DRAW)
    parts = [answer(frame[rows], sampling=DRAW) for rows in (slice(0, 4), slice(4, 47))]
    pd.testing.assert_frame_equal(pd.concat(parts), expected)
    backwards = answer(frame[::-1], sampling=DRAW)
    pd.testing.assert_frame_equal(backwards[::-1], expected)


def test_a_table_without_rows_has_the_columns_of_others(catalogue: Path) -> None:
    frame = pd.read_csv(catalogue)
    whole, none = (answer(rows, sampling=DRAW) for rows in (frame[:2], frame[:0]))
    assert len(none) == 0
    pd.testing.assert_series_equal(none.dtypes, whole.dtypes)


def test_a_table_without_an_answer_has_them_too(catalogue: Path) -> None:
    frame = pd.read_csv(catalogue)
    one, none = (answer(rows, sampling=DRAW) for rows in (frame[:1], frame[3:4]))
    pd.testing.assert_series_equal(none.dtypes, one.dtypes)
    assert none[STATUS].tolist() == ["unusable"]
    assert none["last_T_coll_median"].isna().all()
    strict = InferenceOptions(strict=True)
    with pytest.raises(DataError, match=r"table: expected every row to be usable"):
        answer(frame[3:4], options=strict)


def test_a_published_table_is_answered_by_its_preset() -> None:
    preset = read_preset("mcxc2")
    columns = [preset.object_name, *_columns(preset)]
    frame = pd.DataFrame({name: [0.2, 0.3] for name in columns})
    frame[preset.object_name] = ["A", "B"]
    for rows in (frame, frame[:0]):
        answers = answer(rows, mapping=preset, sampling=DRAW)
        assert STATUS in answers
        assert len(answers) == len(rows)


def _columns(preset: object) -> list[str]:
    quantities = preset.quantities.values()  # type: ignore[attr-defined]
    return [name for quantity in quantities for name in quantity.columns]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("file.csv", "table: expected a DataFrame of pandas or a Table of astropy"),
        (pd.DataFrame({"cinn_status": ["ok"]}), "an answer given before"),
        (pd.DataFrame({"Group_M_Crit500": [14.7]}), "lookback_time_Gyr"),
    ],
)
def test_other_tables_are_refused(table: pd.DataFrame, match: str) -> None:
    with pytest.raises(DataError, match=match):
        answer(table)
