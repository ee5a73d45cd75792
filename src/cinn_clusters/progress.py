"""How far a long piece of work has come: one value for every callback of the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A step of a long piece of work.

    Args:
        done: Amount that is done, in units of ``total``.
        total: Amount of work in all, or None where it is not known beforehand.
        what: Name of the work in a few words, such as ``train`` or ``fold 2``.
        note: What a person would like to see beside the bar, such as the losses of an epoch.

    Examples:
        >>> Progress(3, 12, "train").share
        0.25
    """

    done: float
    total: float | None
    what: str
    note: str = ""

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]; 0 where the amount of work is not known."""
        if not self.total:
            return 0.0
        return min(self.done / self.total, 1.0)


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Show nothing: the default of every callback."""
