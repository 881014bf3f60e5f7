"""Owns what people do with releases besides serving them: keys, packages, bundles, dossiers, lineage."""
