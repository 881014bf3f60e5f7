"""The controller on a real ledger: whole lives of rollouts, one change per step, crashes at each seam, rivals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from recloser.core import Refused, Unavailable
from recloser.ledger import (
    ForecastRecord,
    NoticeRecord,
    PairedDayRecord,
    ReleaseRecord,
    RolloutRecord,
    TripRecord,
)
from recloser.rollout import (
    CommandKind,
    Evidence,
    Order,
    RolloutController,
    RolloutState,
    explain,
)
from recloser.testing import Meeting

S = RolloutState
HOUR = timedelta(hours=1)


def test_a_better_release_goes_all_the_way(bench):
    bench.accept("rel-1")
    outcome = bench.controller.tick(bench.source)
    assert outcome.action is not None
    assert (bench.state("rel-1"), bench.route().champion, bench.router.route) == ("champion", "rel-1", bench.route())
    assert bench.ledger.get(ReleaseRecord, "rel-1").state == "champion"
    bench.accept("rel-2")
    bench.controller.tick(bench.source)
    assert bench.route().shadow == "rel-2"
    states = bench.pass_days(12, "rel-2")
    assert list(dict.fromkeys(states)) == ["shadow", "canary", "probation", "champion"]
    assert (bench.route().champion, bench.route().shadow, bench.route().canary) == ("rel-2", None, None)
    assert bench.state("rel-1") == "retired"
    assert {r.key: r.state for r in bench.ledger.find(ReleaseRecord)} == {"rel-1": "retired", "rel-2": "champion"}
    assert bench.ledger.verify().ok
    events = [entry.action for entry in bench.ledger.entries() if entry.action.startswith("rollout.")]
    assert events.count("rollout.promote") == 1


def test_a_tick_without_news_writes_nothing(canary):
    canary.controller.tick(canary.source)
    before = len(canary.ledger.entries())
    for _ in range(3):
        canary.controller.tick(canary.source)
    assert len(canary.ledger.entries()) == before


def test_a_trip_returns_the_traffic_and_recalls_in_the_same_change(canary):
    forecast, other = canary.serve("rel-2"), canary.serve("rel-2", "b")
    untouched = canary.serve("rel-1", "c", other="rel-2")
    canary.source.by_release["rel-2"] = Evidence(divergence=2)
    entries = len(canary.ledger.entries())
    outcome = canary.controller.tick(canary.source)
    assert outcome.action is not None
    assert (outcome.action.state, outcome.action.tier) == (S.TRIPPED, "T1")
    assert (canary.route().champion, canary.route().canary, canary.router.route.canary) == ("rel-1", None, None)
    assert canary.ledger.get(ReleaseRecord, "rel-2").state == "tripped"
    old = canary.ledger.get(ForecastRecord, forecast.id)
    assert (old.void, old.void_at) == (True, canary.clock.now())
    new = canary.ledger.get(ForecastRecord, old.replaced_by)
    assert (new.release, new.served_by, new.void) == ("rel-1", "champion", False)
    assert new.answers["rel-1"] == [[5.0] * 3] * 24
    assert not canary.ledger.get(ForecastRecord, untouched.id).void
    trip = canary.ledger.find(TripRecord)[0]
    assert set(trip.recalled) == {forecast.id, other.id}
    (notice,) = canary.ledger.find(NoticeRecord)
    assert (notice.kind, notice.subject, notice.at) == ("recall", "rel-2", canary.clock.now())
    assert set(notice.data["void_ids"]) == {forecast.id, other.id}
    assert old.replaced_by in notice.data["new_ids"]
    # The whole trip is one transaction: one audit entry more.
    assert len(canary.ledger.entries()) == entries + 1
    assert not outcome.writes.alarms
    canary.controller.tick(canary.source)
    assert len(canary.ledger.entries()) == entries + 1
    with pytest.raises(Refused, match="passed staging"):
        canary.controller.submit("rel-2", canary.plan, scale=0.1, reason="again")


def test_the_recall_says_what_it_could_not_replace(canary):
    lost = canary.serve("rel-2", other="rel-9")
    record = canary.ledger.get(ForecastRecord, lost.id)
    with canary.ledger.change("test", canary.clock.now()) as change:
        change.put(replace(record, answers={"rel-2": record.answers["rel-2"]}))
        change.note("test", lost.id)
    canary.source.by_release["rel-2"] = Evidence(incidents={"rel-2": 3})
    outcome = canary.controller.tick(canary.source)
    assert "no replacement" in outcome.writes.alarms[0]
    assert (canary.ledger.get(ForecastRecord, lost.id).void, len(outcome.writes.reissued)) == (True, 0)


def test_both_bad_leaves_the_ladder_and_an_alarm(canary):
    champions = canary.serve("rel-1", "c", other="rel-2")
    bad = Evidence(incidents={"rel-1": 3, "rel-2": 3})
    canary.source.by_release["rel-2"] = bad
    outcome = canary.controller.tick(canary.source)
    assert canary.route().champion is None
    assert "fallback ladder" in outcome.writes.alarms[0]
    assert (canary.state("rel-1"), canary.state("rel-2")) == ("tripped", "tripped")
    replaced = canary.ledger.get(ForecastRecord, champions.id).replaced_by
    assert canary.ledger.get(ForecastRecord, replaced).release == "seasonal_naive"


def test_a_champion_that_trips_returns_to_its_former_and_aborts_the_trial(canary):
    canary.pass_days(10, "rel-2")
    assert canary.state("rel-2") == "champion"
    canary.accept("rel-3")
    canary.controller.tick(canary.source)
    assert canary.route().shadow == "rel-3"
    canary.source.by_release["rel-2"] = Evidence(incidents={"rel-2": 3})
    canary.controller.tick(canary.source)
    assert canary.route().champion == "rel-1"
    assert (canary.state("rel-1"), canary.state("rel-2")) == ("champion", "tripped")
    canary.controller.tick(canary.source)
    assert canary.state("rel-3") == "aborted"
    assert canary.ledger.get(ReleaseRecord, "rel-1").state == "champion"


def test_a_tampered_former_champion_is_not_returned_to(canary):
    canary.pass_days(10, "rel-2")
    canary.tampered.add("rel-1")
    outcome = canary.controller.rollback(reason="odd", actor="ann")
    assert canary.route().champion is None
    assert "does not verify" in outcome.writes.alarms[0]


@pytest.mark.parametrize("where", ["tampered", "broken"])
def test_a_release_that_does_not_verify_gets_nothing(bench, where):
    bench.accept("rel-1")
    getattr(bench, where, bench.router.broken).add("rel-1")
    bench.controller.tick(bench.source)
    assert bench.route() is None
    assert bench.state("rel-1") == "aborted"


def test_a_newer_release_aborts_the_canary_then_starts(canary):
    canary.accept("rel-3")
    canary.controller.tick(canary.source)
    assert canary.state("rel-2") == "aborted"
    assert (canary.route().canary, canary.route().champion) == (None, "rel-1")
    canary.controller.tick(canary.source)
    assert canary.state("rel-3") == "shadow"


def test_late_labels_never_change_a_past_decision(canary):
    stored = canary.ledger.find(PairedDayRecord, order_by="day")
    seen = canary.source.by_release["rel-2"].days
    canary.source.by_release["rel-2"] = Evidence(days=tuple(replace(day, difference=9.0) for day in seen))
    canary.controller.tick(canary.source)
    assert canary.ledger.find(PairedDayRecord, order_by="day") == stored
    assert canary.state("rel-2") == "canary"


def test_hold_and_resume(canary):
    with pytest.raises(Refused, match="cannot resume"):
        canary.controller.resume(reason="go", actor="ann")
    canary.controller.hold(reason="storm", actor="ann")
    assert canary.pass_days(5, "rel-2") == ["held"] * 5
    assert canary.route().share == 0.2
    canary.controller.resume(reason="over", actor="ann")
    assert canary.state("rel-2") == "canary"
    assert canary.pass_days(3, "rel-2")[-1] == "canary"
    assert canary.route().share == 0.5


def test_the_operator_rolls_back_in_every_state(bench):
    with pytest.raises(Refused, match="nothing to roll back"):
        bench.controller.rollback(reason="odd", actor="ann")
    bench.accept("rel-1")
    bench.controller.tick(bench.source)
    for number, days in enumerate((0, 3, 6, 7, 12), start=2):
        name = f"rel-{number}"
        bench.accept(name)
        bench.controller.tick(bench.source)
        bench.pass_days(days, name, freeze="storm" if days == 0 else "")
        exposed = bench.state(name) in {"canary", "probation", "champion"}
        former = bench.ledger.find(RolloutRecord, release=name)[-1].champion
        forecast = bench.serve(name, f"area-{number}", other=former) if exposed else None
        if days == 0:
            continue
        bench.controller.rollback(reason="odd", actor="ann")
        assert (bench.state(name), bench.route().champion, bench.route().canary) == ("rolled_back", "rel-1", None)
        assert bench.ledger.get(ForecastRecord, forecast.id).void
    assert bench.ledger.verify().ok


def test_a_second_rollback_does_not_bring_back_what_the_first_stopped(bench):
    bench.accept("rel-1")
    bench.controller.tick(bench.source)
    bench.accept("rel-2")
    bench.controller.tick(bench.source)
    assert (bench.route().champion, bench.route().shadow) == ("rel-1", "rel-2")
    bench.controller.rollback(reason="odd", actor="ann")
    assert bench.route().champion is None
    bench.controller.rollback(reason="still odd", actor="ann")
    assert (bench.route().champion, bench.state("rel-1"), bench.state("rel-2")) == (None, "rolled_back", "rolled_back")
    with pytest.raises(Refused, match="nothing to roll back"):
        bench.controller.rollback(reason="again", actor="ann")


def test_rollback_to_a_retained_release(canary):
    canary.pass_days(10, "rel-2")
    canary.accept("rel-3")
    canary.controller.tick(canary.source)
    canary.pass_days(12, "rel-3")
    assert canary.route().champion == "rel-3"
    for wrong, why in (("rel-3", "serves already"), ("rel-9", "never champion")):
        with pytest.raises(Refused, match=why):
            canary.controller.rollback(to=wrong, reason="odd", actor="ann")
    canary.tampered.add("rel-2")
    with pytest.raises(Refused, match="signature does not match"):
        canary.controller.rollback(to="rel-2", reason="odd", actor="ann")
    assert canary.route().champion == "rel-3"
    canary.controller.rollback(to="rel-1", reason="odd", actor="ann")
    assert (canary.route().champion, canary.state("rel-1"), canary.state("rel-3")) == (
        "rel-1",
        "champion",
        "rolled_back",
    )


class DyingRouter:
    """Dies when told a route, as a controller killed between the write and the publication does."""

    def __init__(self, inner):
        self.inner = inner

    def set_route(self, route):
        raise KeyboardInterrupt(route.epoch)

    def current(self):
        return self.inner.current()

    def verify(self, release):
        return self.inner.verify(release)

    def settled(self, epoch):
        return self.inner.settled(epoch)


def test_killed_between_write_and_router_it_goes_on_from_the_ledger(canary):
    canary.source.by_release["rel-2"] = Evidence(divergence=2)
    with pytest.raises(KeyboardInterrupt):
        canary.another(DyingRouter(canary.router)).tick(canary.source)
    assert (canary.state("rel-2"), canary.router.route.canary) == ("tripped", "rel-2")
    canary.another().tick(canary.source)
    assert canary.router.route == canary.route()
    assert canary.router.route.canary is None


def test_killed_before_the_write_it_decides_the_same_again(canary):
    canary.source.by_release["rel-2"] = Evidence(divergence=2)
    inspected = canary.controller.inspect(canary.source)
    assert inspected is not None
    before = explain(*inspected, canary.clock.now())["next"]
    again = canary.another().tick(canary.source)
    assert before == {"state": again.action.state, "reason": again.action.reason}


def test_an_unreachable_gateway_does_not_stop_a_trip_from_being_written(canary):
    canary.router.down = True
    canary.source.by_release["rel-2"] = Evidence(incidents={"rel-2": 3})
    with pytest.raises(Unavailable):
        canary.controller.tick(canary.source)
    assert (canary.state("rel-2"), canary.route().canary) == ("tripped", None)
    canary.router.down = False
    canary.controller.tick(canary.source)
    assert canary.router.route == canary.route()


def test_gateways_that_do_not_follow_yet_stop_the_next_step(canary):
    canary.router.settled = lambda _: False
    assert canary.pass_days(4, "rel-2") == ["canary"] * 4
    assert canary.route().share == 0.2


def test_a_silent_controller_loses_the_lease_and_starts_again_from_shadow(canary):
    lease = canary.route().lease_until
    canary.clock.advance_to(lease + HOUR)
    outcome = canary.controller.tick(canary.source)
    assert outcome.action is not None
    assert (outcome.action.tier, canary.state("rel-2"), canary.route().share) == ("lease", "shadow", 0.0)


def test_a_living_controller_renews_the_lease_within_the_epoch(canary):
    epoch, lease = canary.route().epoch, canary.route().lease_until
    canary.clock.advance_to(lease - HOUR)
    canary.controller.tick(canary.source)
    assert canary.route().epoch == epoch
    assert canary.router.route.lease_until == canary.clock.now() + canary.settings.lease


def test_of_two_controllers_one_is_refused(canary):
    canary.source.by_release["rel-2"] = Evidence(divergence=2)
    rival = canary.another()

    class SlowSource:
        def gather(self, rollout, now):
            found = canary.source.gather(rollout, now)
            rival.tick(canary.source)
            return found

    with pytest.raises(Refused):
        canary.controller.tick(SlowSource())
    assert canary.state("rel-2") == "tripped"
    assert len(canary.ledger.find(TripRecord)) == 1
    assert canary.ledger.verify().ok


@pytest.fixture
def meeting(canary):
    """Return a controller of the bench before whose first change a rival's comes."""

    def build(rival):
        return RolloutController(
            Meeting(canary.ledger, rival), canary.router, canary.clock, lambda _: "", canary.settings
        )

    return build


