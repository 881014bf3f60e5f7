"""Owns rollouts: the state machine from queue to champion and back, its statistics, recall and the controller.

Does not train or check models, answer requests, or store truth.
"""

from recloser.rollout.changes import Settings, Writes
from recloser.rollout.control.router import Router, Verify
from recloser.rollout.controller import Outcome, RolloutController
from recloser.rollout.decide import Action, Target, apply, decide
from recloser.rollout.evidence import Command, CommandKind, CutOff, Evidence, EvidenceSource, trailing_exceedances
from recloser.rollout.paired.losses import Loss, alarm_cost, brier_loss, log_loss, quantile_loss
from recloser.rollout.paired.pairing import AreaDay, DayRule, PairedDay, area_difference, close_day, merge_days
from recloser.rollout.paired.retreat import Harm, LossDay, RetreatPlan, Rival, judged, loss_day
from recloser.rollout.paired.soundness import unsound, why_unknown
from recloser.rollout.people.agreement import agreement
from recloser.rollout.people.approval import Approval
from recloser.rollout.people.freeze import Frozen, Recurring, freeze_reason, in_force
from recloser.rollout.people.orders import Order
from recloser.rollout.people.proposers import Proposers, identity
from recloser.rollout.plan import CanaryStep, Promotion, RolloutPlan
from recloser.rollout.recall import Recall, RecallPlan, recall_plan, record_of, served_of
from recloser.rollout.rollout import Rollout, RolloutState, new_rollout
from recloser.rollout.telling.explain import explain
from recloser.rollout.telling.reach import reach_words

__all__ = [
    "Action",
    "Approval",
    "AreaDay",
    "CanaryStep",
    "Command",
    "CommandKind",
    "CutOff",
    "DayRule",
    "Evidence",
    "EvidenceSource",
    "Frozen",
    "Harm",
    "Loss",
    "LossDay",
    "Order",
    "Outcome",
    "PairedDay",
    "Promotion",
    "Proposers",
    "Recall",
    "RecallPlan",
    "Recurring",
    "RetreatPlan",
    "Rival",
    "Rollout",
    "RolloutController",
    "RolloutPlan",
    "RolloutState",
    "Router",
    "Settings",
    "Target",
    "Verify",
    "Writes",
    "agreement",
    "alarm_cost",
    "apply",
    "area_difference",
    "brier_loss",
    "close_day",
    "decide",
    "explain",
    "freeze_reason",
    "identity",
    "in_force",
    "judged",
    "log_loss",
    "loss_day",
    "merge_days",
    "new_rollout",
    "quantile_loss",
    "reach_words",
    "recall_plan",
    "record_of",
    "served_of",
    "trailing_exceedances",
    "unsound",
    "why_unknown",
]
