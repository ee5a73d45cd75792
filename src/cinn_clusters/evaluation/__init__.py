"""Posteriors against known histories: tables in, numbers out."""