def test_a_rollback_that_meets_a_look_decides_again(canary, meeting):
    meets = meeting(lambda: canary.pass_days(1, "rel-2"))
    outcome = meets.rollback(reason="odd", actor="ann")
    assert (outcome.rollout.release, canary.state("rel-2")) == ("rel-2", "rolled_back")
    assert (canary.route().champion, canary.route().canary) == ("rel-1", None)
    assert canary.router.route == canary.route()


def test_a_rollback_that_meets_a_trip_stops_nothing_more(canary, meeting):
    def trip():
        canary.source.by_release["rel-2"] = Evidence(divergence=2)
        canary.controller.tick(canary.source)

    outcome = meeting(trip).rollback(reason="odd", actor="ann")
    assert (outcome.action, outcome.writes) == (None, None)
    assert (outcome.rollout.release, str(outcome.rollout.state)) == ("rel-2", "tripped")
    assert (canary.state("rel-1"), canary.route().champion) == ("champion", "rel-1")
    entry = canary.ledger.entries(subject="rel-2")[-1]
    assert (entry.actor, entry.action, entry.facts["state"]) == ("ann", "rollout.stopped_before", "tripped")


def test_two_people_who_stop_one_canary_at_once_stop_one(canary, meeting):
    meets = meeting(lambda: canary.controller.rollback(reason="odd", actor="ben"))
    assert str(meets.rollback(reason="odd", actor="ann").rollout.state) == "rolled_back"
    assert canary.route().champion == "rel-1"
    assert len(canary.ledger.find(TripRecord)) == 1


