"""What a report says at its top: mock catalogues, losses and bounds are named as what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cinn_clusters import write_mock
from cinn_clusters.errors import BundleError
from cinn_clusters.pipeline.report.captions import CAPTIONS
from cinn_clusters.pipeline.report.facts import RunFacts, _demand_current
from cinn_clusters.pipeline.report.page import _notices, _saved
from cinn_clusters.pipeline.simulation.prepare import TableFiles, prepare
from cinn_clusters.schema import Column, Schema
from cinn_clusters.storage.run import Run

LOSS = {"energy_skill": -71.87, "crps_skill": -0.05, "energy_score": 1.0, "crps": 1.0}
SCORES = {"unphysical": 0.0, "clusters": 3, "skill": {"prior": LOSS}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("mock")
    files = TableFiles(*write_mock(folder / "mock", num_clusters=12))
    return prepare(files, folder / "run")


def facts_of(run: Run) -> RunFacts:
    return RunFacts(run, SCORES, {}, {}, {}, "posterior median")


def test_a_mock_catalogue_is_named_as_one(run: Run) -> None:
    assert run.record["is_mock"]
    titles = [notice.title for notice in _notices(facts_of(run))]
    assert titles == ["A mock catalogue", "In short"]


def test_a_table_of_a_simulation_is_no_mock(run: Run, tmp_path: Path) -> None:
    tables = []
    for name in ("observables1.csv", "unobservables1.csv"):
        tables.append(tmp_path / name)
        tables[-1].write_bytes((run.path.parent / "mock" / name).read_bytes())
    other = prepare(TableFiles(*tables), tmp_path / "run")
    assert not other.record["is_mock"]
    assert [notice.title for notice in _notices(facts_of(other))] == ["In short"]


def test_a_loss_is_worded_as_a_loss(run: Run) -> None:
    items = " ".join(_notices(facts_of(run))[-1].items)
    assert "Energy score 72.9 times that of the prior" in items
    assert "better" not in items
    assert _saved(-71.87) == "loses: 72.9 times as high"
    assert _saved(0.125) == "12.5%"


def test_only_declared_bounds_are_vouched_for(run: Run) -> None:
    items = " ".join(_notices(facts_of(run))[-1].items)
    assert (
        "No posterior sample breaks a bound or a relation declared for all targets."
        in items
    )
    columns = [column.name for column in run.catalogue.schema.columns]
    free = [Column(name) for name in columns if name != "last_d_peri"]
    schema = Schema((*free, run.catalogue.schema.column("last_d_peri")))
    other = replace(run, catalogue=replace(run.catalogue, schema=schema))
    items = " ".join(_notices(facts_of(other))[-1].items)
    assert "a relation declared for last_d_peri." in items
    nothing = replace(run, catalogue=replace(run.catalogue, schema=Schema(tuple(free))))
    assert "bounds" not in " ".join(_notices(facts_of(nothing))[-1].items)


def test_a_result_of_other_files_is_refused(run: Run, tmp_path: Path) -> None:
    sources = {"split.json": "another hash", "absent.csv": "any"}
    hint = "run cinn-clusters figures --overwrite"
    with pytest.raises(BundleError, match=hint):
        _demand_current(run, tmp_path, sources, "figures")
    with pytest.raises(BundleError, match="older ones"):
        _demand_current(run, tmp_path, None, "figures")
    _demand_current(run, tmp_path, {"absent.csv": "any"}, "figures")


def test_a_sentence_without_its_numbers_is_left_out() -> None:
    caption = CAPTIONS["coverage"]
    assert "mean distance" not in caption.filled({})
    assert "mean distance from the diagonal is 0.012" in caption.filled(
        {"calibration_error": 0.0123}
    )
