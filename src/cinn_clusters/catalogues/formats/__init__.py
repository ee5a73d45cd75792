"""Formats of tables that need more than a library call: FITS, VOTable, Parquet, their metadata."""
