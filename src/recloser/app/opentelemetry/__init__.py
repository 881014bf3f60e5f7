"""Owns traces: spans of requests, runs and rollouts, and their way to a collector. Alone knows the library."""
