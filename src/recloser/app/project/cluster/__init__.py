"""Owns the tables of the project file about clusters that releases run on."""
