"""What is to be done follows from what is wanted and what is there, and doing it leads there from any beginning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recloser.serving.kserve import ServicePlan, inference_service
from recloser.serving.kserve.deciding import Deed, as_wanted, contains, next_try, since_when, steps
from recloser.serving.kserve.states import ServiceState, read_service

PLAN = ServicePlan("mygrid", "recloser", "image:1", "claim")
OLD = ServicePlan("mygrid", "recloser", "image:0", "claim")
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
RELEASES = ("rel-a", "rel-b", "rel-c")


def there(release: str, plan: ServicePlan = PLAN, **more: Any) -> ServiceState:
    document = inference_service(plan, release, "d" * 64)
    document["metadata"] |= {"uid": f"u-{release}", "resourceVersion": "7"}
    document["metadata"] |= {"deletionTimestamp": "2026-11-02T09:00:00Z"} if more.get("leaving") else {}
    document["metadata"]["labels"] |= {"recloser.io/project": more["owner"]} if "owner" in more else {}
    return read_service(document)


def deeds(found: list[ServiceState], *names: str, unwanted: dict[str, datetime] | None = None) -> list[tuple[str, str]]:
    before = NOW - timedelta(hours=1)
    made = steps(PLAN, dict.fromkeys(names, "d" * 64), found, unwanted or {}, before)
    return [(str(step.deed), step.release) for step in made]


def test_each_case() -> None:
    assert deeds([], "rel-a") == [("create", "rel-a")]
    assert deeds([there("rel-a")], "rel-a") == []
    assert deeds([there("rel-a", OLD)], "rel-a") == [("replace", "rel-a")]
    assert deeds([there("rel-a", leaving=True)], "rel-a") == []
    assert deeds([there("rel-a")]) == []
    assert deeds([there("rel-a")], unwanted={"rel-a": NOW}) == []
    assert deeds([there("rel-a")], unwanted={"rel-a": NOW - timedelta(hours=1)}) == [("delete", "rel-a")]
    assert deeds([there("rel-a", leaving=True)], unwanted={"rel-a": NOW - timedelta(days=1)}) == []


def test_what_belongs_to_another_project_is_left_alone() -> None:
    other = there("rel-a", owner="othergrid")
    assert deeds([other], unwanted={"rel-a": NOW - timedelta(days=1)}) == []
    assert deeds([other], "rel-b") == [("create", "rel-b")]


def test_what_was_changed_by_hand_is_found_and_what_was_added_by_default_is_not() -> None:
    manifest = inference_service(PLAN, "rel-a", "d" * 64)
    known = there("rel-a")
    assert as_wanted(known, manifest)
    predictor = known.spec["predictor"]
    predictor["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    predictor["terminationGracePeriodSeconds"] = 30
    assert as_wanted(known, manifest)
    predictor["containers"][0]["image"] = "somebody/elses:1"
    assert not as_wanted(known, manifest)


def test_contains() -> None:
    assert contains({"a": [1, {"b": 2, "c": 3}], "d": 4}, {"a": [1, {"b": 2}]})
    assert not contains({"a": [1, 2]}, {"a": [1]})
    assert not contains({"a": None}, {"a": {"b": 1}})
    assert not contains({}, {"a": None})


@given(
    wanted=st.sets(st.sampled_from(RELEASES)),
    found=st.dictionaries(st.sampled_from(RELEASES), st.sampled_from([PLAN, OLD])),
    broken_off=st.lists(st.integers(0, 4), max_size=6),
)
def test_from_any_beginning_and_however_often_it_is_broken_off(
    wanted: set[str], found: dict[str, ServicePlan], broken_off: list[int]
) -> None:
    cluster = {release: there(release, plan) for release, plan in found.items()}
    unwanted: dict[str, datetime] = {}
    now = NOW
    for take in [*broken_off, 9, 9]:
        unwanted = since_when(unwanted, cluster.values(), wanted, now)
        due = steps(PLAN, dict.fromkeys(wanted, "d" * 64), cluster.values(), unwanted, now - timedelta(hours=1))
        for step in due[:take]:
            if step.deed is Deed.DELETE:
                del cluster[step.release]
            else:
                cluster[step.release] = there(step.release)
        now += timedelta(hours=2)
    assert set(cluster) == wanted
    assert all(as_wanted(state, inference_service(PLAN, name, "d" * 64)) for name, state in cluster.items())
    assert steps(PLAN, dict.fromkeys(wanted, "d" * 64), cluster.values(), {}, now) == ()


def test_deleting_comes_last() -> None:
    old = {"rel-a": NOW - timedelta(days=1)}
    assert deeds([there("rel-a")], "rel-b", "rel-c", unwanted=old)[-1] == ("delete", "rel-a")


def test_an_object_that_does_not_stay_as_asked_for_is_replaced_ever_more_seldom() -> None:
    waits = [(next_try(count, NOW) - NOW).total_seconds() for count in range(12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (10.0, 600.0)


def test_a_status_is_read_with_whatever_is_missing() -> None:
    document = inference_service(PLAN, "rel-a", "d" * 64)
    document["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    assert (read_service(document).ready, read_service(document).url) == (False, None)
    document["status"] = {
        "conditions": [
            {"type": "PredictorReady", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"},
            {"type": "Ready", "status": "False", "message": "timed out"},
        ],
        "modelStatus": {"lastFailureInfo": {"message": "CrashLoopBackOff"}},
        "address": {"url": "http://mygrid-rel-a-predictor.recloser.svc.cluster.local:8080/"},
    }
    state = read_service(document)
    assert (state.ready, state.problem) == (False, "CrashLoopBackOff; timed out")
    assert state.url == "http://mygrid-rel-a-predictor.recloser.svc.cluster.local:8080"
    document["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    assert read_service(document).ready
    for url in ("", "nonsense", "http://", "http://h:99999999", None, "ftp://h"):
        document["status"]["address"] = {"url": url}
        assert read_service(document).url is None
