"""Embedded clusters with known histories."""
