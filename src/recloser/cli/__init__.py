"""Owns the command line: arguments, exit codes and text for people. Does not own any behaviour."""

from recloser.cli.main import main

__all__ = ["main"]
