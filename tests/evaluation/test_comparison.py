"""Two files side by side: known differences, seeds beside clusters, and files of other objects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters.errors import DataError
from cinn_clusters.evaluation.comparison import Comparison
from cinn_clusters.evaluation.matched import TruthFiles
from cinn_clusters.pipeline.simulation.compare import compare
from support import Command

N, S = 400, 99
RNG = np.random.default_rng(4)
MEAN = RNG.normal(size=N)
TRUTH = MEAN + RNG.normal(size=N)
KEYS = np.arange(N)


def save(path: Path, width: float, seed: int, keys: np.ndarray = KEYS) -> str:
    noise = np.random.default_rng(seed).normal(size=(S, len(keys)))
    np.savez(path, age=MEAN[keys] + width * noise, galaxy=keys)
    return str(path)


@pytest.fixture
def truth_files(tmp_path: Path) -> TruthFiles:
    table = pd.DataFrame({"galaxy": KEYS, "age": TRUTH})
    table.to_csv(tmp_path / "y.csv", index=False)
    return TruthFiles(tmp_path / "y.csv")


@pytest.fixture
def compared(tmp_path: Path, truth_files: TruthFiles) -> Comparison:
    exact = ",".join(save(tmp_path / f"e{seed}.npz", 1.0, seed) for seed in (0, 1, 2))
    wide = ",".join(save(tmp_path / f"w{seed}.npz", 2.0, seed) for seed in (3, 4))
    return compare([exact, wide], truth_files)


def test_differences_are_those_of_gaussians(compared: Comparison) -> None:
    """CRPS of N(m, w^2) for a truth N(m, 1): sqrt(2 / pi) sqrt(1 + w^2) - w / sqrt(pi)."""
    exact, wide = (
        np.sqrt(2 / np.pi) * np.sqrt(1 + w**2) - w / np.sqrt(np.pi) for w in (1.0, 2.0)
    )
    spread = np.std(TRUTH)
    scores = compared.models[0].scores
    assert scores["CRPS age"].mean == pytest.approx(exact / spread, abs=0.04)
    difference = compared.differences[0]["CRPS"]
    assert difference.lower < (wide - exact) / spread < difference.upper
    assert difference.lower > 0
    assert scores["energy score"].mean == pytest.approx(scores["CRPS"].mean, abs=0.02)
    covered = [model.scores["68 % coverage age"].mean for model in compared.models]
    assert covered == pytest.approx([0.68, 0.953], abs=0.05)
    assert (compared.rows, compared.clusters) == (N, N)


def test_the_spread_over_seeds_stands_beside_the_error_over_clusters(
    compared: Comparison,
) -> None:
    score = compared.models[0].scores["CRPS"]
    assert score.se is not None
    assert score.seeds_sd is not None
    assert 0 < score.seeds_sd < score.se
    seeds_se = compared.differences[0]["CRPS"].seeds_se
    variances = [
        (model.scores["CRPS"].seeds_sd or 0.0) ** 2 / len(model.files)
        for model in compared.models
    ]
    assert seeds_se == pytest.approx(np.sqrt(sum(variances)))


def test_one_file_has_no_spread(tmp_path: Path, truth_files: TruthFiles) -> None:
    comparison = compare([save(tmp_path / "a.npz", 1.0, 0)] * 2, truth_files)
    assert "seeds_sd" not in comparison.to_json()["models"][0]["scores"]["CRPS"]
    assert comparison.differences[0]["CRPS"].value == 0.0


def test_other_objects_are_refused_and_counted(
    tmp_path: Path, truth_files: TruthFiles
) -> None:
    models = [
        save(tmp_path / "a.npz", 1.0, 0),
        save(tmp_path / "b.npz", 2.0, 1, KEYS[100:]),
    ]
    with pytest.raises(
        DataError, match=r"300 objects, 300 of them in common; pass --common"
    ):
        compare(models, truth_files)
    assert compare(models, truth_files, with_common=True).rows == 300
    models = [save(tmp_path / "c.npz", 1.0, 0, KEYS[:100]), models[1]]
    with pytest.raises(DataError, match=r"0 of them in common$"):
        compare(models, truth_files, with_common=True)


def test_the_command_prints_and_writes_json(
    tmp_path: Path, truth_files: TruthFiles, command: Command
) -> None:
    files = f"{save(tmp_path / 'a.npz', 1.0, 0)} {save(tmp_path / 'b.npz', 2.0, 1)}"
    line = f"compare {files} --targets {truth_files.targets}"
    result = command(line)
    assert result.code == 0, result.err
    assert "B - A" in result.out
    assert "*" in result.out
    values = json.loads(command(f"{line} --json").out)
    assert values["differences"][0]["CRPS"]["lower"] > 0
