"""Owns what people are told of a rollout: why it stands where it stands, what would change that. Decides nothing."""
