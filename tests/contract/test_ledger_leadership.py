"""One leader at a time, and no write of an older one, on both databases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recloser.core import Refused, Unavailable, VirtualClock
from recloser.ledger import Leadership, Ledger, PinRecord, StateRecord

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
LEASE = timedelta(minutes=10)


@pytest.fixture
def ledgers(ledger_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    """The ledger as two processes see it."""
    with Ledger.open(ledger_url) as one, Ledger.open(ledger_url) as two:
        yield one, two


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


def lead(ledger: Ledger, clock: Any, holder: str = "one") -> Leadership:
    return Leadership(ledger, "controller", holder, clock, LEASE)


def write(ledger: Ledger, key: str) -> None:
    with ledger.change(actor="test", now=NOW) as change:
        change.put(PinRecord(key, "samples", 3, "d" * 64, "run-1", NOW))
        change.note("test.put", key)


def wait_for_the_hold(ledger: Ledger) -> None:
    """PostgreSQL takes a moment to notice that a session has ended; a controller is started again until then."""
    for _ in range(600):
        with suppress(Unavailable), ledger.hold("controller"):
            return
        time.sleep(0.05)
    raise AssertionError("the hold is never given back")


def leaders(ledger: Ledger) -> list[tuple[str, int, str]]:
    found = [entry for entry in ledger.entries() if entry.action.startswith("leader.")]
    return [(entry.action, entry.facts["epoch"], entry.facts["holder"]) for entry in found]


def test_the_next_leader_has_the_next_epoch(ledgers: tuple[Ledger, Ledger], clock: VirtualClock) -> None:
    one, two = ledgers
    with lead(one, clock) as first:
        with pytest.raises(Unavailable, match="another process leads") as caught, lead(two, clock, "two"):
            pass
        assert caught.value.got == "one"
        write(first.ledger, "p1")
        assert first.keep()
    wait_for_the_hold(two)
    clock.advance_to(NOW + LEASE)
    with lead(two, clock, "two") as second:
        write(second.ledger, "p2")
        assert (first.epoch, second.epoch) == (1, 2)
        assert not first.keep()
    assert leaders(one) == [("leader.begin", 1, "one"), ("leader.begin", 2, "two")]
    assert one.verify().ok


def test_a_leader_that_wakes_up_after_another_took_the_lead_writes_nothing(
    ledgers: tuple[Ledger, Ledger], clock: VirtualClock
) -> None:
    one, two = ledgers
    with ExitStack() as stack:
        paused = stack.enter_context(lead(one, clock))  # it keeps the hold: its process lives
        clock.advance_to(NOW + LEASE)
        awake = stack.enter_context(lead(two, clock, "two"))
        write(awake.ledger, "p1")
        with pytest.raises(Refused, match="another process leads by now"):
            write(paused.ledger, "p2")
        with pytest.raises(Refused, match="another process leads by now"):
            write(paused.ledger, "p1")
        assert not paused.keep()
        write(one, "p3")  # a person's command is no leader's write
    assert [record.key for record in two.find(PinRecord)] == ["p1", "p3"]
    assert one.verify().ok


def test_a_leader_without_the_hold_is_left_in_peace_until_its_lease_ends_or_it_says_so(
    ledgers: tuple[Ledger, Ledger], clock: VirtualClock
) -> None:
    one, two = ledgers
    with lead(one, clock):
        clock.advance_to(NOW + LEASE)
        awake = lead(two, clock, "two")
        awake.__enter__()
    with pytest.raises(Unavailable, match="another process leads"), lead(one, clock, "restarted"):
        pass  # it got the hold, for the paused one has ended; but the one that leads had none to lose
    clock.advance_to(NOW + 1.6 * LEASE)
    assert awake.keep()  # renews, and takes the hold that is free now
    state = one.get(StateRecord, "leader/controller")
    assert state is not None
    assert state.state["held"] is True
    awake.__exit__(None, None, None)
    with lead(one, clock, "restarted") as restarted:
        assert restarted.epoch == 3


def test_a_lease_is_renewed_when_half_of_it_is_used_up_or_the_clock_was_set_back(
    ledgers: tuple[Ledger, Ledger], clock: VirtualClock
) -> None:
    one, _ = ledgers
    with lead(one, clock) as first:
        for minutes in (1, 4, 6, 7):
            clock.advance_to(NOW + timedelta(minutes=minutes))
            assert first.keep()
        first._clock = VirtualClock(NOW - timedelta(hours=1))
        assert first.keep()
        assert first.keep()
    assert [action for action, _, _ in leaders(one)] == ["leader.begin", "leader.renew", "leader.renew"]
