"""Owns the composition root: project file, wired rooms, control loops, processes, replay in virtual time.

Does not decide anything that a room decides, and prints nothing.
"""

from recloser.app.backup.restoring import restore_backup
from recloser.app.backup.writing import verify_backup, write_backup
from recloser.app.clock import SystemClock
from recloser.app.doctor import check_installation
from recloser.app.events.template import scaffold_events
from recloser.app.events.verbs import label_of_event, list_events, missed_event
from recloser.app.explanations import explain_rollout
from recloser.app.gate.explaining import explain_gate
from recloser.app.gate.rehearsing import check_project
from recloser.app.gate.waiving import waive_check
from recloser.app.inlets.hooking import tell_pushes, to_gateway, to_project
from recloser.app.inlets.telling import list_triggers
from recloser.app.intake import ingest_file
from recloser.app.logs.reading import LogAsk
from recloser.app.logs.told import told
from recloser.app.people.acts import approve_rollout, order_rollout
from recloser.app.people.advice import told_agreement
from recloser.app.people.freezes import add_freeze, lift_freeze, list_freezes
from recloser.app.platform import Platform
from recloser.app.processes.process import Assignment, assigned, say_of
from recloser.app.processes.server import listen
from recloser.app.processes.supervisor import run_up
from recloser.app.project.ci.writing import write_ci
from recloser.app.project.scaffold import scaffold
from recloser.app.releases.bundles import install_bundle, make_bundle, verify_bundle
from recloser.app.releases.dossiers import make_dossier, verify_dossier
from recloser.app.releases.keys import list_keys, revoke_signing_key, rotate_signing_key, sign_release
from recloser.app.releases.lineage import export_lineage
from recloser.app.releases.packages import score_package, verify_package, write_context, write_image, write_openssf
from recloser.app.releases.promotion.accepting import accept_offer, check_offer
from recloser.app.releases.promotion.offering import Terms, offer_release
from recloser.app.releases.serving import ServePlan, serve_package
from recloser.app.replay.demo import DemoOptions, run_demo
from recloser.app.replay.run import ReplayOptions, replay_project
from recloser.app.requests import ask_to_retrain
from recloser.app.security.accounts import MAY, Account, add_account, list_accounts, remove_account, set_password
from recloser.app.security.gatekeeping import console_tls
from recloser.app.security.oidc.flow import SingleSignOn
from recloser.app.security.oidc.owners import free_name
from recloser.app.security.sessions import Session
from recloser.app.security.tokens import add_token, list_tokens, revoke_token
from recloser.app.showing.pages import Shown, replayed, show_pages
from recloser.app.verbs import (
    current_forecast,
    forecast_rows,
    operator_rollback,
    project_status,
    run_pipeline,
    show_audit,
    verify_audit,
)
from recloser.app.views.overview import OverviewAsk, overview
from recloser.app.views.room import ControlRoom
from recloser.app.views.theatre.document import Where
from recloser.app.views.why import explain_forecast
from recloser.app.watchman.watching import watch_alone
from recloser.serving.http import Wish
from recloser.serving.http.people.desk import Kind

__all__ = [
    "MAY",
    "Account",
    "Assignment",
    "ControlRoom",
    "DemoOptions",
    "Kind",
    "LogAsk",
    "OverviewAsk",
    "Platform",
    "ReplayOptions",
    "ServePlan",
    "Session",
    "Shown",
    "SingleSignOn",
    "SystemClock",
    "Terms",
    "Where",
    "Wish",
    "accept_offer",
    "add_account",
    "add_freeze",
    "add_token",
    "approve_rollout",
    "ask_to_retrain",
    "assigned",
    "check_installation",
    "check_offer",
    "check_project",
    "console_tls",
    "current_forecast",
    "explain_forecast",
    "explain_gate",
    "explain_rollout",
    "export_lineage",
    "forecast_rows",
    "free_name",
    "ingest_file",
    "install_bundle",
    "label_of_event",
    "lift_freeze",
    "list_accounts",
    "list_events",
    "list_freezes",
    "list_keys",
    "list_tokens",
    "list_triggers",
    "listen",
    "make_bundle",
    "make_dossier",
    "missed_event",
    "offer_release",
    "operator_rollback",
    "order_rollout",
    "overview",
    "project_status",
    "remove_account",
    "replay_project",
    "replayed",
    "restore_backup",
    "revoke_signing_key",
    "revoke_token",
    "rotate_signing_key",
    "run_demo",
    "run_pipeline",
    "run_up",
    "say_of",
    "scaffold",
    "scaffold_events",
    "score_package",
    "serve_package",
    "set_password",
    "show_audit",
    "show_pages",
    "sign_release",
    "tell_pushes",
    "to_gateway",
    "to_project",
    "told",
    "told_agreement",
    "verify_audit",
    "verify_backup",
    "verify_bundle",
    "verify_dossier",
    "verify_package",
    "waive_check",
    "watch_alone",
    "write_backup",
    "write_ci",
    "write_context",
    "write_image",
    "write_openssf",
]
