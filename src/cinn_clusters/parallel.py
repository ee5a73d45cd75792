"""A map over threads: many small pieces of torch, each on one core, beat one piece on many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


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


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work in one thread: shared out among several, a product is rounded in another way."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
