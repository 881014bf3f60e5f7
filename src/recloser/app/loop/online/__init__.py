"""Owns what releases learn in use, as kept in the ledger. Decides nothing about models."""
