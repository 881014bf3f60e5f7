"""Owns the composition root: project file, wired rooms, control loops, processes, replay in virtual time.

Does not decide anything that a room decides, and prints nothing.
"""

from recloser.app.doctor import check_installation
from recloser.app.explanations import explain_gate, explain_rollout
from recloser.app.intake import ingest_file
from recloser.app.overview import overview
from recloser.app.people.acts import approve_rollout, order_rollout
from recloser.app.people.freezes import add_freeze, lift_freeze, list_freezes
from recloser.app.platform import Platform
from recloser.app.processes.process import Assignment, assigned
from recloser.app.processes.server import listen
from recloser.app.processes.supervisor import run_up
from recloser.app.project.scaffold import scaffold
from recloser.app.replay.demo import DemoOptions, run_demo
from recloser.app.replay.run import ReplayOptions, replay_project
from recloser.app.requests import ask_to_retrain
from recloser.app.security.tokens import add_token, list_tokens, revoke_token
from recloser.app.verbs import (
    current_forecast,
    forecast_rows,
    operator_rollback,
    project_status,
    run_pipeline,
    verify_audit,
)

__all__ = [
    "Assignment",
    "DemoOptions",
    "Platform",
    "ReplayOptions",
    "add_freeze",
    "add_token",
    "approve_rollout",
    "ask_to_retrain",
    "assigned",
    "check_installation",
    "current_forecast",
    "explain_gate",
    "explain_rollout",
    "forecast_rows",
    "ingest_file",
    "lift_freeze",
    "list_freezes",
    "list_tokens",
    "listen",
    "operator_rollback",
    "order_rollout",
    "overview",
    "project_status",
    "replay_project",
    "revoke_token",
    "run_demo",
    "run_pipeline",
    "run_up",
    "scaffold",
    "verify_audit",
]
