"""Owns the composition root."""
