"""Compiled kernels of the flows: the same maps as those of PyTorch, several times faster."""
