"""Owns the processes of `recloser up`: gateway, controller and their supervisor."""
