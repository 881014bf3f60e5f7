"""Owns who is believed: keys, their rotation and revocation, signed documents, attestations about packages.

Does not know what a package holds.
"""
