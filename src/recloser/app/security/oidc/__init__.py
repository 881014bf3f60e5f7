"""Owns signing in by an OpenID Connect provider: its word fetched, verified, and turned into a person with roles."""
