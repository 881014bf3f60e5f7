"""Owns freezes: windows in which nothing is promoted or deployed. A freeze never stops a rollback (I3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recloser.core import InvalidInput, format_utc, require_utc
from recloser.core.cron import Cron
from recloser.ledger import FreezeRecord

LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Recurring:
    """A freeze that begins at each time of `begins` and lasts `lasts`, at most a year.

    Raises:
        InvalidInput: it lasts no time, or longer than a year.
    """

    reason: str
    begins: Cron
    lasts: timedelta

    def __post_init__(self) -> None:
        if not timedelta(0) < self.lasts <= LONGEST:
            raise InvalidInput("a freeze's length", got=str(self.lasts), expected="> 0, <= 366 days", where="freeze")


@dataclass(frozen=True, slots=True)
class Frozen:
    """One freeze in force: why, since when, until when (None: until it is lifted), and its record's key if any."""

    reason: str
    since: datetime
    until: datetime | None
    key: str | None = None

    def sentence(self) -> str:
        """Return it in plain words."""
        end = "until it is lifted" if self.until is None else f"until {format_utc(self.until)}"
        return f"{self.reason} ({end})"


def in_force(windows: Iterable[Recurring], records: Iterable[FreezeRecord], now: datetime) -> tuple[Frozen, ...]:
    """Return the freezes in force at `now` (aware UTC); begin inclusive, end exclusive; a lifted one is not."""
    instant = require_utc(now, "freeze.in_force")
    found = [
        Frozen(record.reason, record.starts_at, record.ends_at, record.key)
        for record in records
        if record.lifted_at is None
        and record.starts_at <= instant
        and (record.ends_at is None or instant < record.ends_at)
    ]
    for window in windows:
        begun = window.begins.latest(instant, window.lasts)
        if begun is not None:
            found.append(Frozen(window.reason, begun, begun + window.lasts))
    return tuple(found)


def freeze_reason(frozen: Sequence[Frozen]) -> str:
    """Return why promotions are frozen, in plain words; empty when they are not."""
    return "; ".join(item.sentence() for item in frozen)
