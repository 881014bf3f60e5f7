"""Owns the release dossier: one signed document that tells an auditor what a release is and why it was let in.

It repeats what package, ledger and gate say; it judges nothing and certifies nothing.
"""
