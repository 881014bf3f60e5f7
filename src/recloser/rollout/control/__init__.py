"""Owns what the controller does with the world outside: reading records, verifying releases, writing, the router."""
