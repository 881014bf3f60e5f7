"""Owns showing a project, or a replay that is over, by the pages alone. Decides nothing and changes nothing."""
