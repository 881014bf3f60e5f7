"""Owns when to retrain: triggers, schedule, policy and the record of every start and skip.

Does not detect drift, run pipelines or roll anything out.
"""

from recloser.triggers.decide import Decision, TriggerPolicy, decide
from recloser.triggers.desk import QUEUE, Surroundings, TriggerDesk
from recloser.triggers.schedule import CronSchedule, Every, Recurrence, Schedule
from recloser.triggers.trigger import (
    Code,
    History,
    Past,
    Trigger,
    TriggerKind,
    api_trigger,
    commit_trigger,
    data_trigger,
    from_signals,
)

__all__ = [
    "QUEUE",
    "Code",
    "CronSchedule",
    "Decision",
    "Every",
    "History",
    "Past",
    "Recurrence",
    "Schedule",
    "Surroundings",
    "Trigger",
    "TriggerDesk",
    "TriggerKind",
    "TriggerPolicy",
    "api_trigger",
    "commit_trigger",
    "data_trigger",
    "decide",
    "from_signals",
]
