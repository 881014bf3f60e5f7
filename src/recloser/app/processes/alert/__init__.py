"""Owns being told soon: that the ledger was written to, that a gateway cut a challenger off. Acts on nothing."""
