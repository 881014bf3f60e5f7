"""Owns the verbs of the field: what a capture holds, simulated devices, registries of points. Decodes nothing."""
