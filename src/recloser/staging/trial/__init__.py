"""Owns trying a candidate as it would be deployed: load, latency, environment, golden answers. Starts no process."""
