"""Kernels are kept between processes, unless something that they are made of has changed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PART = """
from cinn_clusters.jit import inlined

@inlined
def change(number):
    return {change}
"""
KERNEL = """
from part_of_kernel import change
from cinn_clusters.jit import kernel

@kernel
def run(number):
    return change(number)
"""


def _load(folder: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "kernel_of_parts.py").write_text(KERNEL)
    return inner


def _kernel(folder: Path, change: str) -> ModuleType:
    (folder / "part_of_kernel.py").write_text(PART.format(change=change))
    _load(folder, "part_of_kernel")
    return _load(folder, "kernel_of_parts")


def test_code_is_kept_until_a_part_of_it_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    for change, expected, num_hits in (
        ("number + 1", 3, 0),
        ("number + 1", 3, 1),
        ("number * 50", 100, 0),
    ):
        run = _kernel(folder, change).run
        assert run(2) == expected
        assert sum(run.stats.cache_hits.values()) == num_hits


def test_a_place_that_takes_no_code_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", refuse)
    assert _kernel(folder, "number - 1").run(2) == 1


def test_no_place_for_code_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    assert _kernel(folder, "number - 2").run(2) == 0
