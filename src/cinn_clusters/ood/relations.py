r"""Whether a sample follows the relations of the training clusters, given its stated errors.

What M500 and the redshift of an object say of another observable is Gaussian, v_j | o_M, and so is
its measured value. The standardised residuals

.. math:: z_j = (o_j - E[v_j \mid o_M]) / \sqrt{Var[v_j \mid o_M] + \sigma_j^2}

have mean 0 and scatter 1 where masses and errors are as stated. A mean elsewhere is a bias of one of
the two, a larger scatter speaks of errors that are understated. The masses themselves, whose
distribution is the survey's own, play no part.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.data.measurement import MeasurementTransforms

FEWEST_OBJECTS = 30
"""Fewest objects of which a relation is judged."""
LARGEST_SHIFT, LEAST_SCATTER, LARGEST_SCATTER = 0.25, 0.8, 1.25
"""Mean and scatter that samples of other clusters may have, set by hand (docs/survey-catalogues.md)."""
_NUM_ERRORS = 3.0
"""Standard errors that are granted beside them."""
_MAD_A_SIGMA = 0.6745


class Relation(NamedTuple):
    """Standardised residuals of one observable about what M500 and redshift say of it.

    Args:
        name: Of the observable.
        num_objects: Objects that have it, and a mass.
        shift: Median of their residuals.
        scatter: Scatter of their residuals about the median, by the median absolute deviation.
        error_share: Median share of the expected variance that the stated errors make.
    """

    name: str
    num_objects: int
    shift: float
    scatter: float
    error_share: float

    @property
    def is_shifted(self) -> bool:
        """Whether the mean lies further off than chance and other clusters put it."""
        chance = _NUM_ERRORS / np.sqrt(self.num_objects)
        return bool(abs(self.shift) > LARGEST_SHIFT + chance)

    @property
    def is_scattered(self) -> bool:
        """Whether the scatter is larger than chance and other clusters make it."""
        return self.scatter > LARGEST_SCATTER * (1.0 + self._chance)

    @property
    def is_tight(self) -> bool:
        """Whether the scatter is smaller than the errors that make most of it let it be."""
        is_of_errors = self.error_share > 0.5
        return is_of_errors and self.scatter < LEAST_SCATTER * (1.0 - self._chance)

    @property
    def notes(self) -> list[str]:
        """What is to be said of it: nothing where it is as expected."""
        of_objects = f"{self.name} of {self.num_objects} objects"
        beside = (
            "about M500 and redshift as the simulation and the stated errors make it"
        )
        scatters = f"{of_objects}: scatters {self.scatter:.1f} times as much {beside}"
        notes = []
        if self.is_shifted:
            side = "above" if self.shift > 0.0 else "below"
            amount = f"{abs(self.shift):.1f} deviations {side}"
            says = "what M500 and redshift say of it in the simulation"
            notes.append(f"{of_objects}: {amount} {says}: is one of the two biased?")
        if self.is_scattered:
            notes.append(f"{scatters}: are errors understated?")
        if self.is_tight:
            notes.append(f"{scatters}: are errors correlated, or overstated?")
        return notes

    @property
    def _chance(self) -> float:
        return float(_NUM_ERRORS / np.sqrt(2.0 * self.num_objects))


def relations(transforms: MeasurementTransforms, inputs: np.ndarray) -> list[Relation]:
    """Compare a sample with the relations of the training clusters.

    Args:
        transforms: Transforms of the model.
        inputs: Values and errors, (N, len(transforms.inputs)).

    Returns:
        A relation for each observable that 30 objects or more have beside a mass.
    """
    mass = transforms.schema.mass
    if mass not in transforms.optional:
        return []
    number = transforms.optional.index(mass)
    is_measured = transforms.is_measured(inputs)
    has_mass = is_measured[:, number]
    sample = np.array(inputs[has_mass], dtype=float)
    is_mass = np.zeros(is_measured.shape[1], dtype=bool)
    is_mass[number] = True
    masses = transforms.without(sample, is_mass)
    exact = masses.copy()
    exact[:, len(transforms.names) :] = 0.0

    values, errors = transforms.raw_values(sample)
    mean, covariance = transforms.condition(masses)
    _, intrinsic = transforms.condition(exact)
    result = []
    for name in transforms.optional:
        column = transforms.names.index(name)
        has_value = np.isfinite(errors[:, column])
        rows = np.flatnonzero(has_value)
        if name == mass or len(rows) < FEWEST_OBJECTS:
            continue
        scatter = covariance[rows, column, column]
        noise = errors[rows, column]
        variance = scatter + noise**2
        offset = values[rows, column] - mean[rows, column]
        residuals = offset / np.sqrt(variance)
        shares = 1.0 - intrinsic[rows, column, column] / variance
        result.append(_relation(name, residuals, shares))
    return result


def _relation(name: str, residuals: np.ndarray, shares: np.ndarray) -> Relation:
    shift = float(np.median(residuals))
    deviations = np.abs(residuals - shift)
    spread = np.median(deviations)
    scatter = float(spread / _MAD_A_SIGMA)
    share = float(np.median(shares))
    return Relation(name, len(residuals), shift, scatter, share)
