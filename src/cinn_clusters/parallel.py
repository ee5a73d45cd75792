"""Work on many cores: a map over threads for small pieces of torch, processes for plain Python."""

from __future__ import annotations

import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")
Task = Callable[[], object]
"""Work that leaves its result in a file."""


def parallel_map(
    work: Callable[[Piece], Result], pieces: Sequence[Piece]
) -> Iterator[Result]:
    """Yield ``work(piece)`` in order, as many pieces at once as torch has threads.

    Each piece is worked on by a thread whose torch has one thread; few are ahead of the caller.

    Examples:
        >>> list(parallel_map(lambda number: number + 1, [1, 2, 3]))
        [2, 3, 4]
    """
    num_threads = torch.get_num_threads()
    if num_threads == 1 or len(pieces) < 2:
        yield from map(work, pieces)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        with ThreadPoolExecutor(
            num_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) > num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(num_threads)


def run_tasks(tasks: Iterable[Task]) -> None:
    """Run tasks in processes of their own, as many at once as there are processors.

    A child is a copy of this process, so that nothing has to be sent to it; only Linux makes such
    copies safely, and elsewhere the tasks run here, one after another. What fails in a child is run
    again here, where its error is raised.
    """
    num_processes = _num_processors()
    running: deque[tuple[int, Task]] = deque()
    try:
        for task in tasks:
            if num_processes == 1:
                task()
                continue
            running.append((_start(task), task))
            if len(running) == num_processes:
                _finish(*running.popleft())
        while running:
            _finish(*running.popleft())
    finally:  # no child goes on writing where this process cleans up
        for child, _ in running:
            os.waitpid(child, 0)


def _num_processors() -> int:
    """Processors that may be used for copies of this process."""
    if sys.platform != "linux":
        return 1
    return len(os.sched_getaffinity(0))


def _start(task: Task) -> int:
    """Run a task in a copy of this process, and return the number of the process."""
    with warnings.catch_warnings():
        # the other threads, which the copy lacks, are those of linear algebra, at rest
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        task()
        status = 0
    finally:
        os._exit(
            status
        )  # nothing that this process has open is to be ended by its copy


def _finish(child: int, task: Task) -> None:
    _, status = os.waitpid(child, 0)
    if status:
        task()
