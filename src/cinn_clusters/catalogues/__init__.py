"""Published catalogues: files with units, mappings of their columns, conversion to what the
simulation calls things.
"""
