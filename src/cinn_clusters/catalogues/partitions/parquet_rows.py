"""Rows of Parquet files, one file after another, read a range at a time.

A file, a folder of files or a HATS catalogue is one sequence of N rows; whoever reads rows a to b
holds these in memory and a batch of the pages that they stand in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinn_clusters.catalogues.formats.parquet import demand_unique_names
from cinn_clusters.catalogues.table_files import readable_table
from cinn_clusters.errors import DataError

_ROWS_A_BATCH = 65_536
_FOOTER = 8
"""Bytes at the end of a file: length of the footer before them, and the magic number."""


@dataclass(frozen=True, eq=False)
class ParquetRows:
    """Rows of files that have the same columns.

    Args:
        files: In the order of the rows.
        counts: Rows of each.
        schema: Types of the columns, those to which all files convert.
    """

    files: tuple[Path, ...]
    counts: tuple[int, ...]
    schema: Any

    def __len__(self) -> int:
        """Number of rows, N."""
        return sum(self.counts)

    def read(self, start: int, stop: int, columns: Sequence[str] | None = None) -> Any:
        """Read rows ``start`` to ``stop`` as a table of pyarrow.

        Raises:
            DataError: If a file is damaged, or its values do not convert to the common types.
        """
        import pyarrow

        names = self.schema.names
        wanted = [name for name in names if columns is None or name in columns]
        schema = pyarrow.schema(
            [self.schema.field(name) for name in wanted], self.schema.metadata
        )
        pieces = [
            _read_file(self.files[number], lower, upper, wanted).cast(schema)
            for number, lower, upper in overlaps(self.counts, start, stop)
        ]
        return pyarrow.concat_tables(pieces)


def open_rows(files: Sequence[Path]) -> ParquetRows:
    """Look at the footers of Parquet files.

    Raises:
        DataError: If there is no file or no row, one is damaged, or their columns differ.
    """
    import pyarrow
    from pyarrow import parquet

    counts: list[int] = []
    schemas: list[Any] = []
    for path in files:
        with readable_table(path, "parquet"):
            footer = parquet.read_metadata(path)
            schema = footer.schema.to_arrow_schema()
        demand_unique_names(schema.names, path)
        if schemas and set(schema.names) != set(schemas[0].names):
            names = set(schema.names) ^ set(schemas[0].names)
            expected, got = f"the columns of {files[0].name}", ", ".join(sorted(names))
            raise DataError(path, expected, f"a difference in {got}")
        counts.append(footer.num_rows)
        schemas.append(schema)
    if not sum(counts):
        raise DataError(files[0], "at least one row", "none")
    with readable_table(files[0], "parquet"):
        common = pyarrow.unify_schemas(schemas, promote_options="permissive")
    return ParquetRows(tuple(files), tuple(counts), common)


def footers(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield the footers of Parquet files: sizes, places and statistics of all of their pages."""
    for path in files:
        with path.open("rb") as stream:
            end = stream.seek(-_FOOTER, 2)
            length = int.from_bytes(stream.read(4), "little")
            stream.seek(max(end - length, 0))
            yield stream.read(length)


def overlaps(
    counts: Iterable[int], start: int, stop: int
) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each part of a sequence that a range touches, and the range within it.

    Examples:
        >>> list(overlaps([4, 3, 5], 2, 8))
        [(0, 2, 4), (1, 0, 3), (2, 0, 1)]
    """
    begin = 0
    for number, count in enumerate(counts):
        lower, upper = max(start - begin, 0), min(stop - begin, count)
        if lower < upper:
            yield number, lower, upper
        begin += count


def _read_file(path: Path, start: int, stop: int, columns: list[str]) -> Any:
    import pyarrow
    from pyarrow import parquet

    with readable_table(path, "parquet"), parquet.ParquetFile(path) as file:
        footer = file.metadata
        groups = [
            footer.row_group(number).num_rows for number in range(file.num_row_groups)
        ]
        batches: list[Any] = []
        for group, lower, upper in overlaps(groups, start, stop):
            pages = file.iter_batches(
                _ROWS_A_BATCH, row_groups=[group], columns=columns
            )
            batches += _sliced(pages, lower, upper)
        return pyarrow.Table.from_batches(batches).select(columns)


def _sliced(batches: Iterable[Any], start: int, stop: int) -> Iterator[Any]:
    """Rows of batches; none is read after the last of them."""
    begin = 0
    for batch in batches:
        lower, upper = max(start - begin, 0), min(stop - begin, len(batch))
        if lower < upper:
            yield batch.slice(lower, upper - lower)
        begin += len(batch)
        if begin >= stop:
            return
