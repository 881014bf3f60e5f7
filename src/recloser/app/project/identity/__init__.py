"""Owns the tables of the project file about who signs in to the pages. Lets nobody in."""
