"""Catalogues of any size: the same answers in any cut, by any engine, whatever was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from cinn_clusters import InferenceOptions, Sampling, answer, mock_catalogue
from cinn_clusters.catalogues.table_files import read_table
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.pipeline.inference.answer import InferenceRequest
from cinn_clusters.pipeline.scale import partition
from cinn_clusters.pipeline.scale.engines import PartitionOptions, run_all
from cinn_clusters.pipeline.scale.infer_partitions import (
    PartitionedAnswers,
    infer_partitions,
)
from cinn_clusters.storage.answer_parts import PartFolder
from cinn_clusters.storage.quantile_pdfs import QUANTILE_LEVELS
from support import Command

REQUEST = InferenceRequest(sampling=Sampling(20))
CUT = PartitionOptions(rows_a_partition=20)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """64 rows in which 99.9, a mark, stands once in a partition, and names look like numbers."""
    table, _ = mock_catalogue(8, seed=3)
    table.loc[[5, 30, 60], "bcg_StellarMass"] = 99.9
    table.loc[7, "lookback_time_Gyr"] = np.nan
    names = [f"{number:03d}" for number in range(len(table))]
    return table.assign(object=names, note="")


@pytest.fixture(scope="module")
def catalogue(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scale") / "catalogue.parquet"
    frame.to_parquet(path, row_group_size=27)
    return path


@pytest.fixture(scope="module")
def expected(frame: pd.DataFrame) -> pd.DataFrame:
    return answer(frame, sampling=REQUEST.sampling)


@pytest.fixture(scope="module")
def whole(catalogue: Path) -> Path:
    """Answers in four partitions by this process, with PDFs."""
    out = catalogue.with_name("whole.parquet")
    return infer_partitions(catalogue, out, REQUEST, partitions=WITH_PDFS).path


WITH_PDFS = PartitionOptions(rows_a_partition=20, with_pdfs=True)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder)


def test_partitions_are_answered_as_the_whole(
    whole: Path, expected: pd.DataFrame
) -> None:
    assert len(list(whole.glob("part-*.parquet"))) == 4
    pd.testing.assert_frame_equal(read(whole), expected)
    assert list(whole.parent.glob(".*")) == []


def test_marks_are_those_of_the_whole_catalogue(
    frame: pd.DataFrame, whole: Path
) -> None:
    """In a partition of its own, 99.9 would be a mass that is out of bounds."""
    reasons = read(whole)["cinn_reasons"]
    assert not reasons.str.contains("outside").any()
    alone = answer(frame[40:64], sampling=REQUEST.sampling)["cinn_reasons"]
    assert alone[60] != reasons[60]


@pytest.mark.parametrize("rows", [13, 1000])
def test_the_cut_does_not_matter(
    rows: int, catalogue: Path, expected: pd.DataFrame, tmp_path: Path
) -> None:
    scale = PartitionOptions(rows_a_partition=rows)
    done = infer_partitions(
        catalogue, tmp_path / "a.parquet", REQUEST, partitions=scale
    )
    pd.testing.assert_frame_equal(read(done.path), expected)
    assert (done.counts.rows, done.counts.answered) == (64, 63)


def write_fits(frame: pd.DataFrame, path: Path) -> None:
    table = Table.from_pandas(frame)
    table["lookback_time_Gyr"].unit = "Gyr"
    table.write(path)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "a.fits": write_fits,
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.ecsv": lambda frame, path: Table.from_pandas(frame).write(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_formats_are_read_in_pieces(
    name: str, frame: pd.DataFrame, expected: pd.DataFrame, tmp_path: Path
) -> None:
    WRITERS[name](frame, tmp_path / name)
    out = tmp_path / "a.parquet"
    done = infer_partitions(tmp_path / name, out, REQUEST, partitions=CUT)
    got = read(done.path).drop(columns="note")
    pd.testing.assert_frame_equal(got, expected.drop(columns="note"), check_dtype=False)
    table = read_table(next(out.glob("part-*")))
    assert str(table["last_T_coll_median"].unit) == "Gyr"


def test_a_column_that_is_text_in_one_piece_is_text_in_all(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    grades = frame.assign(grade=["2.50"] * 63 + ["A"])
    grades.to_csv(tmp_path / "a.csv", index=False)
    out = tmp_path / "a.parquet"
    infer_partitions(tmp_path / "a.csv", out, REQUEST, partitions=CUT)
    assert read(out)["grade"].tolist() == grades["grade"].tolist()


def test_a_folder_of_files_is_one_catalogue(
    frame: pd.DataFrame, expected: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "many").mkdir()
    for number, rows in enumerate((slice(0, 3), slice(3, 50), slice(50, 64))):
        frame[rows].to_parquet(tmp_path / f"many/{number}.parquet", index=False)
    done = infer_partitions(
        tmp_path / "many", tmp_path / "a.parquet", REQUEST, partitions=CUT
    )
    pd.testing.assert_frame_equal(read(done.path), expected)


def test_two_processes_give_the_same_bytes(
    catalogue: Path, whole: Path, tmp_path: Path
) -> None:
    options = PartitionOptions("local", 2, 20, with_pdfs=True)
    out = tmp_path / "a.parquet"
    infer_partitions(catalogue, out, REQUEST, partitions=options)
    assert contents(out) == contents(whole)


def test_a_dask_cluster_gives_the_same_bytes(
    catalogue: Path, whole: Path, tmp_path: Path, cluster: Any
) -> None:
    options = PartitionOptions("dask", 2, 20, with_pdfs=True)
    out = tmp_path / "a.parquet"
    infer_partitions(catalogue, out, REQUEST, partitions=options)
    assert contents(out) == contents(whole)


class Killed(BaseException):
    """Stands for a kill between two instructions."""


def test_a_job_that_was_stopped_goes_on(
    catalogue: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written last before the end, no partition is lost or done twice."""
    answered: list[int] = []
    work = partition._answer_rows

    def stop_at(limit: int) -> Callable[..., Any]:
        def answer_or_stop(job: Any, number: int, content: Any) -> Any:
            if len(answered) == limit:
                raise Killed
            answered.append(number)
            return work(job, number, content)

        return answer_or_stop

    def infer_all() -> PartitionedAnswers:
        out = tmp_path / "a.parquet"
        return infer_partitions(catalogue, out, REQUEST, partitions=WITH_PDFS)

    for limit in (0, 1, 3):
        monkeypatch.setattr(partition, "_answer_rows", stop_at(limit))
        with pytest.raises(Killed):
            infer_all()
        assert not (tmp_path / "a.parquet").exists()
    monkeypatch.setattr(partition, "_answer_rows", stop_at(-1))
    assert infer_all().counts.rows == 64
    assert answered == [0, 1, 2, 3]
    assert contents(tmp_path / "a.parquet") == contents(whole)


