"""Fit anew what a model for observers knows of its training clusters; the networks stay as they are.

    cinn-clusters prepare --observables observables1.csv --targets unobservables1.csv --out run
    python benchmarks/refit_domain.py run src/cinn_clusters/models/tng-cluster

The run must hold the table and the split that the model was trained on; test clusters are not
touched. The bundle gets ranges and quantiles (``ood/support.py``) and a mixture of Gaussians of the
training clusters (``ood/sample_test.py``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cinn_clusters.bundle import read_bundle, write_bundle
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.storage.observer import domain_parts
from cinn_clusters.storage.run import open_run, split_hash


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    run, bundle = open_run(args.run), read_bundle(args.model)
    told = bundle.info["provenance"]
    if (told["table_sha256"], told["split_sha256"]) != (
        run.record["table_sha256"],
        split_hash(run.record),
    ):
        parser.error(f"{args.run}: expected the table and split of the model; got others")
    posterior = load_posterior(args.model)
    test = run.catalogue.clusters[run.split.test]
    seen = run.catalogue.rows(np.concatenate([run.split.train, run.split.validation]))
    left_out = run.left_out()
    if left_out is not None:
        left_out = left_out[~left_out[run.catalogue.cluster_column].isin(test)].reset_index(
            drop=True
        )
    parts = domain_parts(posterior, seen, left_out, told["seed"])
    write_bundle(args.model, {**bundle.info, **parts}, bundle.tensors, overwrite=True)
    print(f"{args.model}: domain and references of {len(seen.table)} rows, networks unchanged")
    for reference in parts["references"]:
        print(f"tolerance of the sample test: MMD^2 {reference['tolerance']:.4f}")


if __name__ == "__main__":
    main()
