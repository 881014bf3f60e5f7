from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput, Refused
from recloser.serving import NAIVE, GuardPolicy, Route
from recloser.serving.trips import Cut, TripSwitch, trips

DAY = timedelta(days=1)


def test_both_models_are_scored_on_every_request(kit: SimpleNamespace) -> None:
    gateway = kit.gateway(route=Route(1, "rel-1", "rel-2", 0.0, shadow="rel-0"))
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    for served in answer.served:
        assert served.served_by == "champion"
        assert served.release == "rel-1"
        assert served.reason == ""
        assert set(served.answers) == {"rel-1", "rel-2", "rel-0"}
        assert served.made_at == kit.NOW
        assert served.targets[0] == kit.ISSUED + timedelta(hours=16)
        assert len(served.targets) == 6
    assert answer.divergence["rel-2"] == pytest.approx(dict.fromkeys("abcd", 0.005))
    assert answer.divergence["rel-0"] == pytest.approx(dict.fromkeys("abcd", 0.009))
    assert answer.incidents == []
    again = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert [served.id for served in again.served] == [served.id for served in answer.served]


def test_the_ladder_rung_by_rung(kit: SimpleNamespace) -> None:
    rungs = ("rel-1", "rel-0", *NAIVE)
    expected = ["fallback:rel-0", "fallback:seasonal_naive", "fallback:persistence"]
    for broken in range(1, len(rungs)):
        models = {name: kit.Faulty(name, "nan") for name in rungs[:broken]}
        gateway = kit.gateway(models, Route(1, "rel-1", fallback=("rel-0", *NAIVE)))
        answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
        assert {served.served_by for served in answer.served} == {expected[broken - 1]}
        assert all(name in answer.served[0].reason for name in rungs[:broken])
        assert len([i for i in answer.incidents if i.kind == "output"]) == 4 * broken


def test_no_rung_left_is_an_explicit_no_for_that_area_only(kit: SimpleNamespace) -> None:
    models = {name: kit.Faulty(name, "x1000", ["c"]) for name in ("rel-1", "rel-2", "rel-0", *NAIVE)}
    gateway = kit.gateway(models, policy=GuardPolicy(trip_after=2))
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert [served.area for served in answer.served] == ["a", "b", "d"]
    assert list(answer.unavailable) == ["c"]
    assert answer.unavailable["c"].exit_code == 3
    assert [i.area for i in answer.incidents if i.kind == "unavailable"] == ["c"]


def test_without_a_champion_the_ladder_answers(kit: SimpleNamespace) -> None:
    answer = kit.gateway(route=Route(0, None)).answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert {served.served_by for served in answer.served} == {"fallback:seasonal_naive"}
    assert answer.served[0].reason == "champion: there is none yet"
    assert answer.incidents == []


def test_a_canary_without_a_champion_to_compare_with_is_neither_served_nor_blamed(kit: SimpleNamespace) -> None:
    gateway = kit.gateway({"rel-1": kit.Faulty("rel-1", "nan")})
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert {served.served_by for served in answer.served} == {"fallback:rel-0"}
    assert {incident.release for incident in answer.incidents} == {"rel-1"}
    assert not gateway.tripped


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_a_canary_trips_at_the_configured_number_and_not_before(kit: SimpleNamespace, limit: int) -> None:
    canary = kit.Faulty("rel-2", "nan", ["b"])
    gateway = kit.gateway({"rel-2": canary}, policy=GuardPolicy(trip_after=limit))
    for count in range(1, limit + 1):
        assert not gateway.tripped
        answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW + timedelta(seconds=count))
        served_by = {served.area: served.served_by for served in answer.served}
        assert served_by["b"] == "champion"
        assert served_by["a"] == ("champion" if count == limit else "canary")
    assert gateway.tripped == {"rel-2"}
    trip = [incident for incident in answer.incidents if incident.kind == "trip"]
    assert [(i.release, i.tier, i.area) for i in trip] == [("rel-2", "T0", "b")]
    assert "not finite" in trip[0].reason
    calls = canary.calls
    later = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW + 100 * DAY)
    assert {served.served_by for served in later.served} == {"champion"}
    assert {served.reason for served in later.served} == {"canary rel-2 tripped"}
    assert canary.calls == calls
    assert later.incidents == []


def test_old_failures_do_not_trip(kit: SimpleNamespace) -> None:
    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])}, policy=GuardPolicy(trip_after=2))
    for day in range(5):
        gateway.answer(kit.frame(), kit.ISSUED, kit.NOW + day * DAY)
    assert not gateway.tripped


