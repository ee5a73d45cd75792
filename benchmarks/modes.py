"""Modes of many clusters beside those of an earlier version: densities, and CPU seconds.

    python benchmarks/modes.py --table observables1.csv --baseline ../base

Both climb from the same samples of the packaged model. The baseline is a worktree of the earlier
version, whose ``joint_mode`` runs in a process of its own. Seconds are those of the second run: the
first loads or compiles kernels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import cinn_clusters as cc
from infer_speed import catalogue

NUM_DRAWS = 2000
"""Draws of each cluster that its mode may cost."""
_TOLERANCE = 1e-3


def modes_of(folder: Path, **options: str) -> tuple[np.ndarray, float]:
    """Log-densities of the modes of a folder of samples, and CPU seconds."""
    posterior = cc.load_posterior()
    query = posterior.query(pd.read_csv(folder / "rows.csv"))
    samples = np.load(folder / "samples.npy")
    begin = time.process_time()
    _, log_density = cc.joint_mode(posterior, query, samples, **options)
    return log_density, time.process_time() - begin


def of_baseline(folder: Path, baseline: Path) -> tuple[np.ndarray, float]:
    """The same by another version."""
    path = f"{baseline / 'src'}{os.pathsep}{Path(__file__).parent}"
    command = [sys.executable, __file__, "--modes-of", str(folder)]
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(command, check=True, env=environment)
    result = np.load(folder / "baseline.npz")
    return result["log_density"], float(result["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clusters", type=int, default=2000)
    parser.add_argument("--table", type=Path, help="real rows; none: mock ones")
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--modes-of", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.modes_of:
        log_density, seconds = modes_of(args.modes_of)
        result = args.modes_of / "baseline.npz"
        np.savez(result, log_density=log_density, seconds=seconds)
        return
    rows = catalogue(args.clusters, args.table)
    posterior = cc.load_posterior()
    query = posterior.query(rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows.to_csv(folder / "rows.csv", index=False)
        np.save(folder / "samples.npy", posterior.sample(query, 1000))
        begin = time.process_time()
        for number in range(0, args.clusters, 200):
            part = query.rows(slice(number, number + 200))
            sampling = cc.Sampling(NUM_DRAWS, kernels="compiled")
            for _ in posterior.sample_batches(part, sampling):
                pass
        draws = time.process_time() - begin
        modes_of(folder, kernels="compiled")
        log_density, seconds = modes_of(folder, kernels="compiled")
        print(
            f"{args.clusters} modes {seconds:.2f} CPU s, {NUM_DRAWS} draws of each {draws:.2f}"
        )
        if args.baseline:
            earlier, before = of_baseline(folder, args.baseline)
            gain = log_density - earlier
            print(f"baseline {before:.2f} CPU s: {before / seconds:.1f} times as long")
            print(f"gain [nat]: mean {gain.mean():.3f}, lowest {gain.min():.3f}")
            is_lower = gain < -_TOLERANCE
            print(
                f"lower by more than {_TOLERANCE}: {is_lower.sum()}, higher: {(gain > _TOLERANCE).sum()}"
            )


if __name__ == "__main__":
    main()
