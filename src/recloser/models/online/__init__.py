"""Owns what a release learns in use beside its calibration. Trains nothing."""
