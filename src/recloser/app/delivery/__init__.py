"""Owns telling consumers of recalls: notices of the ledger go to webhooks, at least once. Recalls nothing."""
