"""Owns the statistics of paired days: losses, days, betting, sequence, watch. Decides nothing, reads no store."""
