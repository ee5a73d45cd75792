"""Whether a model applies: to an object, to a sample, and how likely it was selected at all."""
