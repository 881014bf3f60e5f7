"""The desk on a real ledger: decisions are recorded once, the queue survives, crashes leave a start to be found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recloser.core import InvalidInput, VirtualClock
from recloser.ledger import Ledger, RunRecord, SignalRecord, TriggerRecord
from recloser.triggers import Code, Surroundings, TriggerDesk, TriggerPolicy, api_trigger

BEGUN = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CALM = Surroundings(BEGUN, frozenset("ab"))


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


@pytest.fixture
def clock():
    return VirtualClock(BEGUN + 60 * DAY)


@pytest.fixture
def desk(ledger, clock):
    return TriggerDesk(ledger, TriggerPolicy(), clock)


def put_signal(ledger, clock, key, signal_class, *, closed=False):
    now = clock.now()
    with ledger.change("monitor", now) as change:
        change.put(SignalRecord(key, now, signal_class, "high", ["a"], now, "why", {}, now if closed else None))
        change.note("signal", key)


def test_a_drift_is_started_once_and_its_run_attached(ledger, clock, desk):
    put_signal(ledger, clock, "s1", "concept_drift")
    (decision,) = desk.tick([], CALM)
    assert decision.code is Code.STARTED
    assert desk.tick([], CALM) == []
    assert [record.key for record in desk.unattended()] == ["signal:s1/started"]
    desk.attach(decision, "run-1")
    assert [record.run for record in desk.unattended()] == ["run-1"]  # named, but it has not begun
    run = RunRecord("run-1", "drift", "why", clock.now(), "running", clock.now(), None, None, None, {})
    with ledger.change("engine", clock.now()) as change:
        change.put(run)
        change.note("run.start", "run-1")
    assert desk.unattended() == []
    assert ledger.get(TriggerRecord, "signal:s1/started").run == "run-1"
    assert [entry.action for entry in ledger.entries()] == ["signal", "trigger.start", "trigger.run", "run.start"]
    assert ledger.verify().ok


def test_a_fault_holds_the_drift_back_until_it_is_closed(ledger, clock, desk):
    put_signal(ledger, clock, "s1", "concept_drift")
    put_signal(ledger, clock, "f1", "data_fault")
    (decision,) = desk.tick([], CALM)
    assert (decision.decision, decision.code) == ("skip", Code.DATA_FAULT)
    assert "data fault is open on a" in ledger.find(TriggerRecord)[0].why
    put_signal(ledger, clock, "f1", "data_fault", closed=True)
    assert desk.tick([], CALM)[0].code is Code.STARTED


def test_the_queue_survives_a_restart(ledger, clock, desk):
    put_signal(ledger, clock, "s1", "degradation")
    assert desk.tick([], Surroundings(BEGUN, rollout_live=True))[0].code is Code.QUEUED
    clock.advance_to(clock.now() + DAY)
    assert TriggerDesk(ledger, TriggerPolicy(), clock).tick([], CALM)[0].code is Code.STARTED


def test_a_signal_that_closes_while_its_trigger_waits_starts_nothing(ledger, clock, desk):
    put_signal(ledger, clock, "s1", "degradation")
    assert desk.tick([], Surroundings(BEGUN, rollout_live=True))[0].code is Code.QUEUED
    put_signal(ledger, clock, "s1", "degradation", closed=True)
    clock.advance_to(clock.now() + DAY)
    (decision,) = desk.tick([], CALM)
    assert (decision.decision, decision.code) == ("skip", Code.EXPIRED)
    assert "closed while it waited" in decision.why
    assert desk.tick([], CALM) == []


def test_the_cooldown_counts_from_the_ledger(ledger, clock, desk):
    desk.tick([api_trigger("ann", "first", clock.now())], CALM)
    clock.advance_to(clock.now() + DAY)
    put_signal(ledger, clock, "s1", "concept_drift")
    assert desk.tick([], CALM)[0].code is Code.COOLDOWN
    assert desk.tick([], CALM) == []
    clock.advance_to(clock.now() + 7 * DAY)
    assert desk.tick([], CALM)[0].code is Code.STARTED


def test_a_run_is_attached_to_a_recorded_start_only(ledger, clock, desk):
    put_signal(ledger, clock, "s1", "concept_drift")
    put_signal(ledger, clock, "f1", "data_fault")
    (decision,) = desk.tick([], CALM)
    with pytest.raises(InvalidInput, match="not a recorded start"):
        desk.attach(decision, "run-1")
