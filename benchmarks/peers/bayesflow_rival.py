"""BayesFlow's default workflow on the same folds, in an environment of its own.

    python3 -m venv bayesflow-env && bayesflow-env/bin/pip install -e . bayesflow==2.0.12 'jax[cpu]'
    KERAS_BACKEND=jax bayesflow-env/bin/python benchmarks/peers/bayesflow_rival.py \
        ../shared/data/tng_cluster --out peers

With the backend torch, BayesFlow 2.0.12 switches torch's autograd off for the whole process.
"""

from __future__ import annotations

import os
import time
from functools import partial

os.environ.setdefault("KERAS_BACKEND", "jax")

import bayesflow
import keras
import numpy as np
import torch
from folds import Answer, Represented, Unit
from run import make_fits, parse, read_table

OBJECTS_A_BATCH = 50


def basic_workflow(unit: Unit, *, raw: bool) -> Answer:
    """BasicWorkflow with its defaults: coupling flow, 100 epochs of batches of 32; best weights
    are not kept.
    """
    keras.utils.set_random_seed(unit.stream)
    represented = Represented(unit, raw=raw)
    train, held_out = (
        pairs(represented, rows) for rows in (unit.trained, unit.held_out)
    )
    begin = time.perf_counter()
    workflow = bayesflow.BasicWorkflow(
        inference_variables=["theta"], inference_conditions=["x"]
    )
    workflow.fit_offline(train, validation_data=held_out, verbose=0)
    trained = time.perf_counter()
    x = represented.x(unit.split.test).numpy()
    parts = [
        workflow.sample(num_samples=unit.num_draws, conditions={"x": part})["theta"]
        for part in np.array_split(x, len(x) // OBJECTS_A_BATCH + 1)
    ]
    drawn = time.perf_counter()
    samples = torch.from_numpy(np.concatenate(parts).swapaxes(0, 1).astype(float))
    log_prob = np.asarray(
        workflow.log_prob({"theta": represented.truth.numpy(), "x": x}), dtype=float
    )
    density = torch.from_numpy(log_prob.reshape(-1))
    return represented.answer(samples, density, trained - begin, drawn - trained)


def pairs(represented: Represented, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {"theta": represented.u(rows, 0).numpy(), "x": represented.x(rows).numpy()}


def main() -> None:
    args = parse(__doc__)
    args.out.mkdir(parents=True, exist_ok=True)
    catalogue = read_table(args.folder)
    fits = {
        "BayesFlow raw": partial(basic_workflow, raw=True),
        "BayesFlow transforms": partial(basic_workflow, raw=False),
    }
    for seed in args.seeds:
        for name in args.only or fits:
            make_fits(name, fits[name], catalogue, args.out, seed, args.members or [0])


if __name__ == "__main__":
    main()
