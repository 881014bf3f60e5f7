"""Owns the project folder: settings, layout on disk, scaffold and the user's own Python file."""
