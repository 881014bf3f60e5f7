"""Owns what can be proved about a ledger: the hash chain, its check, a copy that is equal to it. Decides nothing."""
