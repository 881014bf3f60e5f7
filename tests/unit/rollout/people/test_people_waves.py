"""Waves: the pilot areas first, each wave keeps those before, and a trip in any wave halts all of them at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from recloser.ledger import ForecastRecord, TripRecord
from recloser.rollout import CanaryStep, Evidence
from recloser.serving.route import Route, chosen_for_canary

AREAS = ("north", "south", "east", "west", "harbour")
WAVES = (CanaryStep(0.0, 2, ("north",)), CanaryStep(0.0, 2, ("south", "east")), CanaryStep(0.5, 2))
REACH = (["north"], ["north", "south", "east"], ["north", "south", "east"])


@pytest.fixture
def waves(bench):
    """A bench with champion rel-1 and rel-2, which goes by waves, in shadow."""
    bench.accept("rel-1")
    bench.controller.tick(bench.source)
    with bench.ledger.change("staging", bench.clock.now()) as change:
        change.add(bench.build.release("rel-2"))
        change.note("release.accept", "rel-2")
    plan = replace(bench.plan, steps=WAVES)
    bench.controller.submit("rel-2", plan, scale=0.1, reason="passed staging")
    bench.controller.tick(bench.source)
    return bench


def reached(bench, wave: int) -> None:
    """Let days pass until the wave has begun."""
    for _ in range(40):
        route = bench.route()
        if route.canary == "rel-2" and route.cohort == REACH[wave] and route.share == WAVES[wave].share:
            return
        bench.pass_days(1, "rel-2")
    raise AssertionError(f"wave {wave} never began")


def served_by_canary(bench) -> set[str]:
    record = bench.route()
    route = Route(record.epoch, record.champion, record.canary, record.share, cohort=tuple(record.cohort))
    return {area for area in AREAS if chosen_for_canary(route, area)}


def test_pilot_areas_go_first_and_every_wave_keeps_those_before(waves):
    assert served_by_canary(waves) == set()
    reached(waves, 0)
    assert served_by_canary(waves) == {"north"}
    assert "the pilot areas north alone" in waves.route().reason
    reached(waves, 1)
    assert served_by_canary(waves) == {"north", "south", "east"}
    reached(waves, 2)
    assert served_by_canary(waves) >= {"north", "south", "east"}
    assert "the pilot areas north, south, east and 50 % of the traffic" in waves.route().reason


@pytest.mark.parametrize("wave", [0, 1, 2])
@pytest.mark.parametrize(
    "trip", [{"incidents": {"rel-2": 3}}, {"divergence": 2}, {"level_gap": 0.4, "level_limit": 0.2}], ids=str
)
def test_a_trip_in_any_wave_halts_all_of_them(waves, wave, trip):
    reached(waves, wave)
    forecasts = [waves.serve("rel-2", area) for area in REACH[wave]]
    waves.source.by_release["rel-2"] = replace(waves.source.by_release["rel-2"], **trip)
    waves.controller.tick(waves.source)
    assert waves.state("rel-2") == "tripped"
    assert served_by_canary(waves) == set()
    assert (waves.route().champion, waves.route().canary, waves.route().cohort) == ("rel-1", None, [])
    assert all(waves.ledger.get(ForecastRecord, forecast.id).void for forecast in forecasts)
    assert set(waves.ledger.find(TripRecord)[0].recalled) == {forecast.id for forecast in forecasts}
    waves.source.by_release["rel-2"] = Evidence()
    epoch = waves.route().epoch
    for _ in range(5):  # whatever time passes, no wave begins again
        waves.clock.advance_to(waves.clock.now() + timedelta(days=3))
        waves.controller.tick(waves.source)
    assert (waves.state("rel-2"), waves.route().epoch) == ("tripped", epoch)


def test_a_freeze_and_a_hold_keep_the_wave_as_it_is(waves):
    reached(waves, 0)
    waves.pass_days(6, "rel-2", freeze="storm (until it is lifted)")
    assert (waves.route().cohort, waves.state("rel-2")) == (["north"], "canary")
    waves.controller.hold(reason="switching", actor="ann")
    waves.pass_days(6, "rel-2")
    assert (waves.route().cohort, waves.state("rel-2")) == (["north"], "held")
    waves.controller.resume(reason="done", actor="ann")
    reached(waves, 1)
