"""Owns the control-room pages: a first overview. Does not act on models; reads what `app` tells."""

from recloser.console.console import Console

__all__ = ["Console"]
