"""Owns the three questions: are the data at fault, have the inputs moved, has the relation changed; with their actions.

Finds nothing itself and starts nothing: pure functions of findings, changes and signals.
"""

from recloser.monitoring.questions.action import Action, action_of
from recloser.monitoring.questions.attribution import Attributed, Witnesses, attribute, change_signals
from recloser.monitoring.questions.news import News, Standing, news

__all__ = [
    "Action",
    "Attributed",
    "News",
    "Standing",
    "Witnesses",
    "action_of",
    "attribute",
    "change_signals",
    "news",
]
