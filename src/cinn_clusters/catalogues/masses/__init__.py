"""Masses of other definitions, other observables and other apertures, each from its relation."""
