"""Owns which gateway process of which host is which, and what gateways of several hosts tell each other."""
