"""Settings that come with the package are found by name, wherever it is installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cinn_clusters.errors import ConfigError
from cinn_clusters.settings.config import read_config, shipped_configs

ROOT = Path(__file__).parents[2]


def test_shipped_settings_go_by_name_and_go_into_the_wheel() -> None:
    assert {"default", "glow", "observer", "combined", "embed"} <= set(shipped_configs())
    assert read_config("observer").train.uncertain
    assert read_config("observer") == read_config(ROOT / "configs" / "observer.toml")
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"][
        "build"
    ]["targets"]
    assert wheel["wheel"]["force-include"] == {"configs": "cinn_clusters/configs"}


def test_a_file_of_the_same_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("observer").write_text("seed = 7\n", encoding="utf-8")
    assert read_config("observer").seed == 7


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="package: combined, default, embed, glow, observer"):
        read_config("nobody")
