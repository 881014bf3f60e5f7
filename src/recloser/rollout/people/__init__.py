"""Owns what people may say about rollouts: approvals bound to evidence, freezes, and how often advice was followed."""
