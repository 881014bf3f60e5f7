"""Owns backups of a whole project: taken while it works, verified, restored elsewhere. Schedules none."""
