"""Owns the walk over history that no check has seen. Finds nothing itself, and raises no alarm about years ago."""
