"""Owns a Pipeline's way to Kubeflow Pipelines: compiled, run locally, or sent to a cluster. kfp stays in here."""

from recloser.engines.kubeflow.api import KubeflowApi, RunPlace
from recloser.engines.kubeflow.cluster import ClusterEngine, Following
from recloser.engines.kubeflow.compiling import compile_fleet, compile_pipeline, ir_digest, load_ir
from recloser.engines.kubeflow.local_runner import KubeflowEngine
from recloser.engines.kubeflow.target import KubeflowTarget, Resources, SecretGiven, TaskPlan

__all__ = [
    "ClusterEngine",
    "Following",
    "KubeflowApi",
    "KubeflowEngine",
    "KubeflowTarget",
    "Resources",
    "RunPlace",
    "SecretGiven",
    "TaskPlan",
    "compile_fleet",
    "compile_pipeline",
    "ir_digest",
    "load_ir",
]
