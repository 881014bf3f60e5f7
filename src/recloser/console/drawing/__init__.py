"""Owns drawing: numbers become inline SVG that is read without colour, scaled and printed. Reads nothing."""
