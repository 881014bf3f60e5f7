"""Owns the pages that look into depth: diagnostics, answers, the replay theatre. Decides nothing and reads nothing."""
