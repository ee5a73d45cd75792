"""Maps from HDF5: links, data sets, and the haloes they are of."""
