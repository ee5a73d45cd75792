"""Tasks in processes of their own: all are done, an error is raised here, claims stay with the parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cinn_clusters import parallel
from cinn_clusters.claims import claim
from cinn_clusters.parallel import run_tasks


def note_process(path: Path) -> None:
    path.write_text(str(os.getpid()))


@pytest.fixture(params=[1, 3])
def processors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parallel, "_num_processors", lambda: request.param)
    return int(request.param)


def test_every_task_is_done_in_this_process_or_in_copies_of_it(
    processors: int, tmp_path: Path
) -> None:
    paths = [tmp_path / str(number) for number in range(7)]
    run_tasks(partial(note_process, path) for path in paths)
    workers = {path.read_text() for path in paths}
    assert len(workers) == (1 if processors == 1 else 7)
    assert (str(os.getpid()) in workers) == (processors == 1)


def test_what_fails_in_a_copy_is_raised_here(processors: int, tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("no space left")

    tasks: list[Callable[[], None]] = [partial(note_process, tmp_path / "one"), fail]
    with pytest.raises(OSError, match="no space left"):
        run_tasks(tasks)
    assert (tmp_path / "one").is_file()


def test_a_copy_that_dies_is_replaced_by_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_num_processors", lambda: 2)
    parent, path = os.getpid(), tmp_path / "survivor"

    def die_in_a_copy() -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), 9)
        note_process(path)

    run_tasks([die_in_a_copy])
    assert path.read_text() == str(parent)


def test_a_claim_ends_with_its_process_though_a_copy_lives_on(tmp_path: Path) -> None:
    """A lock is free when the last process has closed it: a copy closes its own at once."""
    with claim(tmp_path / "result") as held:
        child = os.fork()
        if not child:
            try:
                os.fstat(held.descriptor)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        os.fstat(held.descriptor)  # still open here
