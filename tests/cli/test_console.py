"""Progress on stderr: plain lines where it is no terminal, bars where it is one."""

from __future__ import annotations

import io
import sys

import pytest

from cinn_clusters.cli import console
from cinn_clusters.progress import Progress


def test_plain_lines_show_the_last_state_of_each_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress("run") as on_progress:
        for epoch in range(1, 61):
            on_progress(Progress(epoch, 60, "train", f"NLL train {epoch}"))
        on_progress(Progress(250, None, "evaluate"))
        on_progress(Progress(0.5, 1.0, "report"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "train  60/60  NLL train 60",
        "evaluate  250",
        "report  50%",
    ]


def test_plain_lines_come_while_the_work_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    with console.progress("", 3) as on_progress:
        for done in (1, 2, 3):
            on_progress(Progress(done, None, "fold"))
    assert capsys.readouterr().err.splitlines() == [
        "fold  1/3",
        "fold  2/3",
        "fold  3/3",
    ]


def test_an_error_that_comes_first_stands_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="first"), console.progress("train"):
        raise ValueError("first")
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_for_each_work(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with console.progress("run") as on_progress:
        on_progress(Progress(2, 4, "train", "NLL 3.1"))
        on_progress(Progress(7, None, "evaluate"))
    for text in ("train", "2/4", "NLL 3.1", "evaluate", "7"):
        assert text in terminal.getvalue(), text
