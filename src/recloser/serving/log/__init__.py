"""Owns the prediction log: every answer, durable in checksummed segments, before it counts as evidence.

Does not move records to the store (that is `app`), judge them, or hold up an answer because a disk is full.
"""

from recloser.journal import Damage, LogInUse, Recovery, Segment, discard, identity_of, keep, quarantine, segments
from recloser.serving.log.note import RequestNote
from recloser.serving.log.policy import LogPolicy, LogStatus
from recloser.serving.log.prediction_log import PredictionLog
from recloser.serving.log.reading import Contents, read_segment
from recloser.serving.log.record import AnswerRecord, AreaAnswer, CloseRecord, Decided, GapRecord, Held, Record
from recloser.serving.log.standby import AnswerLog, StandbyLog

__all__ = [
    "AnswerLog",
    "AnswerRecord",
    "AreaAnswer",
    "CloseRecord",
    "Contents",
    "Damage",
    "Decided",
    "GapRecord",
    "Held",
    "LogInUse",
    "LogPolicy",
    "LogStatus",
    "PredictionLog",
    "Record",
    "Recovery",
    "RequestNote",
    "Segment",
    "StandbyLog",
    "discard",
    "identity_of",
    "keep",
    "quarantine",
    "read_segment",
    "segments",
]
