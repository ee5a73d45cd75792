"""Answers of a catalogue partition by partition: what is done stays done when the process is killed.

A part is one Parquet file that appears whole, by renaming, and says in its own metadata what became
of its rows. All parts lie in a folder beside the place of the result, which names the job that they
belong to and becomes the result in the end.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cinn_clusters.catalogues.partitions.parquet_rows import ParquetRows
from cinn_clusters.claims import remove
from cinn_clusters.errors import OutputError
from cinn_clusters.files import JsonObject, read_json, write_json

_COUNTS = b"cinn_clusters"
"""Key of the metadata of a part that holds what became of its rows."""
SUMMARY = "_summary.json"
"""Name of the file of a result that says how it was made; readers of Parquet pass over it."""
_JOB = "job.json"
_SCRATCH = ".scratch"
_ROWS_A_GROUP = 100_000


@dataclass(frozen=True)
class PartCounts:
    """What became of the rows of a part, or of several.

    Args:
        rows: Number of rows.
        answered: Those with a posterior.
        flagged: Those to which the model may not apply, or with a value that was not used.
        reasons: How often each reason was given.
    """

    rows: int = 0
    answered: int = 0
    flagged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> JsonObject:
        """Plain values for JSON."""
        return {**vars(self), "reasons": dict(sorted(self.reasons.items()))}

    @classmethod
    def from_dict(cls, values: JsonObject) -> PartCounts:
        """Inverse of ``to_dict``."""
        return cls(**{**values, "reasons": Counter(values["reasons"])})

    def __add__(self, other: PartCounts) -> PartCounts:
        """Count of both."""
        return PartCounts(
            self.rows + other.rows,
            self.answered + other.answered,
            self.flagged + other.flagged,
            self.reasons + other.reasons,
        )


@dataclass(frozen=True)
class PartFolder:
    """Folder of the parts of a result that is not whole yet.

    Args:
        place: Where the result will stand.
    """

    place: Path

    @property
    def path(self) -> Path:
        """The folder, hidden beside the result."""
        return self.place.with_name(f".{self.place.name}.parts")

    @property
    def staged(self) -> Path:
        """Folder of a catalogue that is laid down as Parquet first."""
        return self.path / "catalogue"

    @property
    def finished(self) -> Path:
        """Folder of the parts, which becomes the result."""
        return self.path / "parts"

    def part(self, number: int) -> Path:
        """File of a partition."""
        return self.finished / f"part-{number:06d}.parquet"

    def quantiles(self, number: int) -> Path:
        """File of the quantiles of a partition."""
        return self.path / "quantiles" / f"part-{number:06d}.parquet"

    def begin(self, job: JsonObject, *, overwrite: bool) -> None:
        """Take up the parts of a job that was killed, or begin.

        Args:
            job: What the answers depend on.
            overwrite: Parts of another job may be thrown away.

        Raises:
            OutputError: If parts of another job lie there.
        """
        record = self.path / _JOB
        if record.is_file() and read_json(record) == job:
            return
        if record.is_file() and not overwrite:
            expected, got = "the same job as before", "parts of another one"
            where = f"in {self.path}"
            hint = "give the options of that job, name another place, or --overwrite"
            raise OutputError(self.place, expected, got, where, hint)
        remove(self.path)
        for folder in (self.finished, self.quantiles(0).parent):
            folder.mkdir(parents=True)
        write_json(record, job)

    def fresh(self, name: str) -> Path:
        """Make an empty folder within."""
        folder = self.path / name
        remove(folder)
        folder.mkdir()
        return folder

    def discard(self) -> None:
        """Throw everything away."""
        remove(self.path)

    @contextmanager
    def discarded_without_parts(self) -> Iterator[None]:
        """Leave nothing behind if the block fails before there is a part."""
        try:
            yield
        except BaseException:
            if not any(self.finished.iterdir()):
                self.discard()
            raise

    def is_finished(self, job: JsonObject) -> bool:
        """Whether this job was killed when its result was whole already; tidies up after it."""
        summary = self.place / SUMMARY
        if not (self.path.is_dir() and summary.is_file()):
            return False
        if read_json(summary).get("job") != job:
            return False
        remove(self.path)
        return True

    def finish(self, built: Path, summary: JsonObject) -> None:
        """Let a folder of answers become the result.

        Args:
            built: The folder.
            summary: What stands in it beside the answers.
        """
        for scratch in built.glob(f".*{_SCRATCH}"):
            scratch.unlink()  # what a killed process was writing
        write_json(built / SUMMARY, summary)
        if self.place.exists():
            self.place.rename(self.path / "former")
        built.rename(self.place)
        remove(self.path)


def write_part(path: Path, table: Any, counts: PartCounts | None = None) -> None:
    """Write a table of pyarrow whole or not at all, and what became of its rows with it."""
    from pyarrow import parquet

    if counts is not None:
        text = json.dumps(counts.to_dict())
        metadata = {**(table.schema.metadata or {}), _COUNTS: text.encode()}
        table = table.replace_schema_metadata(metadata)
    scratch = path.with_name(f".{path.name}.{os.getpid()}{_SCRATCH}")
    parquet.write_table(table, scratch)
    with scratch.open("rb") as stream:
        os.fsync(stream.fileno())
    scratch.replace(path)


def read_counts(path: Path) -> PartCounts:
    """Read what became of the rows of a part."""
    from pyarrow import parquet

    return PartCounts.from_dict(json.loads(parquet.read_schema(path).metadata[_COUNTS]))


def write_rows(path: Path, rows: ParquetRows, start: int, stop: int) -> None:
    """Write rows of Parquet files as one file, in bounded memory."""
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    with parquet.ParquetWriter(path, rows.schema) as writer:
        for begin in range(start, stop, _ROWS_A_GROUP):
            end = min(begin + _ROWS_A_GROUP, stop)
            writer.write_table(rows.read(begin, end))


def write_schema(path: Path, rows: ParquetRows) -> None:
    """Write the types of columns, without a row."""
    from pyarrow import parquet

    parquet.write_metadata(rows.schema, path)
