"""Owns how a replay is told: files of the report, page with plots, tables, what was shown. Runs and scores nothing."""
