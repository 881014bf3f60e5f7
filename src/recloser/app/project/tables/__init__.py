"""Owns the tables of the project file, a file each: keys, defaults, errors. Opens nothing they name."""
