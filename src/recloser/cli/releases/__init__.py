"""Owns the verbs of finished releases: packages and bundles, dossiers and lineage. Owns no behaviour."""
