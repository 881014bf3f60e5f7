"""Owns the reasons behind a forecast: what inputs are called, and what the last model says of them."""
