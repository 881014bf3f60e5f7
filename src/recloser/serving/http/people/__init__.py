"""Owns what people and their programs ask over HTTP: approve, reject, hold, freeze, roll back. Decides nothing."""
