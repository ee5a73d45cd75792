"""Stages of X-ray maps."""
