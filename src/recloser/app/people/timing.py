"""Owns in whose time a verb looks at a rollout: the controller's, or, where none leads, the data's. Moves no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from recloser.app.platform import Platform
from recloser.app.verbs import newest_instant
from recloser.core import LOAD, VirtualClock, parse_utc
from recloser.ledger import StateRecord

LEADER = "leader/controller"


@dataclass(frozen=True, slots=True)
class TimeBase:
    """An instant (aware UTC), and whose it is: `clock` while a controller leads, else `data`."""

    at: datetime
    by: Literal["clock", "data"]


def controller_leads(platform: Platform) -> bool:
    """Return whether a controller leads by the ledger; one that was killed leads until its lease ends."""
    record = platform.ledger.get(StateRecord, LEADER)
    return record is not None and platform.today() < parse_utc(record.state["until"], LEADER)


def time_base(platform: Platform) -> TimeBase:
    """Return the instant at which rollouts stand: by the clock, or where the data ends if no controller leads."""
    if controller_leads(platform) or platform.store.extent(LOAD) is None:
        return TimeBase(platform.today(), "clock")
    return TimeBase(newest_instant(platform), "data")


def live_in(platform: Platform, base: TimeBase) -> None:
    """Let the platform live at that instant; approvals, waivers and freezes go on by the clock of people."""
    if base.by == "data":
        platform.clock = VirtualClock(base.at)
