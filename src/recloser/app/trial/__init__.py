"""Owns trying a candidate as it would be deployed: real gateway, own process. Judges nothing."""
