"""Owns taking in deliveries of forges, registries and programs for a project. Reads and decides nothing of them."""
