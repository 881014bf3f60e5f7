"""Owns how one issue of a candidate differs from the champion's before any truth is known. Trips nothing."""
