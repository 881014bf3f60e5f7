"""Recloser: the MLOps platform for AI models that run the electric grid."""

__version__ = "0.1.0"