def test_a_shadow_trips_too_and_never_answers(kit: SimpleNamespace) -> None:
    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", "exception")}, Route(1, "rel-1", shadow="rel-2"))
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert {(served.served_by, served.reason) for served in answer.served} == {("champion", "")}
    assert gateway.tripped == {"rel-2"}


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(1, 5), st.integers(1, 100))
def test_the_switch_agrees_with_the_pure_rule_over_all_failures(seconds: list[int], limit: int, window: int) -> None:
    from datetime import UTC, datetime

    start, span, switch = datetime(2020, 1, 1, tzinfo=UTC), timedelta(seconds=window), TripSwitch()
    instants = [start + timedelta(seconds=second) for second in sorted(seconds)]
    fired = [switch.note("rel-2", ["not finite"], now, span, limit) is not None for now in instants]
    expected = [trips(instants[: k + 1], now, span, limit) for k, now in enumerate(instants)]
    assert fired == [hit and not any(expected[:k]) for k, hit in enumerate(expected)]
    assert switch.tripped == ({"rel-2"} if any(expected) else frozenset())


def test_lease_expiry_returns_all_areas_to_the_champion(kit: SimpleNamespace) -> None:
    lease = kit.NOW + timedelta(minutes=5)
    gateway = kit.gateway(route=Route(1, "rel-1", "rel-2", 1.0, lease_until=lease))
    before = gateway.answer(kit.frame(), kit.ISSUED, lease - timedelta(seconds=1))
    after = gateway.answer(kit.frame(), kit.ISSUED, lease)
    assert {served.served_by for served in before.served} == {"canary"}
    assert {(served.served_by, served.reason) for served in after.served} == {("champion", "lease expired")}
    assert set(after.served[0].answers) == {"rel-1", "rel-2"}


def test_renewing_a_lease_keeps_the_trip_and_a_new_epoch_forgets_it(kit: SimpleNamespace) -> None:
    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan")})
    gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    models = {name: kit.Steady(name) for name in ("rel-0", "rel-1", "rel-2", *NAIVE)}
    gateway.swap(replace(gateway.route, lease_until=kit.NOW + DAY), models)
    assert gateway.tripped == {"rel-2"}
    gateway.swap(replace(gateway.route, epoch=2), models)
    assert not gateway.tripped


@pytest.mark.parametrize(
    "route",
    [
        Route(2, "rel-9"),
        Route(2, "rel-1", "rel-9", 0.1),
        Route(2, "rel-1", shadow="rel-9"),
        Route(2, "rel-1", fallback=("rel-9",)),
        Route(0, "rel-1"),
        Route(1, "rel-1", "rel-2", 0.5),
    ],
)
def test_a_swap_to_an_unloaded_model_or_an_older_route_is_refused(kit: SimpleNamespace, route: Route) -> None:
    gateway = kit.gateway()
    before = gateway.route
    with pytest.raises(Refused):
        gateway.swap(route, {name: kit.Steady(name) for name in ("rel-0", "rel-1", "rel-2", *NAIVE)})
    assert gateway.route is before


def test_a_model_under_anothers_name_is_refused(kit: SimpleNamespace) -> None:
    with pytest.raises(Refused):
        kit.gateway({"rel-2": kit.Steady("rel-3")})


class Slow:
    """Waits inside predict until told, to be caught in flight."""

    def __init__(self, release: str, inner: object) -> None:
        self.release = release
        self.inner = inner
        self.entered = threading.Event()
        self.go = threading.Event()

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        self.entered.set()
        assert self.go.wait(10)
        return self.inner.predict(rows)


def test_a_replaced_model_lives_until_its_last_request_is_over(kit: SimpleNamespace) -> None:
    old = Slow("rel-1", kit.Steady("rel-1"))
    gone, go = weakref.ref(old), old.go
    gateway = kit.gateway({"rel-1": old}, Route(1, "rel-1"))
    answers = []
    worker = threading.Thread(target=lambda: answers.append(gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)))
    worker.start()
    assert old.entered.wait(10)
    gateway.swap(Route(2, "rel-2"), {name: kit.Steady(name) for name in ("rel-2", *NAIVE)})
    during = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert {served.release for served in during.served} == {"rel-2"}
    del old
    assert gone() is not None
    go.set()
    worker.join(10)
    assert {served.release for served in answers[0].served} == {"rel-1"}
    del worker
    gc.collect()
    assert gone() is None


def test_swaps_under_concurrent_requests_lose_nothing_and_mix_nothing(kit: SimpleNamespace) -> None:
    def models(release: str) -> dict[str, object]:
        return {name: kit.Steady(name) for name in (release, *NAIVE)}

    gateway = kit.gateway(models("rel-e0"), Route(0, "rel-e0"))
    stop, seen, errors = threading.Event(), [], []

    def ask() -> None:
        last = 0
        while not stop.is_set():
            answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
            releases = {served.release for served in answer.served}
            if len(answer.served) != 4 or len(releases) != 1 or answer.incidents:
                errors.append(answer)
            epoch = int(releases.pop().removeprefix("rel-e"))
            if epoch < last:
                errors.append(epoch)
            last = epoch
            seen.append(epoch)

    workers = [threading.Thread(target=ask) for _ in range(3)]
    for worker in workers:
        worker.start()
    for epoch in range(1, 60):
        gateway.swap(Route(epoch, f"rel-e{epoch}"), models(f"rel-e{epoch}"))
        if epoch % 10 == 0:
            asked = len(seen)
            while len(seen) < asked + 3:
                threading.Event().wait(0.001)
    stop.set()
    for worker in workers:
        worker.join(10)
    assert errors == []
    assert len(set(seen)) > 3
    assert sum(gateway.counts().values()) == 4 * len(seen)


