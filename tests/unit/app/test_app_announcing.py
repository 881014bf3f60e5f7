"""What consumers are told of: real ledgers, real recalls of the rollout rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recloser.app.predictions.forecasts import LedgerForecasts
from recloser.app.processes.announcing import HISTORY, announce, events_so_far, kind_of
from recloser.core import Served, forecast_id
from recloser.ledger import Ledger, TripRecord
from recloser.rollout.recall import recall_plan, record_of, voided
from recloser.serving.http import Event, EventBuffer
from recloser.serving.http.lookup import standings

ISSUED = datetime(2020, 3, 1, 22, tzinfo=UTC)
STEP = timedelta(minutes=30)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        yield opened


def served(area: str, at: datetime) -> Served:
    targets = tuple(ISSUED + timedelta(hours=16) + k * STEP for k in range(4))
    answers = {name: np.full((4, 3), mw) for name, mw in (("rel-1", 1.0), ("rel-2", 2.0))}
    key = forecast_id(area, ISSUED, at, "rel-2")
    return Served(key, area, ISSUED, at, targets, (0.1, 0.5, 0.9), "rel-2", "canary", "", answers)


def issue(ledger: Ledger, at: datetime) -> list[Served]:
    made = [served(area, at) for area in ("a", "b")]
    with ledger.change("loop", at) as change:
        change.add_all([record_of(one) for one in made])
        change.note("forecast.issue", ISSUED.isoformat(), {"areas": 2})
    return made


def recall(ledger: Ledger, made: list[Served], at: datetime, action: str = "rollout.trip") -> dict[str, str]:
    plan = recall_plan(made, at, "rel-1", resolution=STEP)
    old = {one.id: record_of(one) for one in made}
    with ledger.change("controller", at) as change:
        for one in plan.recalls:
            change.put(voided(old[one.old], at, "tripped", one.new.id))
            change.add(record_of(one.new))
        change.note(action, "rel-2", {"recalled": len(plan.recalls)})
    return {one.old: one.new.id for one in plan.recalls}


def heard(events: EventBuffer, after: int | None) -> list[Event]:
    events.close()

    async def listen() -> list[Event]:
        return [event async for event in events.stream(after)]

    return asyncio.run(listen())


def follow(ledger: Ledger, events: EventBuffer, seen: int) -> int:
    while (reached := announce(ledger, events, seen)) != seen:
        seen = reached
    return seen


def test_a_recall_names_what_is_void_and_what_replaces_it(ledger: Ledger) -> None:
    events, seen = events_so_far(ledger)
    assert seen == 0
    made = issue(ledger, ISSUED)
    with ledger.change("loop", ISSUED + STEP) as change:
        change.note("lease.renew", "rel-2", {})
    replaced = recall(ledger, made, ISSUED + 2 * STEP)
    assert follow(ledger, events, seen) == 3
    forecast, recalled = heard(events, 0)
    assert (forecast.id, forecast.kind, recalled.id, recalled.kind) == (1, "forecast", 3, "recall")
    assert forecast.data["ids"] == {one.area: one.id for one in made}
    assert forecast.data["issued_at"] == "2020-03-01T22:00:00Z"
    assert recalled.data["at"] == "2020-03-01T23:00:00Z"
    assert set(recalled.data["void_ids"]) == {one.id for one in made}
    assert recalled.data["new_ids"] == sorted(replaced.values())
    assert {row["void"]: row["new"] for row in recalled.data["recalled"]} == replaced


def test_the_ids_of_an_issue_stay_those_handed_out_then(ledger: Ledger) -> None:
    made = issue(ledger, ISSUED)
    recall(ledger, made, ISSUED + STEP)
    events, seen = events_so_far(ledger)
    assert seen == 2
    assert heard(events, 0)[0].data["ids"] == {one.area: one.id for one in made}


def test_a_stream_resumes_across_a_restart(ledger: Ledger) -> None:
    before, seen = events_so_far(ledger)
    made = issue(ledger, ISSUED)
    seen = follow(ledger, before, seen)
    last = heard(before, 0)[-1].id
    recall(ledger, made, ISSUED + STEP, "rollout.rollback")
    after, _ = events_so_far(ledger)
    assert [(event.id, event.kind) for event in heard(after, last)] == [(2, "recall")]


def test_a_long_history_says_where_it_begins(ledger: Ledger) -> None:
    for k in range(HISTORY + 3):
        issue(ledger, ISSUED + k * timedelta(microseconds=1))
    events, seen = events_so_far(ledger)
    assert seen == HISTORY + 3
    kinds: list[Any] = [event.kind for event in heard(events, 0)]
    assert kinds == ["gap"] + ["forecast"] * HISTORY
    assert heard(events, 3)[0].kind == "forecast"
    assert heard(events, 2)[0].kind == "gap"


def test_any_action_that_recalls_is_announced(ledger: Ledger) -> None:
    recall(ledger, issue(ledger, ISSUED), ISSUED + STEP, "rollout.abort")
    with ledger.change("loop", ISSUED + STEP) as change:
        change.note("rollout.abort", "rel-2", {"recalled": 0})
    assert [kind_of(entry) for entry in ledger.entries()] == ["forecast", "recall", None]


def test_many_current_forecasts_are_those_asked_one_by_one(ledger: Ledger) -> None:
    forecasts = LedgerForecasts(SimpleNamespace(ledger=ledger, areas=("a", "b", "c")))  # type: ignore[arg-type]
    assert forecasts.many(["a", "b", "c"]) == {}
    earlier = replace(served("c", ISSUED - timedelta(days=1)), issued_at=ISSUED - timedelta(days=1))
    earlier = replace(earlier, targets=tuple(at - timedelta(days=1) for at in earlier.targets))
    with ledger.change("loop", ISSUED - timedelta(days=1)) as change:
        change.add(record_of(earlier))
        change.note("forecast.issue", earlier.issued_at.isoformat())
    made = issue(ledger, ISSUED)
    recall(ledger, made[:1], ISSUED + STEP)
    asked = {area: forecasts.current(area) for area in ("a", "b", "c")}
    found = forecasts.many(["c", "b", "a", "zz"])
    assert list(found) == ["c", "b", "a"]
    for area, current in asked.items():
        assert current is not None
        assert (found[area].served.id, found[area].void_ids) == (current.served.id, current.void_ids)
    assert found["a"].void_ids == (made[0].id,)
    assert found["a"].served.release == "rel-1"
    assert found["c"].served.id == earlier.id


def test_what_became_of_a_forecast_is_found_by_its_id(ledger: Ledger) -> None:
    project = SimpleNamespace(resolution=STEP)
    forecasts = LedgerForecasts(SimpleNamespace(ledger=ledger, areas=("a", "b"), project=project))  # type: ignore[arg-type]
    assert forecasts.find("fc-0") is None
    made = issue(ledger, ISSUED)
    found = forecasts.find(made[0].id)
    assert found is not None
    assert (found.served.id, found.newer, found.void_at, found.replaced_by) == (made[0].id, (), None, None)
    at = made[0].targets[1]  # the first target has ended
    replaced = recall(ledger, made, at)
    with ledger.change("controller", at) as change:
        change.add(TripRecord("trip-1", at, "rel-2", "T0", "tripped", [one.id for one in made]))
        change.note("trip", "rel-2")
    found = forecasts.find(made[0].id)
    assert found is not None
    assert (found.void_at, found.void_reason, found.trip) == (at, "tripped", "trip-1")
    assert found.replacement is not None
    assert found.replaced_by == found.replacement.id == replaced[made[0].id]
    assert [one.id for one in found.newer] == [found.replaced_by]  # the other area's is not among them
    assert [one.status for one in standings(found)] == ["valid", "void", "void", "void"]
    again = forecasts.find(found.replaced_by)
    assert again is not None
    assert (again.newer, again.void_at) == ((), None)
    current = forecasts.current("a")
    assert current is not None
    assert current.replaced_by == {made[0].id: found.replaced_by}
    later = replace(
        made[0], id="fc-later", made_at=at + STEP, answers={"rel-1": made[0].answers["rel-1"]}, release="rel-1"
    )
    with ledger.change("loop", at + STEP) as change:
        change.add(record_of(later))
        change.note("forecast.issue", later.issued_at.isoformat())
    found = forecasts.find(found.replaced_by)
    assert found is not None
    assert {one.status for one in standings(found)} == {"superseded"}
