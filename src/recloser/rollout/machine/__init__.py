"""Owns the parts of the state machine: its table, what a step is, protections, and the way forward."""
