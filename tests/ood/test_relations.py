"""Relations of a sample: biased masses and wrong errors are told, right ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.error_models.gaussian import ObservablePrior
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.ood.relations import FEWEST_OBJECTS, relations

GAS = "GroupGasMass"
SCATTER = 0.12
"""Of the gas at a given mass [dex]."""
COVARIANCE = np.array(
    [[0.09, 0.09, 0.0], [0.09, 0.09 + SCATTER**2, 0.0], [0.0, 0.0, 6.0]]
)


@pytest.fixture(scope="module")
def transforms() -> MeasurementTransforms:
    """Mass, gas and time; log gas = log mass - 0.8 with scatter."""
    names = (schema.MASS, GAS, schema.LOOKBACK)
    maps = tuple(ObservableMap(name) for name in names)
    prior = ObservablePrior(np.array([14.5, 13.7, 4.0]), COVARIANCE)
    return MeasurementTransforms(maps, (TargetMap("my_own"),), prior=prior)


def sample(
    errors: tuple[float, float], stated: tuple[float, float], correlation: float = 0.0
) -> np.ndarray:
    """Inputs of 300 clusters, measured with some errors, stated to be others."""
    rng = np.random.default_rng(0)
    true = rng.multivariate_normal([14.5, 13.7, 4.0], COVARIANCE, 300)
    shape = np.array([[1.0, correlation], [correlation, 1.0]])
    noise = rng.multivariate_normal([0.0, 0.0], shape, 300) * errors
    true[:, :2] += noise
    return np.hstack([true, np.tile(stated, (300, 1))])


def test_a_sample_like_the_training_clusters_is_as_expected(
    transforms: MeasurementTransforms,
) -> None:
    for errors in ((0.0, 0.0), (0.1, 0.05), (0.2, 0.2)):
        (relation,) = relations(transforms, sample(errors, errors))
        assert relation.name == GAS
        assert relation.shift == pytest.approx(0.0, abs=0.2)
        assert relation.scatter == pytest.approx(1.0, abs=0.15)
        assert relation.notes == []


def test_a_bias_of_the_masses_is_asked_about(transforms: MeasurementTransforms) -> None:
    inputs = sample((0.05, 0.05), (0.05, 0.05))
    inputs[:, 0] += np.log10(0.7)
    (relation,) = relations(transforms, inputs)
    assert relation.shift > 0.8
    (note,) = relation.notes
    assert "above what M500 and redshift say" in note
    assert "biased" in note


def test_wrong_errors_are_asked_about(transforms: MeasurementTransforms) -> None:
    (understated,) = relations(transforms, sample((0.2, 0.2), (0.05, 0.05)))
    assert understated.notes[0].endswith("are errors understated?")
    (correlated,) = relations(transforms, sample((0.15, 0.15), (0.15, 0.15), 0.9))
    assert correlated.notes[0].endswith("are errors correlated, or overstated?")


def test_few_objects_and_no_masses_say_nothing(
    transforms: MeasurementTransforms,
) -> None:
    inputs = sample((0.2, 0.2), (0.05, 0.05))
    assert relations(transforms, inputs[: FEWEST_OBJECTS - 1]) == []
    inputs[:, 0] = np.nan
    assert relations(transforms, inputs) == []
