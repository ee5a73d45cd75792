"""Stages that show a run."""
