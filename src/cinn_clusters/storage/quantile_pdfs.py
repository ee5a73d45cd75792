"""Posteriors of one quantity as quantiles, in the HDF5 layout that ``qp`` reads (``qp.read``).

Group ``meta`` names the representation and its probabilities, ``data/locs`` holds the quantiles of
each PDF (N, Q), and ``ancil/row`` the row of the catalogue that it belongs to.

References:
    Malz, Marshall+18, Approximating photo-z PDFs for large surveys; LSSTDESC qp.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

QUANTILE_LEVELS = np.linspace(0.0, 1.0, 101)
"""Probabilities of the quantiles: all per cents, the least and the largest sample."""
_META = {
    "pdf_name": np.array([b"quant"]),
    "pdf_version": np.array([0]),
    "pdf_constructor_name": np.array([b"piecewise_linear"]),
    "ensure_extent": np.array([True]),
    "quants": QUANTILE_LEVELS[None],
}


def write_quantile_pdfs(
    path: Path, num_pdfs: int, pieces: Iterable[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Write the PDFs of one quantity in pieces.

    Args:
        path: HDF5 file to make.
        num_pdfs: N, PDFs in all.
        pieces: Rows of the catalogue (n,) and quantiles (n, Q) at ``QUANTILE_LEVELS``, in order.
    """
    with h5py.File(path, "w") as file:
        for name, value in _META.items():
            file[f"meta/{name}"] = value
        shape = (num_pdfs, len(QUANTILE_LEVELS))
        locs = file.create_dataset("data/locs", shape, np.float32)
        numbers = file.create_dataset("ancil/row", (num_pdfs,), np.int64)
        begin = 0
        for rows, quantiles in pieces:
            end = begin + len(rows)
            locs[begin:end], numbers[begin:end] = quantiles, rows
            begin = end