KILLED = """
import os, signal, sys
from cinn_clusters.cli import main
from cinn_clusters.storage import answer_parts
from cinn_clusters.pipeline.scale import partition
write, number = answer_parts.write_part, 0
def write_and_die(*arguments):
    global number
    number += 1
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)
partition.write_part = write_and_die
main()
"""


def test_a_killed_process_is_taken_up_by_the_same_line(
    catalogue: Path, whole: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "a.parquet"
    line = f"infer --catalogue {catalogue} --out {out} --samples 20 --partition-rows 20"
    done = subprocess.run([sys.executable, "-c", KILLED, *line.split()], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    folder = PartFolder(out)
    first = folder.part(0).stat()
    command(line + " --seed 1").demand_error(
        "the same job as before", "parts of another"
    )
    assert command(line).code == 0
    assert (out / "part-000000.parquet").stat().st_ino == first.st_ino
    names = [f"part-{number:06d}.parquet" for number in range(4)]
    for name in names:
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not folder.path.exists()
    command(line).demand_error("a path that does not exist yet", "--overwrite")


def test_a_killed_worker_is_said() -> None:
    with pytest.raises(OutputError, match="partitions: expected workers that live"):
        list(run_all(os._exit, [9], PartitionOptions(workers=2)))


def test_pdfs_are_quantiles_that_qp_reads(whole: Path) -> None:
    import qp

    answers = read(whole)
    path = str(whole / "_pdfs/last_T_coll.hdf5")
    ensemble = qp.read(path)
    rows = np.ravel(ensemble.ancil["row"])
    assert ensemble.npdf == 63
    assert rows.tolist() == [row for row in range(64) if row != 7]
    for level, column in ((0.5, "median"), (0.16, "p16"), (0.84, "p84")):
        expected = answers[f"last_T_coll_{column}"].to_numpy()[rows]
        np.testing.assert_allclose(np.ravel(ensemble.ppf(level)), expected, rtol=1e-5)
    with h5py.File(path) as file:
        assert file["data/locs"].shape == (63, len(QUANTILE_LEVELS))
        assert (np.diff(file["data/locs"], axis=1) >= 0.0).all()


def _wrong_unit(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(Group_M_Crit500=10.0**14)


BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "answered": (
        lambda frame: frame.assign(cinn_status="ok"),
        "an answer given before",
    ),
    "no time": (
        lambda frame: frame.drop(columns="lookback_time_Gyr").drop(columns="redshift"),
        "lookback_time_Gyr",
    ),
    "unit": (_wrong_unit, "column 'Group_M_Crit500'"),
    "no row": (lambda frame: frame[:0], "at least one row"),
    "no answer": (
        lambda frame: frame.assign(lookback_time_Gyr=np.nan),
        "a row that can be answered",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_catalogues_leave_nothing(
    name: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    change, match = BAD[name]
    change(frame).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=match):
        infer_partitions(tmp_path / "bad.parquet", tmp_path / "a.parquet", REQUEST)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.parquet"]


def test_strict_refuses_a_row_that_cannot_be_used(
    catalogue: Path, tmp_path: Path
) -> None:
    strict = InferenceRequest(
        sampling=Sampling(20), options=InferenceOptions(strict=True)
    )
    with pytest.raises(DataError, match=r"every row to be usable \(--strict\).*row 7"):
        infer_partitions(catalogue, tmp_path / "a.parquet", strict, partitions=CUT)


LINES = {
    "--out {0}/a.nc --workers 2": (2, "goes with --out NAME.parquet"),
    "--out {0}/a.parquet --table {0}/t.csv": (2, "goes with --out NAME.nc"),
    "--out {0}/a.hats": (1, "a catalogue in HATS"),
}


@pytest.mark.parametrize("options", LINES)
def test_options_of_the_other_kind_are_refused(
    options: str, catalogue: Path, tmp_path: Path, command: Command
) -> None:
    code, text = LINES[options]
    done = command(f"infer --catalogue {catalogue} {options.format(tmp_path)}")
    assert done.code == code
    assert text in " ".join(done.err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []
