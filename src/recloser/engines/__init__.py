"""Owns the running of a Pipeline, here or on Kubeflow, and its record. Does not own steps, schedules or triggers."""

from recloser.engines.apart import StepApart
from recloser.engines.book import RunBook
from recloser.engines.engine import Engine, ProgressListener, RetryPolicy, RunOutcome, StepProgress
from recloser.engines.kubeflow import KubeflowEngine, KubeflowTarget
from recloser.engines.local import LocalEngine
from recloser.engines.step import StepRunner, StepWork

__all__ = [
    "Engine",
    "KubeflowEngine",
    "KubeflowTarget",
    "LocalEngine",
    "ProgressListener",
    "RetryPolicy",
    "RunBook",
    "RunOutcome",
    "StepApart",
    "StepProgress",
    "StepRunner",
    "StepWork",
]
