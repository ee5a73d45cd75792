"""Pages made from code are in step with it, and links lead somewhere."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from cinn_clusters.settings.config import Config, read_config

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
] + sorted(ROOT.glob("docs/**/*.md"))


def test_glossary_is_that_of_the_schema() -> None:
    made = runpy.run_path(str(ROOT / "docs/build_glossary.py"))["glossary"]()
    assert (ROOT / "docs/glossary.md").read_text(encoding="utf-8") == made, (
        "run python docs/build_glossary.py"
    )


def test_default_preset_file_spells_out_the_defaults() -> None:
    values = tomllib.loads((ROOT / "configs/default.toml").read_text(encoding="utf-8"))
    assert values == Config().model_dump()


def test_glow_preset_is_the_published_network() -> None:
    config = read_config(ROOT / "configs/glow.toml")
    assert (
        config.glow.blocks,
        config.glow.hidden,
        config.glow.clamp,
        config.model.members,
    ) == (12, 128, 2.0, 1)
    assert (config.train.epochs, config.train.batch, config.train.learning_rate) == (
        250,
        512,
        2e-3,
    )
    assert not config.train.augment
    assert (
        config.train.noise,
        config.train.dequantise,
        config.train.held_out_groups,
    ) == (0.0, False, 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [
        name
        for name in targets
        if "://" not in name and not (page.parent / name).exists()
    ]
    assert not missing
