"""Write the table of the clocks of the catalogue: python docs/build_clocks.py.

A spline of astropy's ages takes a third of a second of imports to make, a fifth of the time of the
answer for one cluster. ``tests/test_cosmology.py`` compares the table with astropy.
"""

from __future__ import annotations

import numpy as np
from astropy.cosmology import FlatLambdaCDM, Planck15
from scipy.interpolate import CubicSpline

from cinn_clusters.cosmology import CLOCKS, HUBBLE_CONSTANT, MAX_REDSHIFT, OMEGA_MATTER

NUM_KNOTS = 600


def main() -> None:
    """Interpolate values of astropy by cubic splines."""
    stretch = np.linspace(0.0, np.log1p(MAX_REDSHIFT), NUM_KNOTS)
    redshift = np.expm1(stretch)
    catalogue = FlatLambdaCDM(H0=HUBBLE_CONSTANT, Om0=OMEGA_MATTER)
    lookback = catalogue.lookback_time(redshift).value
    age = Planck15.age(redshift).value
    splines = {
        "age_of_lookback": CubicSpline(lookback, age),
        "redshift_of_lookback": CubicSpline(lookback, redshift),
        "lookback_of_redshift": CubicSpline(redshift, lookback),
    }
    tables = {}
    for name, spline in splines.items():
        tables[f"{name}_knots"] = spline.x
        tables[f"{name}_coefficients"] = spline.c[::-1]
    np.savez(CLOCKS, **tables)


if __name__ == "__main__":
    main()
