"""Normalising flows: exact, invertible maps between targets and a Gaussian, conditioned on
observables.
"""
