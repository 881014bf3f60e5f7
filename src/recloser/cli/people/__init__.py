"""Owns the verbs of people: orders and approvals, tokens and accounts, signing keys. Decides nothing itself."""
