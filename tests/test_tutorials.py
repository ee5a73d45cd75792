"""The tutorials run from top to bottom as notebooks, on the mock catalogue."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

TUTORIALS = sorted((Path(__file__).parents[1] / "docs/tutorials").glob("*.py"))


def test_there_are_six() -> None:
    assert [path.name[0] for path in TUTORIALS] == list("123456")


@pytest.mark.filterwarnings("ignore")  # of the notebook machinery
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path: Path, tmp_path: Path) -> None:
    notebook = jupytext.read(path, fmt="py:percent")
    assert notebook.cells[0].cell_type == "markdown"
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert pictures == {"3_figures": 6, "4_trust": 1, "5_sensitivity": 1}.get(
        path.stem, 0
    )
