"""Owns opening a gateway process's prediction log, and the upkeep of what was logged. Serves nothing."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from recloser.app.platform import Platform
from recloser.app.predictions.mover import Moved, move_all
from recloser.core import Unavailable
from recloser.serving.log import LogInUse, LogPolicy, PredictionLog, StandbyLog
from recloser.store import PredictionTable

MOST_PROCESSES = 64
EVERY = timedelta(minutes=1)
MB = 1024 * 1024


def log_policy(platform: Platform) -> LogPolicy:
    """Return the log's settings of the project file."""
    log = platform.project.gateway.log
    return LogPolicy(
        inputs=log.inputs,
        sync=log.sync,
        segment_bytes=int(log.segment_mb * MB),
        segment_age_s=log.segment_seconds,
        queue_bytes=int(log.queue_mb * MB),
    )


def gateway_log(platform: Platform) -> StandbyLog | None:
    """Return the log of this gateway process, None if the project wants none; a full disk does not stop a gateway."""
    if not platform.project.gateway.log.enabled:
        return None
    policy = log_policy(platform)

    def first_free() -> PredictionLog:
        for number in range(MOST_PROCESSES):
            try:
                folder = platform.layout.predictions / "log" / f"gateway-{number}"
                return PredictionLog(folder, policy, platform.clock)
            except LogInUse:
                continue
        raise Unavailable("no free prediction log", expected=f"at most {MOST_PROCESSES} gateway processes")

    return StandbyLog(first_free)


class PredictionUpkeep:
    """Moves what gateways have logged into the store every minute, and tidies the table once a day.

    Args:
        platform: the project.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._table = PredictionTable(platform.places.predictions)
        self._due: datetime | None = None
        self._tidied: date | None = None

    def tick(self, now: datetime) -> Moved:
        """Do what is due at `now` (aware UTC); gaps and damage get an audit entry.

        Raises:
            Unavailable: log or store cannot be used now.
            Refused: a log folder was tampered with.
        """
        if self._due is not None and now < self._due:
            return Moved()
        self._due = now + EVERY
        moved = move_all(self._platform.layout.predictions / "log", self._table, now)
        if moved.gaps or moved.damaged:
            with self._platform.ledger.change("controller", now) as change:
                change.note("predictions.gap", "predictions", {"gaps": moved.gaps, "damaged": moved.damaged})
        if self._tidied != now.date():
            self._table.tidy()
            self._tidied = now.date()
        return moved
