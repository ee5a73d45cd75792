"""A trained model with its checks: fitted, saved and loaded, for scalars, embeddings and many columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.ood.support import fit_support
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.trained import add_checks
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.model import (
    load_model,
    load_posterior,
    save_model,
    save_posterior,
)

NUM = 300
SCALARS = (schema.MASS, "GroupGasMass", schema.LOOKBACK)
EMBEDDING = ("embedding_000", "embedding_001")
FURTHER = tuple(f"further_{number}" for number in range(9))
CONFIG = Config.model_validate(
    {"model": {"members": 2}, "autoregressive": {"hidden": 8}}
)


def table(seed: int = 0) -> pd.DataFrame:
    """Two projections of each snapshot, which share their scalars."""
    rng = np.random.default_rng(seed)
    halo = np.repeat(np.arange(NUM // 2), 2)
    mass = rng.normal(14.5, 0.3, NUM // 2)[halo]
    columns = {
        "HaloID": halo,
        "Snapshot": 50,
        schema.CLUSTER_COLUMN: halo // 2,
        schema.PROJECTION: np.arange(NUM) % 2,
        schema.MASS: mass,
        "GroupGasMass": mass - 0.7 + rng.normal(0.0, 0.1, NUM // 2)[halo],
        schema.LOOKBACK: rng.uniform(0.0, 8.0, NUM // 2)[halo],
        "mine": rng.normal(size=NUM // 2)[halo],
    }
    columns |= {name: rng.normal(size=NUM) for name in (*EMBEDDING, *FURTHER)}
    return pd.DataFrame(columns)


def transforms_of(names: tuple[str, ...]) -> MeasurementTransforms:
    columns = {name: table()[name].to_numpy(float) for name in names}
    maps = tuple(
        ObservableMap(name, shift=values.mean(), scale=values.std(), clip=4.0)
        for name, values in columns.items()
    )
    return accept_missing_values(Transforms(maps, (TargetMap("mine"),)), columns)


def posterior_of(transforms: Transforms) -> Posterior:
    flow = make_flow(CONFIG, 1, transforms.num_features)
    return Posterior(flow.eval(), transforms)


@pytest.mark.parametrize(
    "names",
    [SCALARS, (*SCALARS, *EMBEDDING), (*SCALARS, *FURTHER, *EMBEDDING)],
    ids=len,
)
def test_every_group_of_the_support_is_that_of_its_own_mask(
    names: tuple[str, ...],
) -> None:
    transforms = transforms_of(names)
    posterior = posterior_of(transforms)
    inputs = posterior.query(table()).inputs
    seen = []

    def disagreement(subset: np.ndarray) -> np.ndarray:
        seen.append(transforms.is_measured(subset)[0])
        return np.full(len(subset), float(len(seen)))

    support = fit_support(transforms, inputs, disagreement)
    assert len(seen) == len(support.distances) <= 256
    for group, mask in enumerate(seen):
        subset = transforms.without(inputs, mask)
        score = support.disagreement_score(subset, np.full(NUM, group + 0.9))
        assert (score < 1.0).all(), "less than the training clusters of this group"
        score = support.disagreement_score(subset, np.full(NUM, group + 1.1))
        assert (score == 1.0).all(), "more than those"
        if mask.any():
            assert abs((support.ood_score(subset) > 0.9).mean() - 0.1) < 0.02


def left_out() -> pd.DataFrame:
    frame = table(1).drop(columns=[schema.PROJECTION, *EMBEDDING, "mine"]).iloc[::2]
    return frame.assign(is_recorded=(frame[schema.LOOKBACK] < 3.0).astype(int))


def test_a_model_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    names = (*SCALARS, *EMBEDDING)
    posterior = posterior_of(transforms_of(names))
    rows = Catalogue(table(), names, ("mine",))
    model = add_checks(posterior, CONFIG, rows, left_out(), {"seed": 42})
    assert len(model.populations) == 2
    assert model.selection is not None
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model", device="cpu")
    assert again.config == CONFIG
    assert again.provenance == {"seed": 42}
    assert again.accepts_missing
    assert again.path == tmp_path / "model"
    query = posterior.query(table(2))
    inputs = query.inputs
    np.testing.assert_array_equal(
        again.posterior.sample(query, 5), posterior.sample(query, 5)
    )
    assert again.support is not None
    assert model.support is not None
    np.testing.assert_array_equal(
        again.support.ood_score(inputs), model.support.ood_score(inputs)
    )
    assert again.selection is not None
    marked = left_out().is_recorded.sum()
    share = model.selection.calibration.measured_share
    num_rows = len(rows.table.drop_duplicates(list(rows.schema.keys.names)))
    assert share == num_rows / (num_rows + marked)
    assert again.selection.calibration == model.selection.calibration
    chance = model.selection.probability(inputs)
    np.testing.assert_array_equal(again.selection.probability(inputs), chance)
    scalars = model.posterior.transforms.without_embedding(inputs)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(model.selection.probability(scalars), chance)
    assert "inputs=('Group_M_Crit500'" in repr(again)


def test_a_model_of_exact_observables_has_no_checks(tmp_path: Path) -> None:
    maps = tuple(ObservableMap(name) for name in SCALARS)
    posterior = posterior_of(Transforms(maps, (TargetMap("mine"),)))
    model = add_checks(
        posterior, CONFIG, Catalogue(table(), SCALARS, ("mine",)), left_out()
    )
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model", device="cpu")
    assert not again.accepts_missing
    assert again.support is again.selection is None
    assert again.populations == ()


def test_a_posterior_is_a_model_without_checks(tmp_path: Path) -> None:
    posterior = posterior_of(transforms_of(SCALARS))
    save_posterior(posterior, tmp_path / "model", CONFIG)
    again = load_posterior(tmp_path / "model", device="cpu")
    query = posterior.query(table(2))
    np.testing.assert_array_equal(again.sample(query, 5), posterior.sample(query, 5))
    assert load_model(tmp_path / "model").support is None
