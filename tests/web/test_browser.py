"""The explorer in Chromium, driven as a person would: by keyboard, on a phone, in the dark."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cinn_clusters.posterior.query import Sampling
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.web.explorer import widget_module, write_explorer

CHROMIUM = shutil.which("chromium")
SCREENSHOTS = os.environ.get("CINN_CLUSTERS_SCREENSHOTS")
"""Folder for screenshots, to be looked at."""
ROW = "redshift,Group_M_Crit500,sigma_Group_M_Crit500\n0.3,14.9,0.05\n"
SERIOUS = {"serious", "critical"}

playwright_api = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright_api.sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_explorer(tmp_path_factory.mktemp("explorer") / "explorer.html")


@pytest.fixture
def page(browser: Any, explorer: Path) -> Iterator[Any]:
    with opened(browser, explorer) as page:
        yield page


class opened:
    """A page; what it asked for and complained of is looked at when it closes."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **options)
        self.path, self.requests, self.complaints = path, [], []

    def __enter__(self) -> Any:
        page = self.context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.note)
        page.goto(self.path.as_uri())
        page.wait_for_selector(".card .value strong")
        return page

    def note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def __exit__(self, *failure: object) -> None:
        self.context.close()
        if failure[0] is None:
            assert not self.complaints
            elsewhere = [
                url
                for url in self.requests
                if not url.startswith(("file:", "blob:", "data:"))
            ]
            assert not elsewhere, "a page that runs by itself asks nobody"


def lead(page: Any) -> str:
    page.wait_for_function("() => new Promise((done) => requestAnimationFrame(done))")
    return str(page.inner_text(".live"))


def test_a_slider_moves_the_answer_by_keyboard(page: Any) -> None:
    before = lead(page)
    assert before.startswith("Time since collision: ")
    slider = page.get_by_label("mass within R500c, slider")
    slider.focus()
    page.keyboard.press("Home")
    after = lead(page)
    assert after != before
    page.keyboard.press("End")
    assert lead(page) not in (before, after)


def test_what_is_not_measured_cannot_be_set(page: Any) -> None:
    box = page.locator("#in-GroupGasMass")
    assert box.is_enabled(), "the gas of the Bullet cluster is known"
    before = lead(page)
    page.locator("#in-GroupGasMass-on").uncheck()
    assert not box.is_enabled()
    assert lead(page) != before


def test_units_of_an_observer_say_the_same(page: Any) -> None:
    before = lead(page)
    unit = page.get_by_label("unit of mass within R500c")
    value = float(page.input_value("#in-Group_M_Crit500"))
    error = float(page.get_by_label("error of mass within R500c").input_value())
    unit.select_option("10¹⁴ M☉")
    linear = float(page.input_value("#in-Group_M_Crit500"))
    assert linear == pytest.approx(10 ** (value - 14), rel=2e-3)
    stated = float(page.get_by_label("error of mass within R500c").input_value())
    assert stated / linear / np.log(10) == pytest.approx(error, rel=1e-2)
    assert lead(page) == before


def test_a_row_is_pasted_and_a_bad_one_refused_in_a_line(page: Any) -> None:
    page.get_by_text("Paste a row").click()
    page.fill("#pasted", ROW)
    page.get_by_role("button", name="Show this row").click()
    assert float(page.input_value("#in-Group_M_Crit500")) == 14.9
    before = lead(page)
    bad = {
        "redshift,Group_M_Crit500\n0.3,14.9,3\n": "line 2: expected 2 cells; got 3",
        "redshift,Group_M_Crit500\n0.3,big\n": "expected a number; got 'big'",
        "Group_M_Crit500\n14.9\n": "expected a column 'lookback_time_Gyr' [Gyr] or",
        "redshift\n1.4\n": "after the record begins",
        "redshift": "expected a line of column names",
    }
    for text, complaint in bad.items():
        page.fill("#pasted", text)
        page.get_by_role("button", name="Show this row").click()
        assert complaint in page.inner_text(".message")
    assert lead(page) == before, "what was there stays"


def test_a_catalogue_comes_back_with_answers(page: Any, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "name": ["a, b", "c"],
            "lookback_time_Gyr": [2.0, 4.0],
            "Group_M_Crit500": [14.7, 15.0],
            "sigma_Group_M_Crit500": [0.05, 0.1],
            "GroupGasMass": [np.nan, 14.1],
        }
    )
    path = tmp_path / "own.csv"
    table.to_csv(path, index=False)
    page.get_by_text("Paste a row").click()
    with page.expect_download() as download:
        page.set_input_files("#file", str(path))
    assert download.value.suggested_filename == "own_answers.csv"
    text = Path(download.value.path()).read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == ["a, b", "c"]
    posterior = load_posterior()
    samples = posterior.sample(posterior.query(table), Sampling(4000).num_samples)
    speed = samples[..., posterior.targets.index("last_V_coll")]
    medians = [float(row["last_V_coll_median"]) for row in rows]
    widths = np.diff(np.quantile(speed, [0.16, 0.84], axis=0), axis=0)[0]
    offset = np.abs(medians - np.median(speed, 0)) / widths
    assert np.all(offset < 0.1), "2,000 samples beside 4,000 others"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_legible(browser: Any, explorer: Path, width: int, scheme: str) -> None:
    axe_module = pytest.importorskip("axe_core_python.sync_playwright")
    size = {"width": width, "height": 900}
    with opened(browser, explorer, viewport=size, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_text("Corner view").click()
        lead(page)
        if SCREENSHOTS:
            folder = Path(SCREENSHOTS)
            folder.mkdir(parents=True, exist_ok=True)
            place = folder / f"explorer_{width}_{scheme}.png"
            page.screenshot(path=place, full_page=True)
        results = axe_module.Axe().run(page)
        findings = [
            (finding["id"], [node["target"] for node in finding["nodes"]])
            for finding in results["violations"]
            if finding["impact"] in SERIOUS
        ]
        assert not findings


def test_the_widget_draws_the_same(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("anywidget")
    from cinn_clusters.web.explorer import explorer as make_widget

    widget = make_widget(load_posterior())
    module = widget_module().replace("export default", "const widget =")
    assert "render" in module.rpartition("const widget =")[2]
    (tmp_path / "page.html").write_text(
        f"<!doctype html><title>a notebook</title><div id='cell'></div><style>{widget._css}</style>"
        f"<script type='application/json' id='pack'>{widget.pack}</script><script type='module'>{module}\n"
        "const read = () => document.getElementById('pack').textContent;"
        "render({ model: { get: read }, el: document.getElementById('cell') });</script>",
        encoding="utf-8",
    )
    with opened(browser, tmp_path / "page.html") as page:
        assert lead(page).startswith("Time since collision: ")
        assert page.locator("#cell.cinn .card").count() == 7
