"""Owns telling a forge what became of a commit: its gate and its rollout, as commit statuses."""
