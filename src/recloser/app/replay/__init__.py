"""Owns replay and demo: recorded or simulated history through the loop in virtual time, scored and reported."""
