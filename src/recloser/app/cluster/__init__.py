"""Owns what the command line asks of a Kubeflow cluster. Runs no step."""
