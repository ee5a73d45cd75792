"""From files to pairs (theta, x): reading, validation, split by cluster, scaling."""
