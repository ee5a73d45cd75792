"""Small catalogues and runs for many tests, and the way to the simulation's table."""

from __future__ import annotations

import gc
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import settings

from cinn_clusters import cli
from cinn_clusters.mock.population import mock_catalogue
from support import SHARED, TINY, Command, Result

torch.set_num_threads(1)
gc.set_threshold(
    50_000
)  # as the command line does: imports and figures make many objects
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("steady")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run the command line in this process."""

    def run(line: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["cinn-clusters", *shlex.split(line)])
        capfd.readouterr()
        code: int | str | None = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        return Result(int(code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Observables and targets of 40 mock clusters."""
    return mock_catalogue(40, seed=1)


@pytest.fixture
def files(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> tuple[Path, Path]:
    """The same as two CSV files."""
    paths = tmp_path / "observables1.csv", tmp_path / "unobservables1.csv"
    for frame, path in zip(tables, paths, strict=True):
        frame.to_csv(path, index=False)
    return paths


@pytest.fixture(scope="session")
def trained(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run with a small model; do not write into it."""
    from cinn_clusters.pipeline.simulation.prepare import TableFiles, prepare
    from cinn_clusters.pipeline.simulation.train import train
    from cinn_clusters.settings.config import read_config

    folder = tmp_path_factory.mktemp("trained")
    paths = folder / "observables1.csv", folder / "unobservables1.csv"
    for frame, path in zip(tables, paths, strict=True):
        frame.to_csv(path, index=False)
    prepare(TableFiles(*paths), folder / "run")
    changes = [part for part in TINY.split() if part != "--set"]
    train(folder / "run", read_config(changes=changes))
    return folder / "run"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout with the simulation's table and the scorer."""
    if not (SHARED / "data/tng_cluster/observables1.csv").is_file():
        pytest.skip(
            f"needs the TNG-Cluster table: no {SHARED}/data/tng_cluster (set CINN_CLUSTERS_SHARED)"
        )
    return SHARED
