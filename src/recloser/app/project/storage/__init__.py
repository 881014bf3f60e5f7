"""Owns where the tables of a project lie: the project's folder, or a bucket. Reads no row."""
