"""Where the time of ``infer`` goes: CPU seconds of each step, and clusters a second and core.

    python benchmarks/infer_speed.py --clusters 12000 --draws 1000

The catalogue is a mock one, or real rows in turn (``--table observables1.csv``), with errors of
0.05 dex. The packaged model answers with MAP, flags and files, on one thread.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import cinn_clusters as cc
from cinn_clusters.schema import LOOKBACK

STEPS = {
    "sampling": "posterior.py:_draw",
    "noise of the samples (in sampling)": "posterior.py:member_noise",
    "flow (in sampling)": "flow.py:sample",
    "to physical units (in sampling)": "transforms.py:physical_targets",
    "MAP": "mode.py:joint_mode",
    "summary without MAP": "summary.py:summarise",
    "quantities of no record": "collision.py:unconditional_columns",
    "samples to the file": "posterior_file.py:put",
    "OOD, disagreement, selection": "assessment.py:assess",
    "disagreement (in OOD)": "disagreement.py:disagreement",
    "masses used": "mass_used.py:masses_used",
    "reading the catalogue": "catalogue_query.py:read_query",
    "appending columns": "result_table.py:append_columns",
    "writing the table": "table_files.py:write_table",
}
"""Functions by step; what stands in brackets is a part of another step."""
_ERROR_DEX = 0.05


def catalogue(num_clusters: int, table: Path | None) -> pd.DataFrame:
    """Rows with errors and names of their own."""
    posterior = cc.load_posterior()
    scalars = [name for name in posterior.inputs if not name.startswith("sigma_")]
    if table is None:
        frame, _ = cc.mock_catalogue(-(-num_clusters // 8))
    else:
        frame = pd.read_csv(table)
    index = np.arange(num_clusters) % len(frame)
    rows = frame[scalars].iloc[index].reset_index(drop=True)
    rng = np.random.default_rng(0)
    for name in scalars:
        noise = _ERROR_DEX * rng.standard_normal(num_clusters)
        if name == LOOKBACK:
            continue
        is_linear = name == "bcg_SubhaloBHMass"
        rows[name] = rows[name] * 10.0**noise if is_linear else rows[name] + noise
        rows[f"sigma_{name}"] = _ERROR_DEX
    rows.insert(0, "object", [f"cluster {number}" for number in range(num_clusters)])
    return rows


def profile(path: Path, num_draws: int, *, with_map: bool) -> tuple[float, dict]:
    """CPU seconds of an inference, and cumulative ones of its functions."""
    sampling = cc.Sampling(num_draws)
    options = cc.InferenceOptions(with_map=with_map)
    profiler = cProfile.Profile(time.process_time)
    begin = time.process_time()
    with profiler:
        cc.infer(path, path.with_suffix(".nc"), sampling=sampling, options=options)
    total = time.process_time() - begin
    seconds: dict[str, float] = {}
    for (file, _, name), row in pstats.Stats(profiler).stats.items():
        key = f"{Path(file).name}:{name}"
        seconds[key] = seconds.get(key, 0.0) + row[3]
    return total, seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clusters", type=int, default=12_000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--table", type=Path, help="real rows, taken in turn")
    parser.add_argument("--format", default="fits", choices=("fits", "csv", "parquet"))
    parser.add_argument("--no-map", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = catalogue(args.clusters, args.table)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"catalogue.{args.format}"
        cc_write(rows, path)
        total, seconds = profile(path, args.draws, with_map=not args.no_map)
    print(
        f"{args.clusters:,} clusters x {args.draws:,} draws: {total:.2f} CPU s,",
        end=" ",
    )
    print(f"{args.clusters / total:,.0f} clusters/s and core")
    seconds["summary.py:summarise"] -= seconds.get("mode.py:joint_mode", 0.0)
    for step, function in STEPS.items():
        spent = seconds.get(function, 0.0)
        print(f"{step:<40}{spent:>9.2f} s{spent / total:>8.1%}")


def cc_write(rows: pd.DataFrame, path: Path) -> None:
    """Write a catalogue in the format of its ending."""
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        from astropy.table import Table

        Table.from_pandas(rows).write(path)


if __name__ == "__main__":
    main()
