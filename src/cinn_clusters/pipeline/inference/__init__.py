"""Stages that answer for a catalogue."""
