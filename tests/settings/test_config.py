"""Settings that come with the package are found by name, wherever it is installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cinn_clusters.errors import ConfigError
from cinn_clusters.settings.config import Config, read_config
from cinn_clusters.settings.embedding import read_embed_config
from cinn_clusters.settings.renewal import renewed
from cinn_clusters.settings.sections import shipped_configs, to_toml

ROOT = Path(__file__).parents[2]


def test_shipped_settings_go_by_name_and_go_into_the_wheel() -> None:
    assert {"default", "glow", "exact", "combined", "embed"} <= set(shipped_configs())
    assert not read_config("exact").train.augment
    assert read_config("exact") == read_config(ROOT / "configs" / "exact.toml")
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "tool"
    ]["hatch"]["build"]["targets"]
    assert wheel["wheel"]["force-include"] == {"configs": "cinn_clusters/configs"}


def test_a_file_of_the_same_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("exact").write_text("seed = 7\n", encoding="utf-8")
    assert read_config("exact").seed == 7


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match="package: combined, default, embed, exact, glow"
    ):
        read_config("nobody")


def test_a_folder_of_the_same_name_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("exact").mkdir()
    assert not read_config("exact").train.augment


OLD = {
    "seed": 7,
    "model": {
        "flow": "autoregressive",
        "members": 3,
        "blocks": 4,
        "hidden": 9,
        "layers": 2,
        "element": "affine",
        "clamp": 1.5,
        "bins": 7,
        "bound": 3.0,
        "components": 6,
        "steps": 5,
        "mixing": "rotation",
    },
    "train": {"epochs": 11, "uncertain": True},
}
"""What version 0.1.0 wrote."""


@pytest.mark.parametrize(
    ("flow", "name", "section"),
    [
        ("glow", "glow", {"blocks": 4, "hidden": 9, "layers": 2, "clamp": 1.5}),
        (
            "spline",
            "spline",
            {"blocks": 4, "hidden": 9, "layers": 2, "bins": 7, "bound": 3.0},
        ),
        ("mixture", "mixture", {"components": 6, "hidden": 9, "layers": 2}),
        ("flow-matching", "flow_matching", {"steps": 5, "hidden": 9, "layers": 2}),
    ],
)
def test_settings_of_the_first_version_are_renewed(
    flow: str, name: str, section: dict[str, object]
) -> None:
    old = {**OLD, "model": {**OLD["model"], "flow": flow}}  # type: ignore[dict-item]
    config = Config.model_validate(renewed(old))
    assert config.model.flow == name
    assert getattr(config, name).model_dump() == section
    assert (config.seed, config.model.members, config.model.mixing) == (
        7,
        3,
        "rotation",
    )
    assert (config.train.epochs, config.train.augment) == (11, True)
    assert Config.model_validate(renewed(config.model_dump())) == config, (
        "and only once"
    )


def test_all_of_an_autoregressive_model_is_renewed() -> None:
    section = Config.model_validate(renewed(OLD)).autoregressive.model_dump()
    assert section == {name: OLD["model"][name] for name in section}  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "now"),
    [
        ("model.hidden=3", "autoregressive.hidden"),
        ("model.clamp=3", "autoregressive.clamp"),
        ("model.steps=3", "flow_matching.steps"),
        ("model.components=3", "mixture.components"),
        ("train.uncertain=true", "train.augment"),
    ],
)
def test_a_name_of_the_first_version_is_refused_with_its_new_one(
    change: str, now: str
) -> None:
    with pytest.raises(ConfigError, match=f"an unknown one; --set; it is now {now}$"):
        read_config(changes=[change])
    if now == "autoregressive.hidden":
        with pytest.raises(ConfigError, match=r"it is now glow\.hidden$"):
            read_config(changes=["model.flow=glow", change])


@pytest.mark.parametrize(
    "change",
    [
        "autoregressive.layers=1000000000000",
        "model.members=1e12",
        "train.batch=10000000000",
        "seed=-1",
        "train.noise=inf",
        "train.learning_rate=nan",
    ],
)
def test_numbers_are_bounded(change: str) -> None:
    with pytest.raises(ConfigError, match=change.split("=")[0]):
        read_config(changes=[change])


def test_views_of_a_method_change_the_shared_ones() -> None:
    config = read_embed_config(changes=["views.zoom=0.1", "byol.views.crop=0.7"])
    assert (config.byol.views.zoom, config.byol.views.crop) == (0.1, 0.7)
    assert (config.simclr.views.zoom, config.simclr.views.crop) == (0.1, 1.0)
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert again == config


def test_settings_are_written_as_they_are_read(tmp_path: Path) -> None:
    config = read_config(
        changes=["model.flow=glow", "glow.hidden=5", "train.noise=0.25", "seed=3"]
    )
    (tmp_path / "mine.toml").write_text(to_toml(config), encoding="utf-8")
    assert read_config(tmp_path / "mine.toml") == config
