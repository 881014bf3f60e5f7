"""Owns watching from outside: what is absent, and the figures of the control plane. Decides nothing."""
