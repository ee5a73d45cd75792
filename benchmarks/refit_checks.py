"""Fit the checks of a model anew on its training clusters; the networks stay as they are.

    cinn-clusters prepare --observables observables1.csv --targets unobservables1.csv --out run
    python benchmarks/refit_checks.py run src/cinn_clusters/models/tng-cluster

The run must hold the table and the split that the model was trained on; test clusters are not
touched. The bundle gets its training support (``ood/support.py``), training populations
(``ood/sample_test.py``) and selection classifier (``ood/selection.py``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cinn_clusters.pipeline.simulation.train import rows_for_checks
from cinn_clusters.posterior.trained import add_checks
from cinn_clusters.storage.model import load_model, save_model
from cinn_clusters.storage.run import open_run, split_hash


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    run, model = open_run(args.run), load_model(args.model)
    expected = {
        "table_sha256": run.record["table_sha256"],
        "split_sha256": split_hash(run.record),
    }
    if any(model.provenance[key] != value for key, value in expected.items()):
        parser.error(
            f"{args.run}: expected the table and split of the model; got others"
        )
    rows, left_out = rows_for_checks(run)
    checked = add_checks(
        model.posterior, model.config, rows, left_out, model.provenance
    )
    save_model(checked, args.model, overwrite=True)
    print(f"{args.model}: checks of {len(rows.table)} rows, networks unchanged")
    for population in checked.populations:
        print(f"tolerance of the two-sample test: MMD^2 {population.tolerance:.4f}")


if __name__ == "__main__":
    main()
