"""Figures: arrays in, a matplotlib Figure out. Nothing here reads or writes a file."""
