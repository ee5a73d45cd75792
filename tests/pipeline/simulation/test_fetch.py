"""The public table from a mirror on this machine: hash checked, cut in two, refused when it is
another file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from cinn_clusters import write_mock
from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.pipeline.simulation.fetch import SOURCES, fetch


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and hash of one file with observables and targets side by side."""
    seen, hidden = map(pd.read_csv, write_mock(tmp_path / "mock", num_clusters=5))
    (tmp_path / "served").mkdir()
    path = tmp_path / "served/processed_features.csv"
    seen.merge(hidden).to_csv(path, index=False)
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(path.parent))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield (
            f"http://127.0.0.1:{server.server_address[1]}/{path.name}",
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        server.shutdown()


def test_a_mirror_gives_the_two_files(
    tmp_path: Path, mirror: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        "pooch", reason="pooch is not installed (pip install 'cinn-clusters[fetch]')"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = fetch("tng-cluster", tmp_path / "tng", address=mirror[0], sha256=mirror[1])
    for file, original in zip(
        files, ("observables1.csv", "unobservables1.csv"), strict=True
    ):
        mine, theirs = pd.read_csv(file), pd.read_csv(tmp_path / "mock" / original)
        pd.testing.assert_frame_equal(mine[theirs.columns], theirs)


def test_another_file_is_refused(
    tmp_path: Path, mirror: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        "pooch", reason="pooch is not installed (pip install 'cinn-clusters[fetch]')"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="another file"):
        fetch("tng-cluster", tmp_path / "tng", address=mirror[0])
    with pytest.raises(DataError, match="to be downloaded"):
        fetch(
            "tng-cluster",
            tmp_path / "tng",
            address=mirror[0] + ".absent",
            sha256=mirror[1],
        )
    assert not (tmp_path / "tng").exists()
    assert SOURCES["tng-cluster"].sha256.startswith("fab2b9a9a561e9d5")


def test_unknown_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tng-cluster"):
        fetch("other", tmp_path / "tng")
