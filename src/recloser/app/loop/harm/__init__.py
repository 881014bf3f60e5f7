"""Owns finding out who would have served better than a champion that a changed relation harms. Switches nothing."""
