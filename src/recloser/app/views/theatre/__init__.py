"""Owns the replay theatre: any moment of a project's life as it was known then. Decides nothing and draws nothing."""
