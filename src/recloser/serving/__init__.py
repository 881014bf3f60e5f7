"""Owns the inference gateway: route, guard, fallback ladder, local trip, and (in `serving.http`) its HTTP transport.

Does not train, load or verify models, decide rollouts, or store what it served.
"""

from recloser.serving.answer import Answer, Incident
from recloser.serving.gateway import Gateway
from recloser.serving.guard import GuardPolicy
from recloser.serving.limits import AssetLimits, limits_from
from recloser.serving.predictor import Predictor
from recloser.serving.route import NAIVE, Arm, Route, arm_of
from recloser.serving.seen import ranges_of
from recloser.serving.trips import Cut

__all__ = [
    "NAIVE",
    "Answer",
    "Arm",
    "AssetLimits",
    "Cut",
    "Gateway",
    "GuardPolicy",
    "Incident",
    "Predictor",
    "Route",
    "arm_of",
    "limits_from",
    "ranges_of",
]
