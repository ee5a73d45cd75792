"""Whether a model applies: to one object, to a sample, and how likely a collision is recorded at
all.
"""