def test_concurrent_failures_trip_once(kit: SimpleNamespace) -> None:
    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])}, policy=GuardPolicy(trip_after=5))
    answers = []

    def ask() -> None:
        answers.extend(gateway.answer(kit.frame(), kit.ISSUED, kit.NOW) for _ in range(5))

    workers = [threading.Thread(target=ask) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)
    trip = [incident for answer in answers for incident in answer.incidents if incident.kind == "trip"]
    assert len(trip) == 1
    assert gateway.counts()["incidents", "trip", "rel-2"] == 1


def test_counts_say_who_answered(kit: SimpleNamespace) -> None:
    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])})
    gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert gateway.counts() == {
        ("answers", "canary", "rel-2"): 3,
        ("answers", "champion", "rel-1"): 1,
        ("incidents", "output", "rel-2"): 1,
    }
    assert gateway.loaded == ("rel-1", "rel-2", "rel-0", *NAIVE)


def test_checking_one_release_by_name_counts_for_nothing(kit: SimpleNamespace) -> None:
    from recloser.serving.batch import batch_of

    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])}, policy=GuardPolicy(trip_after=1))
    scoring = gateway.check("rel-2", batch_of(kit.frame(), kit.ISSUED), kit.NOW)
    assert list(scoring.release) == ["rel-2", None, "rel-2", "rel-2"]
    assert not gateway.tripped
    assert gateway.counts() == {}
    with pytest.raises(InvalidInput):
        gateway.check("rel-7", batch_of(kit.frame(), kit.ISSUED), kit.NOW)


def test_what_another_gateway_cut_off_is_cut_off_here_once(kit: SimpleNamespace) -> None:
    gateway = kit.gateway()
    assert not gateway.cut("rel-1", "another worker cut it off", kit.NOW, epoch=1)
    assert gateway.cut("rel-2", "another worker cut it off", kit.NOW, epoch=1)
    assert not gateway.cut("rel-2", "another worker cut it off", kit.NOW, epoch=1)
    assert gateway.tripped == {"rel-2"}
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert {served.served_by for served in answer.served} == {"champion"}
    assert gateway.counts()["incidents", "trip", "rel-2"] == 1


def test_a_cut_of_an_older_route_does_not_hit_a_newer_trial_of_the_same_release(kit: SimpleNamespace) -> None:
    gateway = kit.gateway()
    models = {name: gateway.predictor(name) for name in gateway.loaded}
    gateway.swap(Route(2, "rel-1", "rel-2", 1.0), models)
    assert not gateway.cut("rel-2", "another worker cut it off", kit.NOW, epoch=1)
    assert not gateway.tripped
    assert gateway.cut("rel-2", "another worker cut it off", kit.NOW, epoch=2)


def test_a_trip_is_told_with_its_failures_before_the_answer_is_there(kit: SimpleNamespace) -> None:
    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan")}, policy=GuardPolicy(trip_after=2))
    told: list[tuple[int, Cut, dict[tuple[str, str, str], int]]] = []
    gateway.on_trip(lambda epoch, cut: told.append((epoch, cut, gateway.counts())))
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    ((epoch, cut, counted),) = told
    assert (epoch, cut.release, cut.at) == (1, "rel-2", kit.NOW)
    assert counted == {}
    assert cut.failures == ("c: not finite", "d: not finite")
    assert cut.reason == "2 failed answers within 1 day, 0:00:00; the last: d: not finite"
    assert gateway.cuts == (1, (cut,))
    assert [incident.reason for incident in answer.incidents if incident.kind == "trip"] == [cut.reason]
    gateway.swap(Route(2, "rel-1", "rel-2", 1.0), {name: gateway.predictor(name) for name in gateway.loaded})
    assert gateway.cuts == (2, ())
    gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert [epoch for epoch, _, _ in told] == [1, 2]


def test_what_another_gateway_found_is_not_told_again(kit: SimpleNamespace) -> None:
    gateway = kit.gateway()
    told: list[Cut] = []
    gateway.on_trip(lambda _epoch, cut: told.append(cut))
    assert gateway.cut("rel-2", "worker 2 cut it off", kit.NOW, epoch=1)
    assert told == []
    assert gateway.cuts == (1, (Cut("rel-2", "worker 2 cut it off", kit.NOW),))
