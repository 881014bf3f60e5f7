"""Owns the pages: documents of `app` become HTML. Decides nothing and reads nothing."""