def test_whatever_a_person_asks_is_decided_again_and_not_refused_for_a_rival(canary, meeting):
    rival = canary.another()
    meeting(lambda: rival.hold(reason="storm", actor="ben")).rollback(reason="odd", actor="ann")
    assert canary.state("rel-2") == "rolled_back"
    canary.accept("rel-3")
    canary.controller.tick(canary.source)
    meeting(lambda: canary.pass_days(1, "rel-3")).hold(reason="storm", actor="ann")
    assert canary.state("rel-3") == "held"
    meeting(lambda: rival.resume(reason="over", actor="ben")).order(Order(CommandKind.REJECT, "ann", "no", "lead"))
    assert canary.state("rel-3") == "rolled_back"
    meets = meeting(lambda: rival.rollback(reason="odd", actor="ben"))
    with pytest.raises(Refused, match="on trial"):  # what is true by then is told, not that somebody wrote
        meets.hold(reason="storm", actor="ann")


def test_two_who_submit_a_release_at_once_begin_one_rollout(canary, meeting):
    with canary.ledger.change("staging", canary.clock.now()) as change:
        change.add(canary.build.release("rel-3"))
        change.note("release.accept", "rel-3")

    def rival():
        canary.clock.advance_to(canary.clock.now() + HOUR)
        canary.controller.submit("rel-3", canary.plan, scale=0.1, reason="theirs")

    found = meeting(rival).submit("rel-3", canary.plan, scale=0.1, reason="ours")
    assert found.reason == "theirs"
    assert len(canary.ledger.find(RolloutRecord, release="rel-3")) == 1


def test_only_releases_that_passed_staging_are_submitted(bench):
    with pytest.raises(Refused, match="passed staging"):
        bench.controller.submit("rel-x", bench.plan, scale=None, reason="hope")
    first = bench.accept("rel-1")
    assert bench.controller.submit("rel-1", bench.plan, scale=0.1, reason="twice") == first


def test_explain_says_why_and_what_would_change_it(canary):
    rollout, evidence = canary.controller.inspect(canary.source)
    told = explain(rollout, evidence, canary.clock.now())
    assert (told["state"], told["release"], told["share"]) == ("canary", "rel-2", 0.2)
    assert "shadow passed" in told["reason"]
    assert told["next"]["state"] == "canary"
    assert any("lasts until" in reason for reason in told["would_advance"])
    assert any(reason.startswith("T2") for reason in told["would_end"])
    canary.controller.rollback(reason="odd", actor="ann")
    rollout, evidence = canary.controller.inspect(canary.source, rollout.key)
    told = explain(rollout, evidence, canary.clock.now())
    assert (told["would_end"], "finished" in told["would_advance"][0]) == ([], True)
