"""What runs the partitions: this process, worker processes of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Literal, TypeAlias, TypeVar

from cinn_clusters.errors import ConfigError, OutputError

Engine: TypeAlias = Literal["local", "dask"]
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class PartitionOptions:
    """How the work on a catalogue of any size is cut and shared out; no answer depends on it.

    Args:
        engine: ``local``: this process, or worker processes of this machine; ``dask``: that of the
            client that is there, else of the address that Dask is configured with
            (``DASK_SCHEDULER_ADDRESS``), else a local one.
        workers: Partitions that are answered at once.
        rows_a_partition: Most rows of a partition, which bounds the memory of a worker and what a
            kill can cost.
        with_pdfs: Keep quantiles of all posteriors, too, as PDFs that ``qp`` reads.

    Examples:
        >>> PartitionOptions(workers=2).engine
        'local'
    """

    engine: Engine = "local"
    workers: int = 1
    rows_a_partition: int = 20_000
    with_pdfs: bool = False

    def __post_init__(self) -> None:
        """Refuse less than one worker, and partitions of no row."""
        counts = {"workers": self.workers, "rows_a_partition": self.rows_a_partition}
        for name, count in counts.items():
            if count < 1:
                raise ConfigError(name, "1 or more", str(count))


def run_all(
    work: Callable[[int], Outcome], numbers: list[int], partitions: PartitionOptions
) -> Iterator[Outcome]:
    """Yield ``work(number)`` of all numbers as they are done; no order is promised.

    Raises:
        OutputError: If a worker was killed.
        ConfigError: If Dask is asked for and not installed.
    """
    if partitions.engine == "local" and partitions.workers == 1:
        yield from map(work, numbers)
        return
    with _executor(partitions) as executor:
        futures = [executor.submit(work, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            expected, got = "workers that live", "one that was killed"
            hint = "fewer --workers take less memory; what is done is kept"
            raise OutputError("partitions", expected, got, "", hint) from error
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _executor(partitions: PartitionOptions) -> Iterator[Executor]:
    if partitions.engine == "dask":
        with _dask_executor(partitions.workers) as executor:
            yield executor
        return
    context = multiprocessing.get_context("spawn")  # threads of torch survive no fork
    with ProcessPoolExecutor(partitions.workers, context, _end_with_parent) as executor:
        yield executor


def _end_with_parent() -> None:
    """Let this worker end when the process that started it does, however it ends."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _dask_executor(num_workers: int) -> Iterator[Executor]:
    try:
        import dask
        from distributed import Client, LocalCluster, default_client
    except ImportError as error:
        hint = "pip install 'cinn-clusters[scale]'"
        raise ConfigError("engine dask", "Dask", "none", "", hint) from error
    with ExitStack() as stack:
        try:
            client = default_client()  # of the caller, of dask-jobqueue for example
        except ValueError:
            address = dask.config.get("scheduler-address", None)
            options = {"n_workers": num_workers, "threads_per_worker": 1}
            if not address:
                cluster = LocalCluster(**options, dashboard_address=None)
                address = stack.enter_context(cluster)
            client = stack.enter_context(Client(address))
        yield client.get_executor()
