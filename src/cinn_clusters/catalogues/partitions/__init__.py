"""Catalogues of any size: one sequence of rows, read a range at a time."""
