"""BayesFlow's default workflow on the same folds, in an environment of its own.

    python3 -m venv bayesflow-env && bayesflow-env/bin/pip install -e . bayesflow==2.0.12
    bayesflow-env/bin/python benchmarks/peers/bayesflow_rival.py ../shared/data/tng_cluster --out
    peers

BayesFlow 2.0.12 switches torch's autograd off for the whole process when it is imported.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import bayesflow
import keras
import numpy as np
from rivals import NUM_DRAWS, SEED, Answer, Fold, Scaled
from run import BAYESFLOW, folds, slug, write_answer

from cinn_clusters import read_catalogue

OBJECTS_A_BATCH = 50


def answer(fold: Fold, number: int) -> Answer:
    """BasicWorkflow with its defaults: coupling flow, 100 epochs of batches of 32; best weights
    are not kept.
    """
    keras.utils.set_random_seed(SEED + number)
    scaled = Scaled(fold)
    data = [
        {"theta": u.numpy(), "x": x.numpy()}
        for u, x in (scaled.train, scaled.validation, (scaled.truth, scaled.test[1]))
    ]
    begin = time.perf_counter()
    workflow = bayesflow.BasicWorkflow(
        inference_variables=["theta"], inference_conditions=["x"]
    )
    workflow.fit_offline(data[0], validation_data=data[1], verbose=0)
    trained = time.perf_counter()
    parts = [
        workflow.sample(num_samples=NUM_DRAWS, conditions={"x": part})["theta"]
        for part in np.array_split(
            data[2]["x"], len(data[2]["x"]) // OBJECTS_A_BATCH + 1
        )
    ]
    drawn = time.perf_counter()
    samples = (
        np.concatenate(parts).swapaxes(0, 1).astype(float) * scaled.sd + scaled.mean
    )
    log_prob = (
        np.asarray(workflow.log_prob(data[2]), dtype=float).reshape(-1)
        - np.log(scaled.sd).sum()
    )
    return Answer(samples, log_prob, trained - begin, drawn - trained)


def kept_answer(path: Path, fold: Fold, number: int) -> Answer:
    """Answer a fold, or read what an earlier run has answered: a fold takes half an hour on one
    core.
    """
    if not path.exists():
        found = answer(fold, number)
        np.savez(
            path,
            samples=found.samples.astype(np.float32),
            log_prob=found.log_prob,
            seconds=[found.train_seconds, found.draw_seconds],
        )
    with np.load(path) as kept:
        return Answer(kept["samples"], kept["log_prob"], *map(float, kept["seconds"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("peers"))
    parser.add_argument(
        "--folds",
        nargs="*",
        type=int,
        help="answer these only; a run without it puts all together",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    catalogue = read_catalogue(
        args.folder / "observables1.csv", args.folder / "unobservables1.csv"
    )
    samples = np.empty((NUM_DRAWS, *catalogue.theta.shape), np.float32)
    log_prob, seconds = np.empty(samples.shape[1]), np.zeros(2)
    for number, fold in enumerate(folds(catalogue)):
        if args.folds is not None and number not in args.folds:
            continue
        found = kept_answer(
            args.out / f"{slug(BAYESFLOW)}_fold{number}.npz", fold, number
        )
        samples[:, fold.split.test], log_prob[fold.split.test] = (
            found.samples,
            found.log_prob,
        )
        seconds += found.train_seconds, found.draw_seconds
        print(
            f"{BAYESFLOW}: fold {number + 1} of 5, {found.train_seconds:.0f} s",
            flush=True,
        )
    if args.folds is not None:
        return
    write_answer(
        args.out / f"{slug(BAYESFLOW)}.nc", catalogue, samples, log_prob, *seconds
    )


if __name__ == "__main__":
    main()
