"""Owns the files that pages load: one style sheet, one script, one icon. Nothing comes from anywhere else."""
