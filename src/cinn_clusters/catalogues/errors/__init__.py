"""Errors, limits and correlations that published tables state."""
