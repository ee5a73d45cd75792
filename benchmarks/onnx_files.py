"""ONNX files against the package on the clusters of the simulation: differences, size and time.

    python benchmarks/onnx_files.py ../shared/data/tng_cluster --draws 1000

Clusters are asked complete, and with missing and uncertain observables. Differences of samples are in
units of their spread; times are CPU seconds on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch

from cinn_clusters import Posterior, export_onnx, load_posterior
from cinn_clusters.posterior.posterior import ROWS_A_BLOCK, member_noise
from cinn_clusters.posterior.query import Query, Sampling

CLUSTERS_A_BATCH = 50
NUM_POINTS = 20


def noise_of(posterior: Posterior, query: Query, num_samples: int) -> np.ndarray:
    """Noise (S, N, D) of the streams of the package."""
    num_members, num_targets = posterior.flow.num_members, len(posterior.targets)
    num_turns = num_samples // num_members
    noise = member_noise(Sampling(num_turns), query.streams, num_members, num_targets)
    num_filled = -(-num_turns // ROWS_A_BLOCK) * ROWS_A_BLOCK
    split = noise.view(num_members, len(query), num_filled, num_targets)
    turns = split[:, :, :num_turns].permute(2, 0, 1, 3)
    return turns.reshape(num_samples, len(query), num_targets).numpy()


def uncertain(table: pd.DataFrame) -> pd.DataFrame:
    """The same clusters with a third of the masses missing and errors on the rest."""
    rows = np.arange(len(table))
    changed = table.copy()
    changed.loc[rows % 3 == 0, "Group_M_Crit500"] = np.nan
    changed.loc[rows % 5 == 0, "bcg_SubhaloBHMass"] = np.nan
    return changed.assign(sigma_Group_M_Crit500=0.1, sigma_GroupGasMass=0.05)


class Clock:
    """CPU seconds of the process, summed by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Add the time of a block."""
        begin = time.process_time()
        yield
        self.seconds[name] += time.process_time() - begin


def compare(
    posterior: Posterior,
    table: pd.DataFrame,
    sessions: dict[str, onnxruntime.InferenceSession],
    num_samples: int,
    clock: Clock,
) -> tuple[np.ndarray, float]:
    """Differences of samples in units of their spread, and the largest of log-densities."""
    differences, largest = [], 0.0
    for begin in range(0, len(table), CLUSTERS_A_BATCH):
        query = posterior.query(table[begin : begin + CLUSTERS_A_BATCH])
        feed = {
            "noise": noise_of(posterior, query, num_samples),
            "inputs": query.inputs,
        }
        with clock.timing("onnxruntime, samples"):
            (samples,) = sessions["sample"].run(None, feed)
        with clock.timing("package, samples"):
            expected = posterior.sample(query, num_samples)
        change = np.abs(samples - expected) / expected.std(0)
        differences.append(change.ravel())

        theta = expected[:NUM_POINTS].astype(float)
        feed = {"theta": theta, "inputs": query.inputs}
        with clock.timing("onnxruntime, densities"):
            (log_prob,) = sessions["log_prob"].run(None, feed)
        with clock.timing("package, densities"):
            reference = posterior.log_prob(theta, query)
        largest = max(largest, np.abs(log_prob - reference).max())
    return np.concatenate(differences), largest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds observables1.csv")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--clusters", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    posterior, clock, sessions = load_posterior(), Clock(), {}
    with tempfile.TemporaryDirectory() as folder:
        for function in ("sample", "log_prob"):
            path = Path(folder) / function
            with clock.timing("export of both"):
                export_onnx(posterior, path, function)
            print(f"{function}: {path.stat().st_size:,} bytes")
            sessions[function] = onnxruntime.InferenceSession(path, options)
    whole = pd.read_csv(args.folder / "observables1.csv")
    step = max(1, len(whole) // args.clusters)
    table = whole[::step].reset_index(drop=True)
    print(f"{len(table)} clusters, {args.draws} draws each\n")
    print(
        "| observables | samples: median | 99.99 % | largest | log-density: largest |"
    )
    print("|---|---|---|---|---|")
    for name, rows in {"complete": table, "uncertain": uncertain(table)}.items():
        change, largest = compare(posterior, rows, sessions, args.draws, clock)
        middle, far = np.quantile(change, [0.5, 0.9999])
        row = f"| {name} | {middle:.1e} | {far:.1e} | {change.max():.1e}"
        print(f"{row} | {largest:.1e} |", flush=True)
    print()
    for name, seconds in clock.seconds.items():
        print(f"{name}: {seconds:.2f} CPU s")


if __name__ == "__main__":
    main()
