"""One local Dask cluster for all tests of this folder: starting one takes longer than they do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Client of a Dask cluster of two processes on this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Dask are not ours
        from distributed import Client

        with Client(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as client:
            yield client
