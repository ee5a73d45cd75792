"""What a run, a model, a posterior and a map store look like on disk."""
