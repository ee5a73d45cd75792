"""The page's engine in Node beside the package; a page that asks nothing of a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest

from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError
from cinn_clusters.ood.support import ALARM
from cinn_clusters.posterior.collision import MAJOR_MERGER, record_window
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.schema import ERROR_PREFIX
from cinn_clusters.storage.model import load_model
from cinn_clusters.web.explorer import pack_explorer, write_explorer
from cinn_clusters.web.packed_model import pack_model
from support import Command

LEVELS = [0.025, 0.16, 0.5, 0.84, 0.975]
NUM_QUERIES, NUM_EACH = 200, 100
TAILS = [(0.0, 3), (0.3, 1), (3.0, 2), (7.5, 5), (60.0, 6), (900.0, 4), (900.0, 1)]
REDSHIFTS = [0.0, 0.1, 0.5, 1.0, 2.5]


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return load_model()


@pytest.fixture(scope="module")
def queries(model: TrainedModel) -> np.ndarray:
    """Inputs of random clusters, with any subset measured and with any errors."""
    rng = np.random.default_rng(5)
    transforms: Any = model.posterior.transforms
    prior = transforms.prior
    values = rng.multivariate_normal(prior.mean, prior.covariance, NUM_QUERIES)
    time = transforms.scalars.index(transforms.time)
    values[:, time] = np.clip(values[:, time], 0.0, 7.9)
    inputs = transforms.exact_inputs(values, np.empty((NUM_QUERIES, 0)))
    return np.asarray(transforms.augment(inputs, rng))


@pytest.fixture(scope="module")
def noise(model: TrainedModel) -> np.ndarray:
    shape = (model.posterior.flow.num_members, NUM_EACH, len(model.posterior.targets))
    return np.random.default_rng(6).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def page(
    model: TrainedModel,
    queries: np.ndarray,
    noise: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What the engine of the page says in Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node: apt-get install nodejs")
    folder = tmp_path_factory.mktemp("page")
    question = {
        "pack": pack_model(model),
        "noise": noise.ravel().tolist(),
        "measured": [measured(model, row) for row in queries],
        "levels": LEVELS,
        "tails": TAILS,
        "redshifts": REDSHIFTS,
    }
    (folder / "queries.json").write_text(json.dumps(question))
    engine = folder / "engine.mjs"
    engine.write_text((files("cinn_clusters.web") / "engine.js").read_text("utf-8"))
    check = Path(__file__).with_name("engine_check.mjs")
    line = [node, str(check), str(engine), str(folder / "queries.json")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def measured(model: TrainedModel, row: np.ndarray) -> dict[str, dict[str, float]]:
    columns = dict(zip(model.posterior.inputs, row.tolist(), strict=True))
    return {
        name: {"value": value, "error": columns.get(ERROR_PREFIX + name, 0.0)}
        for name, value in columns.items()
        if not name.startswith(ERROR_PREFIX) and np.isfinite(value)
    }


def samples(model: TrainedModel, row: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Posterior samples (K P, D) of one object by the package, of the same noise."""
    posterior = model.posterior
    context = posterior.context(row[None])
    num_members, num_each, num_targets = noise.shape
    x = context.x.expand(num_members, num_each, -1)
    u = posterior.flow.sample(torch.from_numpy(noise), x).reshape(-1, num_targets)
    anchors = context.anchors.expand(u.shape)
    return posterior.transforms.physical_targets(u, anchors).numpy()


def test_the_page_and_the_package_agree(
    model: TrainedModel, queries: np.ndarray, noise: np.ndarray, page: dict[str, Any]
) -> None:
    assert len(page["answers"]) == NUM_QUERIES
    targets = list(model.posterior.targets)
    age = model.posterior.transforms.age(queries).numpy()
    window = record_window(model.posterior.transforms, queries)
    assert model.selection is not None
    assert model.support is not None
    record = model.selection.record_probability(queries)
    score = model.support.ood_score(queries)
    for row, answer in enumerate(page["answers"]):
        theta = samples(model, queries[row], noise)
        quantiles = np.quantile(theta, LEVELS, axis=0).T
        np.testing.assert_allclose(answer["quantiles"], quantiles, rtol=1e-4, atol=1e-4)
        since = age[row] - theta[:, targets.index("last_T_coll")]
        np.testing.assert_allclose(
            answer["since"], np.quantile(since, LEVELS), atol=1e-4
        )
        ratio = theta[:, targets.index("last_Mass_ratio")]
        share = MAJOR_MERGER.is_so(since, ratio).mean()
        checks = [window[row], record[row], record[row] * share, score[row]]
        np.testing.assert_allclose(answer["checks"], checks, atol=1e-4)


def test_the_page_says_what_is_out_of_range(
    model: TrainedModel, queries: np.ndarray, page: dict[str, Any]
) -> None:
    assert model.support is not None
    reasons = model.support.reasons(queries, np.zeros(len(queries)))
    for answer, texts in zip(page["answers"], reasons, strict=True):
        beyond = [text.split()[0] for text in texts if "all training clusters" in text]
        assert sorted(answer["outOfRange"]) == sorted(beyond)
    scores = [answer["checks"][-1] for answer in page["answers"]]
    assert any(score > ALARM for score in scores), "errors of a dex reach far"


def test_numbers_of_the_engine(page: dict[str, Any]) -> None:
    expected = [chi2.logsf(squared, degrees) for squared, degrees in TAILS]
    np.testing.assert_allclose(page["tails"], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(page["clocks"], REDSHIFTS, atol=1e-9)
    assert page["intervals"] == [1, 1.2]
    assert kstest(page["noise"], "norm").pvalue > 0.01


def test_a_page_asks_nothing_of_a_network(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "explorer.html"
    assert command(f"explore --out {out}").code == 0
    text = out.read_text("utf-8")
    assert len(text) < 1_500_000
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "a name, not an address"
    assert not re.search(r"<link|<img|src=|@import|fetch\(|XMLHttp", text)
    refused = command(f"explore --out {out}")
    assert refused.code == 1
    assert "explorer.html" in refused.err


def test_known_clusters_are_presets(model: TrainedModel) -> None:
    clusters = pack_explorer(model)["clusters"]
    assert isinstance(clusters, list)
    bullet = clusters[0]["measured"]
    # 12.56e14 Msun, hydrostatic: 0.11 dex more, as the log of conversions of infer says
    assert bullet["Group_M_Crit500"]["value"] == pytest.approx(15.21, abs=0.01)
    assert bullet["lookback_time_Gyr"]["value"] == pytest.approx(3.49, abs=0.01)


def test_a_model_that_a_page_cannot_run_is_refused(
    model: TrainedModel, tmp_path: Path
) -> None:
    transforms: Any = model.posterior.transforms
    plain = Transforms(transforms.observables, transforms.targets)
    exact = replace(model.posterior, transforms=plain)
    with pytest.raises(DataError, match="takes missing values"):
        pack_model(replace(model, posterior=exact))
    flow = model.posterior.flow
    posterior = replace(model.posterior, flow=replace_first(flow))
    with pytest.raises(DataError, match=r"autoregressive splines .* got Identity"):
        pack_model(replace(model, posterior=posterior))
    assert write_explorer(tmp_path / "page.html").exists()


def replace_first(flow: Any) -> Any:
    class Other:
        transforms = torch.nn.ModuleList([torch.nn.Identity(), *flow.transforms])
        num_members = flow.num_members

    return Other()
