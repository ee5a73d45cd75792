"""One process at a place; what a killed one left is cleaned, its half-made results are taken up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cinn_clusters.claims import claim, clean_up, reserving
from cinn_clusters.errors import OutputError
from cinn_clusters.files import (
    atomic_directory,
    atomic_file,
    demand_free,
    discard,
    is_scratch,
    scratch_folder,
)

HOLD = """
import sys
from pathlib import Path
from cinn_clusters.claims import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
PRINTED = """
import sys
from pathlib import Path
from cinn_clusters.files import atomic_file
with atomic_file(Path(sys.argv[1])) as scratch:
    scratch.write_text("result")
"""
DIE = """
import os, signal, sys
from pathlib import Path
from cinn_clusters.claims import reserving
from cinn_clusters.files import atomic_file, demand_free
place = Path(sys.argv[1])
sys.argv = ["a", "line"]
with reserving():
    demand_free(place, False)
    with atomic_file(place) as scratch:
        scratch.write_text("half")
        if sys.stdin.read() == "early":
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def die(place: Path, when: str) -> None:
    """Be killed before a file is at its place, or before its claim is given up."""
    line = [sys.executable, "-c", DIE, str(place)]
    killed = subprocess.run(line, input=when, text=True, check=False)
    assert killed.returncode == -9


@pytest.fixture
def _line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["a", "line"])


class TestTwoProcesses:
    @pytest.mark.parametrize("place", ["run", "run/model", "run/crossval/x.json"])
    def test_the_second_says_so_and_stops(self, place: str, tmp_path: Path) -> None:
        line = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(line, text=True, **pipes) as holder:  # type: ignore[call-overload]
            assert holder.stdout.readline() == "held\n"
            with (
                pytest.raises(OutputError, match="one process at a time; got another"),
                atomic_file(tmp_path / place),
            ):
                raise AssertionError("never asked to write")
            holder.communicate("")
        assert names(tmp_path) == []
        with atomic_file(tmp_path / place) as scratch:
            scratch.write_text("free again")

    def test_a_folder_in_use_is_not_replaced(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        run.mkdir()
        (run / "mark").write_text("old")
        line = [sys.executable, "-c", HOLD, str(run / "model")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(line, text=True, **pipes) as holder:  # type: ignore[call-overload]
            assert holder.stdout.readline() == "held\n"
            with (
                pytest.raises(OutputError, match="one process at a time"),
                atomic_directory(run, overwrite=True) as scratch,
            ):
                (scratch / "mark").write_text("new")
            holder.communicate("")
        assert (run / "mark").read_text() == "old"
        assert names(tmp_path) == ["run"]

    def test_one_process_may_ask_again(self, tmp_path: Path) -> None:
        with claim(tmp_path / "a") as first, claim(tmp_path / "a") as second:
            assert first is second
        assert names(tmp_path) == []


@pytest.mark.usefixtures("_line")
class TestKilled:
    @pytest.mark.parametrize("when", ["early", "late"])
    def test_the_same_line_goes_on_and_leaves_nothing(
        self, when: str, tmp_path: Path
    ) -> None:
        place = tmp_path / "a.nc"
        die(place, when)
        assert len(names(tmp_path)) == 2, "a claim, and a scratch file or the result"
        with reserving():
            demand_free(place, False)
            with atomic_file(place, overwrite=False) as scratch:
                scratch.write_text("whole")
        assert names(tmp_path) == ["a.nc"]
        assert place.read_text() == "whole"

    def test_another_line_replaces_no_result(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        die(tmp_path / "a", "late")
        monkeypatch.setattr(sys, "argv", ["another", "line"])
        with pytest.raises(OutputError, match="--overwrite"), reserving():
            demand_free(tmp_path / "a", False)
        assert names(tmp_path) == ["a"]

    def test_what_stood_before_the_killed_line_is_not_its_own(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "a").write_text("years")
        line = DIE.replace("demand_free(place, False)", "demand_free(place, True)")
        call = [sys.executable, "-c", line, str(tmp_path / "a")]
        subprocess.run(call, input="early", text=True, check=False)
        with pytest.raises(OutputError, match="--overwrite"), reserving():
            demand_free(tmp_path / "a", False)
        assert (tmp_path / "a").read_text() == "years"
        assert names(tmp_path) == ["a"]

    def test_what_was_moved_aside_comes_back(self, tmp_path: Path) -> None:
        (tmp_path / ".run.x1.old").mkdir()
        (tmp_path / ".run.x1.old/mark").write_text("old")
        (tmp_path / ".run.x1.tmp").mkdir()
        with claim(tmp_path / "run"):
            assert (tmp_path / "run/mark").read_text() == "old"
        assert names(tmp_path) == ["run"]

    def test_scratch_of_other_places_stays(self, tmp_path: Path) -> None:
        others = [".a.b.1.tmp", ".b.1.tmp", ".a.tmp", "a.1.tmp", ".a.txt"]
        for name in [*others, ".a.1.tmp", ".a.1.tmp.nc", ".a.x_2.old"]:
            (tmp_path / name).write_text("")
        (tmp_path / "a").write_text("there")
        with claim(tmp_path / "a"):
            pass
        assert names(tmp_path) == sorted([*others, "a"])


class TestPlaces:
    def test_case_302b_a_link_stays_and_its_target_is_written(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "disk").mkdir()
        target, link = tmp_path / "disk/real.csv", tmp_path / "link.csv"
        target.write_text("old")
        link.symlink_to(target)
        with pytest.raises(OutputError, match="--overwrite"):
            demand_free(link, False)
        with atomic_file(link) as scratch:
            scratch.write_text("new")
        assert link.is_symlink()
        assert target.read_text() == "new"
        assert names(tmp_path) == ["disk", "link.csv"]
        assert names(tmp_path / "disk") == ["real.csv"]

    def test_a_link_to_a_folder_stays(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "run").symlink_to("disk")
        with atomic_directory(tmp_path / "run") as scratch:
            (scratch / "mark").write_text("new")
        assert (tmp_path / "run").is_symlink()
        assert names(tmp_path / "disk") == ["mark"]
        assert names(tmp_path) == ["disk", "run"]

    def test_a_dangling_link_makes_its_target(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        with atomic_file(tmp_path / "a") as scratch:
            scratch.write_text("new")
        assert (tmp_path / "a").is_symlink()
        assert (tmp_path / "b").read_text() == "new"

    @pytest.mark.parametrize("target", ["unmounted/b", "a"])
    def test_a_link_that_leads_nowhere_is_told(
        self, target: str, tmp_path: Path
    ) -> None:
        (tmp_path / "a").symlink_to(target)
        with (
            pytest.raises(OutputError, match="a link to a place that exists"),
            atomic_file(tmp_path / "a"),
        ):
            raise AssertionError("never asked to write")
        assert names(tmp_path) == ["a"]

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with (
            pytest.raises(OutputError, match=r"the name of a file; .*result\.nc"),
            atomic_file(tmp_path.rename(tmp_path.with_suffix(".nc"))),
        ):
            raise AssertionError("never asked to write")

    def test_a_device_takes_the_bytes_and_stays(self) -> None:
        with atomic_file(Path("/dev/null"), overwrite=False) as scratch:
            scratch.write_text("nothing")
        assert Path("/dev/null").is_char_device()
        with (
            pytest.raises(OutputError, match="got a device"),
            atomic_directory(Path("/dev/null"), overwrite=True),
        ):
            raise AssertionError("never asked to write")

    def test_a_pipe_gets_the_bytes(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        reader = subprocess.Popen(
            ["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE
        )
        with atomic_file(tmp_path / "pipe") as scratch:
            scratch.write_text("through")
        assert reader.communicate()[0] == b"through"
        assert names(tmp_path) == ["pipe"]

    def test_a_pipe_is_free_also_beside_another_result(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        demand_free(tmp_path / "a", False, tmp_path / "pipe")
        demand_free(tmp_path / "pipe", False, tmp_path / "a")

    def test_where_the_command_prints_is_refused(self, tmp_path: Path) -> None:
        line = [sys.executable, "-c", PRINTED]
        for name in ("/dev/stdout", str(tmp_path / "log")):
            with (tmp_path / "log").open("w") as log:
                done = subprocess.run(
                    [*line, name], stdout=log, stderr=subprocess.PIPE, check=False
                )
            assert b"a place for a result alone; got standard output" in done.stderr
            assert names(tmp_path) == ["log"]
        done = subprocess.run([*line, "/dev/stdout"], capture_output=True, check=False)
        assert b"a place for a result alone; got standard output" in done.stderr
        assert not done.stdout

    def test_the_longest_name_works(self, tmp_path: Path) -> None:
        with atomic_file(tmp_path / ("é" * 125 + ".nc")) as scratch:
            scratch.write_text("x")
        assert len(names(tmp_path)) == 1

    def test_folders_made_for_nothing_vanish(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError), atomic_file(tmp_path / "a/b/c"):
            raise KeyError
        assert names(tmp_path) == []


def test_inside_scratch_all_is_scratch(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "run") as scratch:
        with atomic_file(scratch / "a") as inner:
            assert inner == scratch / "a"
            inner.write_text("")
        with atomic_directory(scratch / "b") as inner:
            assert is_scratch(inner)
        assert names(scratch) == ["a", "b"]


def test_a_scratch_folder_lies_where_the_next_line_cleans(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "run") as scratch:
        (scratch / "X.csv").write_text("")
        assert scratch.parent == tmp_path
        with atomic_directory(tmp_path / "run"):
            pass
    assert names(tmp_path) == ["run"]
    scratch.mkdir()
    with claim(tmp_path / "run"):
        assert not scratch.exists()


def test_what_was_left_beside_a_whole_result_is_cleaned(tmp_path: Path) -> None:
    for name in ("a", ".a.7.tmp", ".a.claim"):
        (tmp_path / name).write_text("")
    clean_up(tmp_path / "a")
    clean_up(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_what_is_discarded_is_gone_with_what_was_left_of_it(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/manifest.json").write_text("")
    (tmp_path / ".c.7.tmp").write_text("")
    discard(tmp_path / "c")
    discard(tmp_path / "c")
    assert names(tmp_path) == []


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
