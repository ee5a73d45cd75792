"""This package at the commit that ``PYTHONPATH`` leads to: what it did before and what it does now."""

from __future__ import annotations

import atexit
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rivals import NUM_TARGETS, start

from cinn_clusters import Config, Sampling, load_posterior, mock_catalogue
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow

Work = Callable[[], float]
_ERRORS = 0.05


def flow_of(architecture: str, num_members: int, num_observables: int) -> Flow:
    """A flow of trained size, whose weights are random."""
    settings: dict = {"model": {"members": num_members, "zero_init": False}}
    if architecture == "glow":
        settings["model"] |= {"flow": "glow", "mixing": "permutation"}
        settings["glow"] = {"blocks": 12, "hidden": 128, "clamp": 2.0}
    else:
        settings["autoregressive"] = {"hidden": 48}
    config = Config.model_validate(settings)
    flow = make_flow(config, NUM_TARGETS, num_observables)
    return flow.eval().requires_grad_(False)


def flow_draws(
    architecture: str,
    num_observables: int,
    num_objects: int,
    num_draws: int,
    num_members: int = 1,
    is_compiled: bool = True,
) -> Work:
    """Targets u from noise and standardised x: what the flows of other libraries do."""
    x = start(num_observables, num_objects, num_draws)
    flow = flow_of(architecture, num_members, num_observables)
    num_each = num_draws // num_members
    shape = (num_members, num_objects, num_each, NUM_TARGETS)
    units = num_members * num_objects * num_each
    if is_compiled:
        from cinn_clusters.flows.compiled.compiled_flow import compile_flow

        compiled, features = compile_flow(flow), x.numpy()

        def work() -> float:
            compiled.sample(torch.randn(shape).numpy(), features)
            return units

        return work

    def reference() -> float:
        wide = x.repeat_interleave(num_each, 0).expand(num_members, -1, -1)
        flow.sample(torch.randn(shape).flatten(1, 2), wide)
        return units

    return reference


def flow_densities(
    architecture: str,
    num_observables: int,
    num_objects: int,
    num_draws: int,
    num_members: int = 1,
    is_compiled: bool = True,
) -> Work:
    """Log-densities of every member."""
    x = start(num_observables, num_objects, num_draws)
    flow = flow_of(architecture, num_members, num_observables)
    u = torch.randn(num_objects, num_draws, NUM_TARGETS)
    units = num_members * num_objects * num_draws
    if is_compiled:
        from cinn_clusters.flows.compiled.compiled_flow import compile_flow

        compiled, features, points = compile_flow(flow), x.numpy(), u.numpy()

        def work() -> float:
            compiled.log_prob(points, features)
            return units

        return work

    def reference() -> float:
        wide = x.repeat_interleave(num_draws, 0).expand(num_members, -1, -1)
        flow.log_prob(u.flatten(0, 1).expand(num_members, -1, -1), wide)
        return units

    return reference


def _query(num_objects: int):
    """Mock clusters with errors, asked of the model of the package."""
    torch.set_num_threads(1)
    posterior = load_posterior()
    table, _ = mock_catalogue(-(-num_objects // 8), seed=1)
    table = table[:num_objects].assign(sigma_Group_M_Crit500=_ERRORS)
    return posterior, posterior.query(table)


def _sampling(num_draws: int, kernels: str | None) -> Sampling:
    if kernels is None:  # before there were any
        return Sampling(num_draws)
    return Sampling(num_draws, kernels=kernels)


def posterior_draws(
    num_objects: int, num_draws: int, kernels: str | None = None, threads: int = 1
) -> Work:
    """Samples of the default ensemble in physical units, noise and all."""
    posterior, query = _query(num_objects)
    torch.set_num_threads(threads)
    sampling = _sampling(num_draws, kernels)

    def work() -> float:
        for _ in posterior.sample_batches(query, sampling):
            pass
        return num_objects * num_draws

    return work


def modes(num_objects: int) -> Work:
    """MAP of mock clusters."""
    from cinn_clusters import joint_mode

    posterior, query = _query(num_objects)
    samples = posterior.sample(query, 200)

    def work() -> float:
        joint_mode(posterior, query, samples)
        return num_objects

    return work


def run_command(line: str, folder: Path) -> None:
    """One line of the command line in a process of its own."""
    command = [sys.executable, "-m", "cinn_clusters", *shlex.split(line)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr.strip()[-500:]}")


def _with_mock(num_clusters: int) -> Path:
    """A folder with one cluster, and a mock catalogue if one is asked for; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="speed_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "one.csv").write_text(ONE_CLUSTER)
    if num_clusters:
        run_command(f"mock --clusters {num_clusters} --seed 1 --out mock", folder)
    return folder


TABLES = "--observables mock/observables1.csv --targets mock/unobservables1.csv"


ONE_CLUSTER = "object,Group_M_Crit500,lookback_time_Gyr\nA2142,14.9,1.2\n"


def command(
    line: str, units: float = 1.0, num_clusters: int = 0, prepare: bool = False
) -> Work:
    """A command line, on a mock catalogue, whose results are thrown away."""
    folder = _with_mock(num_clusters)
    if prepare:
        run_command(f"prepare {TABLES} --out run", folder)

    def work() -> float:
        shutil.rmtree(folder / "out", ignore_errors=True)
        (folder / "out").mkdir()
        run_command(line, folder)
        return units

    return work


def python(code: str) -> Work:
    """A line of Python in a process of its own."""

    def work() -> float:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        return 1.0

    return work


def mlp_ensemble(num_members: int, epochs: int, together: bool = True) -> Work:
    """Networks of point estimates, side by side or one after the other."""
    from cinn_clusters.data.split import Split
    from cinn_clusters.evaluation.mlp_ensemble import EnsembleOptions, fit_ensemble

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1800, 7))
    theta = x @ rng.normal(size=(7, 6)) + rng.normal(size=(1800, 6))
    split = Split(*np.split(np.arange(1800), [1300, 1550]))
    size = num_members if together else 1
    options = EnsembleOptions(members=size, epochs=(epochs, epochs), patience=epochs)

    def work() -> float:
        for _ in range(num_members // size):
            fit_ensemble(x, theta, split, options)
        return num_members

    return work
