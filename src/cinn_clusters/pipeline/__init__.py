"""Stages: files in, files out. The only place where files meet models."""
