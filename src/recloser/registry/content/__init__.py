"""Owns the documents inside a package beside model and golden rows: schema, card, lock, wheelhouse, entry point, SBOM.

All are data, made from facts that are handed in; equal facts give equal bytes. Does not build or sign packages.
"""
