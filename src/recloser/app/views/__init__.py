"""Owns what the console shows, as documents that are JSON-ready. Draws nothing and decides nothing."""
