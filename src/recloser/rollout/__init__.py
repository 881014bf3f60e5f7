"""Owns rollouts: the state machine from queue to champion and back, its statistics, recall and the controller.

Does not train or check models, answer requests, or store truth.
"""

from recloser.rollout.changes import Settings, Writes
from recloser.rollout.controller import Outcome, RolloutController, Router, Verify
from recloser.rollout.decide import Action, Target, apply, decide
from recloser.rollout.evidence import Command, CommandKind, CutOff, Evidence, EvidenceSource, trailing_exceedances
from recloser.rollout.explain import explain
from recloser.rollout.pairing import AreaDay, DayRule, PairedDay, area_difference, close_day, merge_days
from recloser.rollout.plan import CanaryStep, Promotion, RolloutPlan
from recloser.rollout.recall import Recall, RecallPlan, recall_plan, record_of, served_of
from recloser.rollout.rollout import Rollout, RolloutState, new_rollout

__all__ = [
    "Action",
    "AreaDay",
    "CanaryStep",
    "Command",
    "CommandKind",
    "CutOff",
    "DayRule",
    "Evidence",
    "EvidenceSource",
    "Outcome",
    "PairedDay",
    "Promotion",
    "Recall",
    "RecallPlan",
    "Rollout",
    "RolloutController",
    "RolloutPlan",
    "RolloutState",
    "Router",
    "Settings",
    "Target",
    "Verify",
    "Writes",
    "apply",
    "area_difference",
    "close_day",
    "decide",
    "explain",
    "merge_days",
    "new_rollout",
    "recall_plan",
    "record_of",
    "served_of",
    "trailing_exceedances",
]
