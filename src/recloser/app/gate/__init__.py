"""Owns what people ask of the gate: why a candidate passed or not, and to set a check aside. Judges nothing."""
