"""Files that HDF5 may write to a disk that fills up: it hears that all went well, we hear the truth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class EnduringFile(io.FileIO):
    """A file that keeps the first failure to write for later.

    HDF5 crashes the process when a flush fails while it closes, so it hears that all went well.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, or remember why not."""
        size = memoryview(data).nbytes
        if self.failure is None:
            try:
                written = super().write(data)
                if written != size:
                    super().write(memoryview(data)[written:])
            except OSError as error:
                self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Change the length, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def demand_written(self) -> None:
        """Raise what was remembered."""
        if self.failure is not None:
            raise self.failure


@contextmanager
def enduring(path: Path) -> Iterator[EnduringFile]:
    """Yield a file for HDF5 to write.

    Raises:
        OSError: In the end, if anything could not be written.
    """
    with EnduringFile(path, "w+") as stream:
        yield stream
        stream.demand_written()
