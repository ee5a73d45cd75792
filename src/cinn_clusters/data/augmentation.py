"""Masking and noise augmentation: which observables a training row keeps, with what errors.

Every number of observables is as likely as any other, and errors are log-uniform, so that a network
meets whatever a catalogue may hold. All is drawn anew for each augmented copy of the table.
"""

from __future__ import annotations

import math

import numpy as np

LARGEST_ERROR = 1.0
"""Largest error drawn in training [dex]; beyond it a value is as good as missing."""
SMALLEST_ERROR = 0.01
EXACT_SHARE, WHOLE_SHARE, MASS_ONLY_SHARE = 0.3, 0.3, 0.1
"""Shares of training rows without errors, with all observables, and with mass and time only."""
EMBEDDING_SHARE = 0.5
"""Share of training rows that keep their embedding."""


def draw_masks(
    num_rows: int, is_mass: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which optional scalars rows keep, (N, U): any number, all, or the mass alone.

    ``is_mass`` (U,) marks the mass among the optional scalars; it may mark none.
    """
    # a share that is uniform for each row makes every number of observables as likely
    share = rng.random((num_rows, 1))
    is_kept = rng.random((num_rows, len(is_mass))) < share

    # catalogues with all columns, or with nothing but masses, are commoner than that
    kind = rng.random(num_rows)
    is_kept[kind < WHOLE_SHARE] = True
    if is_mass.any():
        is_kept[kind >= 1.0 - MASS_ONLY_SHARE] = is_mass
    return is_kept


def draw_errors(
    num_rows: int, units: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Standard deviations of noise (N, U), log-uniform or zero, in units (U,) of the errors."""
    shape = (num_rows, len(units))
    share = rng.random((num_rows, 1))
    share[rng.random(num_rows) < EXACT_SHARE] = 0.0
    has_error = rng.random(shape) < share

    num_decades = math.log10(LARGEST_ERROR / SMALLEST_ERROR)
    decades = num_decades * rng.random(shape)
    errors = SMALLEST_ERROR * 10.0**decades
    return np.where(has_error, errors * units, 0.0)
