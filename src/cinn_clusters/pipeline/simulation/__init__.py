"""Stages on tables whose histories are known."""
