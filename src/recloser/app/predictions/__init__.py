"""Owns what `app` does with logged predictions: opening the gateway's log, moving it to the store. Judges nothing."""
