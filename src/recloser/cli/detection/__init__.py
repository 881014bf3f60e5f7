"""Owns the verbs of projects that detect events in phasors. Decides nothing."""
