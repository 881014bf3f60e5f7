"""Owns the logs of processes: a line with its ids, the bounded file it is appended to, reading it from the end."""
