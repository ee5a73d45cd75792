r"""The last collision of an object whether or not one is recorded.

A posterior is conditional on a record. With r = P(recorded | x) the time since the collision t has
the distribution function F(t | x) = r F(t | x, recorded) within the window of the record; the
remaining mass, 1 - r, lies beyond it, where nothing more is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import ConfigError
from cinn_clusters.posterior.posterior import Objects, Posterior
from cinn_clusters.schema import Column

CONDITION, CAUTION = "conditional", "caution"
"""Attributes of a posterior file with the sentences of ``notes``."""
P_MAJOR_RECENT = "p_major_recent"
UNCONDITIONAL_TIME = "unconditional_time_since_collision_Gyr"
"""Its quantiles are infinite where they lie beyond the window of the record."""
_QUANTILES = {"median": 0.5, "p16": 0.16, "p84": 0.84}


def time_since_collision(
    posterior: Posterior, inputs: np.ndarray, theta: np.ndarray
) -> np.ndarray | None:
    """Time since the collision [Gyr], (..., N), of samples (..., N, D); None where no target is."""
    collision_time = posterior.transforms.schema.bounded_time
    if collision_time not in posterior.targets:
        return None
    age = posterior.transforms.age(inputs).numpy()
    since: np.ndarray = age - theta[..., posterior.targets.index(collision_time)]
    return since


def record_window(transforms: Transforms, inputs: np.ndarray) -> np.ndarray:
    """Longest possible time since the collision [Gyr], (N,).

    From the begin of the record to the observation; NaN where the table has no such begin.
    """
    column = transforms.schema.column(str(transforms.schema.bounded_time))
    begin = column.record_begin or np.nan
    window: np.ndarray = transforms.age(inputs).numpy() - begin
    return window


def condition(targets: Sequence[Column]) -> str:
    """Say what posteriors of these targets are conditional on; empty where absence says nothing.

    Examples:
        >>> from cinn_clusters.schema import DEFAULT
        >>> condition([DEFAULT.column("last_T_coll"), DEFAULT.column("last_M_Crit500_coll")])
        'posteriors are conditional on a collision that is recorded (since a cosmic age of 4.90 Gyr)
        and whose last_M_Crit500_coll was measured'
    """
    if not any(column.absent_means for column in targets):
        return ""
    sentence = "posteriors are conditional on a collision that is recorded"
    if begin := max(column.record_begin for column in targets):
        sentence += f" (since a cosmic age of {begin:.2f} Gyr)"
    marked = [column.name for column in targets if column.missing_mark is not None]
    if marked:
        sentence += f" and whose {', '.join(marked)} was measured"
    return sentence


def notes(targets: Sequence[Column]) -> dict[str, str]:
    """What posteriors are conditional on, and what a reader of their targets has to know.

    Examples:
        >>> notes([Column("mine", caution="look twice")])
        {'caution': 'look twice'}
    """
    cautions = [column.caution for column in targets if column.caution]
    sentences = {CONDITION: condition(targets), CAUTION: "; ".join(cautions)}
    return {name: sentence for name, sentence in sentences.items() if sentence}


@dataclass(frozen=True)
class MajorMerger:
    """What counts as a recent major merger.

    Args:
        ratio: Mass ratio that it exceeds.
        recent_gyr: Longest time since it [Gyr].
    """

    ratio: float = 0.25
    recent_gyr: float = 2.0

    def __post_init__(self) -> None:
        """Refuse a ratio outside [0, 1) and a time that is none."""
        if not 0.0 <= self.ratio < 1.0:
            raise ConfigError("major ratio", "a number in [0, 1)", str(self.ratio))
        if not 0.0 < self.recent_gyr < np.inf:
            expected = "a positive number of Gyr"
            raise ConfigError("recent", expected, str(self.recent_gyr))

    def is_so(self, since: np.ndarray, ratio: np.ndarray) -> np.ndarray:
        """Whether collisions, by time since [Gyr] and mass ratio, are recent and major."""
        is_major = np.asarray(ratio) > self.ratio
        is_recent = np.asarray(since) < self.recent_gyr
        return is_major & is_recent


MAJOR_MERGER = MajorMerger()


def unconditional_quantiles(
    since: np.ndarray, record_probability: np.ndarray, levels: Sequence[float]
) -> np.ndarray:
    """Quantiles of the time since collision, whether or not one is recorded.

    Args:
        since: Posterior samples of the time since a recorded collision, (S, N).
        record_probability: P(recorded | x), (N,).
        levels: Probabilities of the quantiles, Q of them.

    Returns:
        The quantiles (Q, N); infinite where they lie beyond the window of the record.

    Examples:
        >>> since = np.linspace(0.0, 4.0, 401)[:, None]
        >>> unconditional_quantiles(since, np.array([0.8]), [0.4, 0.9]).ravel().tolist()
        [2.0, inf]
    """
    with np.errstate(divide="ignore"):
        within = np.divide.outer(levels, record_probability)  # (Q, N)
    ordered = np.sort(since, axis=0)
    last = len(since) - 1
    rank = np.clip(within, 0.0, 1.0) * last
    lower = rank.astype(int)
    upper = np.minimum(lower + 1, last)
    below = np.take_along_axis(ordered, lower, axis=0)
    above = np.take_along_axis(ordered, upper, axis=0)
    fraction = rank - lower
    quantiles = below + fraction * (above - below)
    is_beyond = within > 1.0
    return np.where(is_beyond, np.inf, quantiles)


def unconditional_names() -> list[str]:
    """Names of the quantiles, in order."""
    return [f"{UNCONDITIONAL_TIME}_{statistic}" for statistic in _QUANTILES]


@dataclass(frozen=True, eq=False)
class Unconditional:
    """What it takes to say something whether or not a collision is recorded.

    Args:
        record_probability: P(recorded | x) of each object, (N,).
        major: What counts as a recent major merger.
    """

    record_probability: np.ndarray
    major: MajorMerger = MAJOR_MERGER

    def rows(self, objects: slice) -> Unconditional:
        """The same of some objects."""
        return Unconditional(self.record_probability[objects], self.major)


def unconditional_columns(
    posterior: Posterior,
    query: Objects,
    samples: np.ndarray,
    unconditional: Unconditional,
) -> pd.DataFrame:
    """Quantiles of the time since collision and the probability of a recent major merger.

    Args:
        posterior: The density.
        query: Objects, a table of them by name, or their inputs (N, L).
        samples: Posterior samples (S, N, D) in catalogue units.
        unconditional: Probability of a record, and what counts as a recent major merger.

    Returns:
        N rows; no column of what is no target.
    """
    inputs = posterior.as_query(query).inputs
    since = time_since_collision(posterior, inputs, samples)
    if since is None:
        return pd.DataFrame(index=range(len(inputs)))
    probability = unconditional.record_probability
    levels = list(_QUANTILES.values())
    quantiles = unconditional_quantiles(since, probability, levels)
    columns = dict(zip(unconditional_names(), quantiles, strict=True))
    ratio_column = posterior.transforms.schema.mass_ratio
    if ratio_column in posterior.targets:
        ratio = samples[..., posterior.targets.index(ratio_column)]
        is_major_recent = unconditional.major.is_so(since, ratio)
        columns[P_MAJOR_RECENT] = probability * is_major_recent.mean(0)
    return pd.DataFrame(columns)
