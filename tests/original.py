"""What the original scripts leave behind, made anew: a FrEIA checkpoint, two scalers, three
tables."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import GLOWCouplingBlock, PermuteRandom

from sklearn.preprocessing import StandardScaler

from cinn_clusters import schema

NUM_BLOCKS, NUM_HIDDEN, CLAMP = 12, 128, 2.0
X_COLUMNS, Y_COLUMNS = list(schema.DEFAULT_OBSERVABLES), list(schema.DEFAULT_TARGETS)


def subnet(num_inputs: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_inputs, NUM_HIDDEN), nn.ReLU(), nn.Linear(NUM_HIDDEN, num_outputs)
    )


def freia_glow(num_targets: int, num_observables: int) -> SequenceINN:
    """The network of the original cINN-Clusters scripts."""
    network = SequenceINN(num_targets)
    for block in range(NUM_BLOCKS):
        network.append(
            GLOWCouplingBlock,
            cond=0,
            cond_shape=(num_observables,),
            subnet_constructor=subnet,
            clamp=CLAMP,
            clamp_activation="ATAN",
        )
        network.append(PermuteRandom, seed=block)
    return network


def moved(network: SequenceINN) -> SequenceINN:
    """As after training: far from the start, not so far that rounding decides (draws of 1e8
    would compare noise)."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter += 0.03 * torch.randn_like(parameter)
    return network


def processed_data(
    tables: tuple[pd.DataFrame, pd.DataFrame], folder: Path
) -> tuple[StandardScaler, StandardScaler]:
    """Write X.csv, Y.csv and meta.csv as the original did; return the two scalers, which are
    still to be written."""
    joined = tables[0].merge(tables[1], on=list(schema.KEYS)).dropna(subset=Y_COLUMNS)
    folder.mkdir(exist_ok=True)
    scalers = (
        StandardScaler().fit(joined[X_COLUMNS]),
        StandardScaler().fit(joined[Y_COLUMNS]),
    )
    for name, columns, scaler in (
        ("X", X_COLUMNS, scalers[0]),
        ("Y", Y_COLUMNS, scalers[1]),
    ):
        scaled = np.asarray(scaler.transform(joined[columns]))
        pd.DataFrame(scaled, columns=columns).to_csv(
            folder / f"{name}.csv", index=False
        )
    joined[list(schema.KEYS)].to_csv(folder / "meta.csv", index=False)
    return scalers
