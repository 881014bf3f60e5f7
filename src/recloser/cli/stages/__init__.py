"""Owns the verbs that take a release from stage to stage."""
