"""Owns lineage: what came from what, from file to forecast, as OpenLineage events drawn from the audit log."""
