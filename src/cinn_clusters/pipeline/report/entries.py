"""Entries of a diagnosis as what figures draw."""

from __future__ import annotations

import numpy as np

from cinn_clusters.figures.calibration import Curve
from cinn_clusters.figures.learning import ScoreBand
from cinn_clusters.files import JsonObject


def largest_t(forms: JsonObject, kind: str) -> float:
    """Return the largest t, by its size, of the forms of a dependence of some kind."""
    values = [t for form, t in forms.items() if form.startswith(kind)]
    return float(max(values, key=abs))


def ecdf_curve(entry: JsonObject) -> Curve:
    """Return an empirical distribution with its band."""
    return Curve(entry["grid"], entry["ecdf"], entry["lower"], entry["upper"])


def coverage_curve(entry: JsonObject) -> Curve:
    """Return empirical against nominal coverage with its band."""
    return Curve(entry["level"], entry["found"], entry["lower"], entry["upper"])


def score_band(entry: JsonObject) -> ScoreBand:
    """Return a score with its ends, NaN where it has none."""
    numbers = [entry["value"], entry["lower"], entry["upper"]]
    value, lower, upper = np.array(numbers, float)
    return float(value), float(lower), float(upper)
