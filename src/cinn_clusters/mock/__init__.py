"""A forward model: mock clusters with known histories, their catalogue and their X-ray maps."""
