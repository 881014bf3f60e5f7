"""Owns the pipeline of a detector of grid events: windows, train, evaluate, package, judge. Runs no detector."""
