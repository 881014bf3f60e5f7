"""Owns how requests reach the models: batches without added wait, threads, deadlines, late models.

Does not decide who answers (that is `recloser.serving.scoring`), decode requests or load models.
"""

from recloser.serving.plane.plane import DataPlane, PlanePolicy

__all__ = ["DataPlane", "PlanePolicy"]
