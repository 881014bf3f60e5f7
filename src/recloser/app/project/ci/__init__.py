"""Owns the files that let a forge's CI check, judge and promote a project."""
