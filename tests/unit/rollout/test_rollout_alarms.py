"""What a step leaves to be told: written with it, so that no kill and no dead router loses it, and each once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from recloser.core import Unavailable
from recloser.ledger import ActRecord, ForecastRecord, NoticeRecord, RolloutRecord, TripRecord
from recloser.rollout import CommandKind, Evidence, Order

BOTH_BAD = Evidence(incidents={"rel-1": 3, "rel-2": 3})


def alarms(bench) -> list[str]:
    return [text for notice in bench.ledger.find(NoticeRecord, kind="alarm") for text in notice.data["alarms"]]


def test_an_alarm_is_in_the_ledger_whatever_becomes_of_the_router(canary):
    canary.source.by_release["rel-2"] = BOTH_BAD
    canary.router.down = True
    with pytest.raises(Unavailable):
        canary.controller.tick(canary.source)
    assert canary.route().champion is None
    assert len(alarms(canary)) == 1
    assert "fallback ladder" in alarms(canary)[0]
    canary.router.down = False
    canary.another().tick(canary.source)
    assert len(alarms(canary)) == 1


def test_forecasts_without_a_replacement_are_an_alarm_in_the_ledger(canary):
    lost = canary.serve("rel-2", other="rel-9")
    record = canary.ledger.get(ForecastRecord, lost.id)
    with canary.ledger.change("test", canary.clock.now()) as change:
        change.put(replace(record, answers={"rel-2": record.answers["rel-2"]}))
        change.note("test", lost.id)
    canary.source.by_release["rel-2"] = Evidence(incidents={"rel-2": 3})
    canary.controller.tick(canary.source)
    assert "no replacement" in alarms(canary)[0]


def test_two_trips_of_one_rollout_at_one_instant_are_two(canary):
    """The fast test pulls the traffic, and before time goes on T1 ends what is left."""
    late = canary.build.days([0.15] * 10, start=date(2019, 12, 1), closed=canary.clock.now())
    canary.source.by_release["rel-2"] = Evidence(days=late)
    canary.serve("rel-2")
    canary.controller.tick(canary.source)
    assert canary.state("rel-2") == "shadow"
    (pulled,) = canary.ledger.find(TripRecord)
    assert pulled.recalled
    canary.source.by_release["rel-2"] = Evidence(divergence=9)
    canary.controller.tick(canary.source)
    assert canary.state("rel-2") == "tripped"
    assert len(canary.ledger.find(TripRecord)) == 2
    assert canary.ledger.get(TripRecord, pulled.key) == pulled


def test_submitted_rejected_and_submitted_again_at_one_instant(canary):
    first = canary.ledger.find(RolloutRecord, release="rel-2")[0].key
    canary.controller.order(Order(CommandKind.REJECT, "ann", "not yet", rollout=first))
    again = canary.controller.submit("rel-2", canary.plan, scale=0.1, reason="again")
    canary.controller.order(Order(CommandKind.REJECT, "ann", "not yet", rollout=again.key))
    third = canary.controller.submit("rel-2", canary.plan, scale=0.1, reason="once more")
    keys = {first, again.key, third.key}
    assert len(keys) == 3
    assert {record.key for record in canary.ledger.find(RolloutRecord, release="rel-2")} == keys


def test_the_same_order_thrice_at_one_instant_is_three_acts(canary):
    for _ in range(2):
        canary.controller.hold(reason="storm", actor="ann")
        canary.controller.resume(reason="over", actor="ann")
    canary.controller.hold(reason="storm", actor="ann")
    assert [act.kind for act in canary.ledger.find(ActRecord, order_by="kind")] == ["hold"] * 3 + ["resume"] * 2
