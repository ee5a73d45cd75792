"""Examples of docstrings run in a folder with a small mock catalogue and a run made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.doctest import DoctestItem

TINY = (
    "train.epochs=1",
    "model.members=2",
    "autoregressive.hidden=8",
    "train.held_out_groups=2",
)


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mock/`` with 24 clusters, and ``run/`` with a model of one epoch and its posterior."""
    import cinn_clusters as cc

    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        files = cc.TableFiles(*cc.write_mock("mock", num_clusters=24, seed=3))
        cc.prepare(files, "run")
        cc.train("run", cc.read_config(changes=TINY))
        cc.evaluate("run", cc.Sampling(20))
    return folder


@pytest.fixture(autouse=True)
def in_example_folder(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Go to the folder for examples that read from it."""
    if not isinstance(request.node, DoctestItem):
        return
    text = request.node.dtest.docstring or ""
    if '("run' in text or '"run/' in text or '"mock/' in text or "chdir" in text:
        monkeypatch.chdir(request.getfixturevalue("example_folder"))
    else:
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
