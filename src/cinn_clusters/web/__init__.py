"""Pages that run a model in a browser."""
