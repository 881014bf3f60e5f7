"""Owns releases that run as InferenceServices of KServe: starting them, asking them, and the Router that uses them.

Does not split traffic: the gateways in front do, with guard and lease, and never need the cluster's control plane.
"""

from recloser.serving.kserve.api import VERBS, Busy, Expired, KServeApi
from recloser.serving.kserve.keeper import Patience, ServiceKeeper
from recloser.serving.kserve.manifest import ServicePlan, inference_service, service_name
from recloser.serving.kserve.remote import RemoteModel, RemotePlan, RemotePredictor
from recloser.serving.kserve.router import KServeRouter
from recloser.serving.kserve.tending import Tending

__all__ = [
    "VERBS",
    "Busy",
    "Expired",
    "KServeApi",
    "KServeRouter",
    "Patience",
    "RemoteModel",
    "RemotePlan",
    "RemotePredictor",
    "ServiceKeeper",
    "ServicePlan",
    "Tending",
    "inference_service",
    "service_name",
]
