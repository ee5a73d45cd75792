"""ONNX files give the samples and densities of the package, and need neither it nor PyTorch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from cinn_clusters import Posterior, export_onnx, load_posterior
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import ConfigError, DataError, OutputError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior.posterior import ROWS_A_BLOCK, member_noise
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.recalibration import fit_recalibration
from cinn_clusters.storage.onnx.expressions import Graph
from cinn_clusters.storage.onnx.features import features_of
from support import Command, flow_config

PAGE = Path(__file__).parents[2] / "docs/export.md"
AFFINE = {"element": "affine", "clamp": 1.5}
FLOWS: dict[str, tuple[Any, ...]] = {
    "spline autoregression": (4, "autoregressive", {"mixing": "lu", "layers": 2}),
    "affine autoregression": (3, "autoregressive", {"mixing": "rotation", **AFFINE}),
    "glow": (5, "glow", {"act_norm": True}),
    "glow of one target": (1, "glow", {}),
    "spline coupling": (3, "spline", {"bins": 4, "bound": 2.0}),
}


def make_random_flow(name: str) -> Flow:
    """A flow of two members whose every parameter is far from the identity."""
    num_targets, kind, options = FLOWS[name]
    settings = {"members": 2, "blocks": 2, "hidden": 6, **options}
    flow = make_flow(flow_config(kind, **settings), num_targets, 3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.3 * noise)
    return flow.requires_grad_(False)


def identity_transforms(num_targets: int) -> Transforms:
    observables = tuple(ObservableMap(f"x{i}") for i in range(3))
    targets = tuple(TargetMap(f"y{i}") for i in range(num_targets))
    return Transforms(observables, targets)


def run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    (result,) = onnxruntime.InferenceSession(path, options).run(None, inputs)
    return np.asarray(result)


def run_graph(graph: Graph, **inputs: np.ndarray) -> list[np.ndarray]:
    content = graph.model("test", {}, "").SerializeToString()
    session = onnxruntime.InferenceSession(content)
    return list(session.run(None, inputs))


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("num_samples", [1, 5])
def test_flows_agree_with_torch(name: str, num_samples: int, tmp_path: Path) -> None:
    """Also where S is no multiple of the members, and where targets lie outside the box."""
    flow = make_random_flow(name)
    posterior = Posterior(flow, identity_transforms(flow.num_targets))
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(3, 3))
    shape = (num_samples, 3, flow.num_targets)
    noise = 2.0 * rng.standard_normal(shape, dtype=np.float32)

    export_onnx(posterior, tmp_path / "sample.onnx")
    samples = run(tmp_path / "sample.onnx", noise=noise, inputs=inputs)
    x = torch.from_numpy(inputs).float().repeat(num_samples, 1).expand(2, -1, -1)
    z = torch.from_numpy(noise).flatten(0, 1).expand(2, -1, -1)
    of_members = flow.sample(z, x).view(2, *shape).numpy()
    turns = np.arange(num_samples) % 2
    expected = of_members[turns, np.arange(num_samples)]
    np.testing.assert_allclose(samples, expected, rtol=1e-4, atol=1e-4)

    export_onnx(posterior, tmp_path / "log_prob.onnx", "log_prob")
    theta = samples.astype(float)
    log_prob = run(tmp_path / "log_prob.onnx", theta=theta, inputs=inputs)
    expected = posterior.log_prob(theta, inputs)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)


def sampling_noise(posterior: Posterior, query: Query, num_samples: int) -> np.ndarray:
    """Noise (S, N, D) of the package's own streams: of member s mod K for sample s."""
    num_members, num_targets = posterior.flow.num_members, len(posterior.targets)
    num_turns = num_samples // num_members
    sampling = Sampling(num_turns)
    noise = member_noise(sampling, query.streams, num_members, num_targets)
    num_filled = -(-num_turns // ROWS_A_BLOCK) * ROWS_A_BLOCK
    of_objects = noise.view(num_members, len(query), num_filled, num_targets)
    turns = of_objects[:, :, :num_turns].permute(2, 0, 1, 3)
    return turns.reshape(num_samples, len(query), num_targets).numpy()


def check_model(posterior: Posterior, table: pd.DataFrame, folder: Path) -> None:
    """Complete, missing and uncertain observables in physical units, to 1e-4 of the spread."""
    table = table.copy()
    table.loc[::3, "Group_M_Crit500"] = np.nan
    table.loc[::4, "bcg_SubhaloBHMass"] = np.nan
    table["sigma_GroupGasMass"] = np.where(np.arange(len(table)) % 2, 0.1, 0.0)
    table["sigma_bcg_SubhaloBHMass"] = 0.3
    query = posterior.query(table)
    num_samples = 4 * posterior.flow.num_members

    export_onnx(posterior, folder / "sample.onnx")
    noise = sampling_noise(posterior, query, num_samples)
    samples = run(folder / "sample.onnx", noise=noise, inputs=query.inputs)
    expected = posterior.sample(query, num_samples)
    spread = expected.std(0).mean(0)
    assert samples.dtype == expected.dtype
    np.testing.assert_allclose(samples / spread, expected / spread, atol=2e-4)

    export_onnx(posterior, folder / "log_prob.onnx", "log_prob")
    theta = expected[:5].astype(float)
    log_prob = run(folder / "log_prob.onnx", theta=theta, inputs=query.inputs)
    np.testing.assert_allclose(log_prob, posterior.log_prob(theta, query), atol=2e-3)


def test_model_agrees_on_mock_clusters(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    check_model(load_posterior(), tables[0][:60], tmp_path)


def test_model_agrees_on_real_clusters(shared: Path, tmp_path: Path) -> None:
    table = pd.read_csv(shared / "data/tng_cluster/observables1.csv")
    check_model(load_posterior(), table[::40].reset_index(drop=True), tmp_path)


def test_objects_that_cannot_be_answered_get_nan(tmp_path: Path) -> None:
    posterior = load_posterior()
    mass = {"Group_M_Crit500": 14.7, "lookback_time_Gyr": 2.0}
    refused = [
        {**mass, "lookback_time_Gyr": np.nan},
        {**mass, "lookback_time_Gyr": -1.0},
        {**mass, "lookback_time_Gyr": 12.5},  # before the record begins
        {**mass, "Group_M_Crit500": np.inf},
        {**mass, "sigma_Group_M_Crit500": -0.1},
    ]
    rows = pd.DataFrame([mass, *refused, mass]).reindex(columns=posterior.inputs)
    errors = [name for name in rows if name.startswith("sigma_")]
    inputs = rows.fillna(dict.fromkeys(errors, 0.0)).to_numpy()
    export_onnx(posterior, tmp_path / "sample.onnx")
    noise = np.ones((10, len(inputs), 6), np.float32)
    samples = run(tmp_path / "sample.onnx", noise=noise, inputs=inputs)
    is_number = np.isfinite(samples).all((0, 2))
    assert is_number.tolist() == [True, *[False] * len(refused), True]
    for row in inputs[1:-1]:
        with pytest.raises(DataError):
            posterior.context(row[None])

    export_onnx(posterior, tmp_path / "log_prob.onnx", "log_prob")
    theta = samples[:1, [0, 0, 0]].astype(float)
    theta[0, 1, 4] = 1.5  # a mass ratio above one
    theta[0, 2, 0] = np.nan
    log_prob = run(tmp_path / "log_prob.onnx", theta=theta, inputs=inputs[[0, 0, 0]])
    assert np.isfinite(log_prob[0, 0])
    assert log_prob[0, 1] == -np.inf
    assert np.isnan(log_prob[0, 2])


def test_every_bijection_agrees(tmp_path: Path) -> None:
    """With anchors; forth and back, and the densities of all of them."""
    targets = (
        TargetMap("a", is_log=True, shift=0.3, scale=2.0),
        TargetMap("b", "logit", lower=-1.0, upper=3.0, shift=0.1),
        TargetMap("c", "logit", is_log=True, lower=0.1, upper=50.0),
        TargetMap("d", "window", lower=2.0, upper=20.0),
        TargetMap("e", "age"),
        TargetMap("f", "logit", True, 0.1, 50.0, relative_to="x0", reference_unit=1.0),
        TargetMap("g", is_log=True, relative_to="x0"),
    )
    observables = (
        ObservableMap("x0", clip=1.0),
        ObservableMap("x1", is_log=True, floor=0.5, relative_to="x0", scale=2.0),
    )
    transforms = Transforms(observables, targets)
    flow = make_flow(flow_config("glow", blocks=1, hidden=4), len(targets), 2)
    posterior = Posterior(flow.requires_grad_(False), transforms)
    assert transforms.inputs == ("x0", "x1", "lookback_time_Gyr")
    inputs = np.array([[1.4, 0.2, 0.5], [1.9, 3.0, 7.0]])
    query = Query.from_inputs(inputs)
    export_onnx(posterior, tmp_path / "sample.onnx")
    noise = sampling_noise(posterior, query, 8)
    samples = run(tmp_path / "sample.onnx", noise=noise, inputs=inputs)
    np.testing.assert_allclose(samples, posterior.sample(query, 8), rtol=1e-4)
    export_onnx(posterior, tmp_path / "log_prob.onnx", "log_prob")
    theta = samples.astype(float)
    log_prob = run(tmp_path / "log_prob.onnx", theta=theta, inputs=inputs)
    np.testing.assert_allclose(log_prob, posterior.log_prob(theta, query), atol=1e-3)


def test_conditioning_with_an_embedding_agrees() -> None:
    """Features and anchors in double precision: no solver, but the same numbers."""
    rng = np.random.default_rng(3)
    names = ["Group_M_Crit500", "bcg_SubhaloBHMass", "lookback_time_Gyr"]
    names += ["embedding_000", "embedding_001"]
    mixed = rng.normal(size=(50, 5)) @ rng.normal(size=(5, 5))
    columns = dict(zip(names, mixed.T, strict=True))
    columns["bcg_SubhaloBHMass"] = np.exp(columns["bcg_SubhaloBHMass"])
    columns["lookback_time_Gyr"] = rng.uniform(1.0, 8.0, 50)
    observables = (
        ObservableMap(names[0], shift=0.2, scale=1.5, clip=2.0),
        ObservableMap(names[1], is_log=True, floor=1e-3, relative_to=names[0]),
        *map(ObservableMap, names[2:]),
    )
    mass = TargetMap("y", "logit", True, 0.1, 50.0, relative_to=names[0])
    plain = Transforms(observables, (TargetMap("t", "window", lower=2.0), mass))
    transforms = accept_missing_values(plain, columns)

    values = np.stack([columns[name] for name in transforms.names], 1)
    errors = rng.choice([0.0, 0.1, np.inf, np.nan], size=(50, 2))
    inputs = np.hstack([values, errors])
    inputs[::3, 0] = np.nan
    inputs[::4, 1] = np.nan
    inputs[::5, 3] = np.nan  # the embedding
    inputs[7, 0] = 1e6  # tells no more of the others than a hundred deviations

    graph = Graph()
    expression = graph.input("inputs", float, ("N", inputs.shape[1]))
    features = features_of(transforms, expression)
    graph.output("x", features.x, ("N", transforms.num_features))
    graph.output("anchors", features.anchors, ("N", 2))
    x, anchors = run_graph(graph, inputs=inputs)
    expected = transforms.standardise_inputs(inputs)
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(anchors, transforms.anchors(inputs), rtol=1e-6)
    np.testing.assert_allclose(anchors[:, 0], age_at_lookback(inputs[:, 2]))


def test_example_of_the_page_runs_without_this_package(
    command: Command, tmp_path: Path
) -> None:
    assert command(f"export --out {tmp_path / 'sample.onnx'}").code == 0
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert "cinn_clusters" not in example
    code = (
        f"{example}\nimport sys; print({{'torch', 'cinn_clusters'}} & set(sys.modules))"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *targets, imported = done.stdout.splitlines()
    assert imported == "set()"
    assert len(targets) == 6
    assert targets[0].startswith("last_T_coll [Gyr]: ")


def test_metadata_names_columns_and_units(tmp_path: Path) -> None:
    posterior = load_posterior()
    export_onnx(posterior, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    units = json.loads(facts["inputs"])
    assert tuple(units) == posterior.inputs
    assert tuple(json.loads(facts["targets"])) == posterior.targets
    assert units["lookback_time_Gyr"] == "Gyr"
    assert units["sigma_bcg_SubhaloBHMass"] == "dex"
    assert (facts["function"], facts["members"]) == ("sample", "10")


def test_files_of_one_model_are_identical(tmp_path: Path) -> None:
    for name in "ab":
        export_onnx(load_posterior(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    posterior = load_posterior()
    uniform = np.linspace(0.01, 0.99, 30)
    pit = np.repeat(uniform[:, None], 6, 1)
    maps = fit_recalibration(pit, uniform, np.arange(30))
    with pytest.raises(DataError, match="--without-recalibration"):
        export_onnx(replace(posterior, recalibration=maps), path)
    mixture = make_flow(flow_config("mixture"), 2, 3)
    with pytest.raises(DataError, match="got GaussianMixture"):
        export_onnx(Posterior(mixture, identity_transforms(2)), path)
    with pytest.raises(ConfigError, match="sample or log_prob"):
        export_onnx(posterior, path, "mean")  # type: ignore[arg-type]
    assert not path.exists()
    path.touch()
    with pytest.raises(OutputError, match="an existing one"):
        export_onnx(posterior, path)


def test_command_exports_one_file(
    command: Command, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "log_prob.onnx"
    line = f"export {trained / 'model'} --format onnx --function log_prob --out {out}"
    done = command(f"{line} --json")
    assert json.loads(done.out)["function"] == "log_prob"
    names = {value.name for value in onnxruntime.InferenceSession(out).get_inputs()}
    assert names == {"inputs", "theta"}
    command(line).demand_error("log_prob.onnx", "--overwrite")
