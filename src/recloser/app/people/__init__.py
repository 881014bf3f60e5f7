"""Owns what people ask of a project: approvals and other acts about rollouts, freezes. Decides nothing."""
