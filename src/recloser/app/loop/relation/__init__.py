"""Owns the third question area by area, has the relation changed: feeds the detectors, records what they say."""
