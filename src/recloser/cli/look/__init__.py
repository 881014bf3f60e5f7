"""Owns the verbs that show pages to people. Draws nothing."""
