"""Owns the control-room pages: levels of display, live updates, drawings. Decides nothing; reads what `app` tells."""

from recloser.console.console import Console

__all__ = ["Console"]
