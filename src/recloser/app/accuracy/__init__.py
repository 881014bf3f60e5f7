"""Owns what status and replays say about accuracy in detail. Measures nothing itself."""
