"""A keeper brings the cluster to what is wanted over a real HTTP API, whatever fails and wherever it is killed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest_kserve import DIGESTS, PATIENCE, PLAN, A, B, C, get_ready, names, no_sleep, wanted

from recloser.connectors.rest import Answer, Rest, RestTarget
from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.serving.kserve import Busy, KServeApi, ServiceKeeper, ServicePlan
from recloser.testing.apis.http_api import Fault
from recloser.testing.apis.kube_api import KubeServer

PATH = "/apis/serving.kserve.io/v1beta1/namespaces/recloser/inferenceservices"
NewKeeper = Callable[[], ServiceKeeper]


def test_from_nothing_to_ready_and_gone(kube: KubeServer, new_keeper: NewKeeper, clock: VirtualClock) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A))
    with pytest.raises(Unavailable, match="not asked yet"):
        keeper.address(A)
    assert keeper.tend() is False
    assert names(kube) == [f"mygrid-{A}"]
    with pytest.raises(Unavailable, match="pods are starting"):
        keeper.address(A)
    url = get_ready(kube, A)
    keeper.tend()
    assert keeper.address(A) == url
    keeper.want(wanted(B))
    keeper.tend()
    assert names(kube) == [f"mygrid-{A}", f"mygrid-{B}"]
    clock.advance_to(clock.now() + PATIENCE.linger)
    keeper.tend()
    assert names(kube) == [f"mygrid-{B}"]
    assert kube.complaints == []


def test_a_list_of_many_pages_and_what_is_not_ours(kube: KubeServer, new_keeper: NewKeeper) -> None:
    keeper = new_keeper()
    keeper.want(DIGESTS)
    keeper.tend()
    foreign = next(iter(kube.objects().values()))
    labels = {**foreign["metadata"]["labels"], "recloser.io/project": "othergrid"}
    kube.put({**foreign, "metadata": {**foreign["metadata"], "name": "othergrid-rel-aaaaaaaaaaaa", "labels": labels}})
    kube.put({**foreign, "metadata": {"name": "somebody-elses", "labels": {}}})
    before = kube.count(f"GET {PATH}")
    keeper.tend()
    assert kube.count(f"GET {PATH}") - before == 3, "seven objects in pages of two, one of which is not labelled"
    assert len(names(kube)) == 7


def test_a_name_that_somebody_else_has_is_left_alone(kube: KubeServer, new_keeper: NewKeeper) -> None:
    kube.put({"metadata": {"name": f"mygrid-{A}", "labels": {"app": "theirs"}}, "spec": {"predictor": {}}})
    keeper = new_keeper()
    keeper.want(wanted(A, B))
    with pytest.raises(Refused, match="did not make"):
        keeper.tend()
    assert kube.objects()[f"mygrid-{A}"]["spec"] == {"predictor": {}}
    assert f"mygrid-{B}" in names(kube), "one that fails keeps no other waiting"
    with pytest.raises(Refused, match="did not make"):
        keeper.address(A)
    kube.remove(f"mygrid-{A}")
    keeper.tend()
    get_ready(kube, A)
    keeper.tend()
    assert keeper.address(A)


def test_what_is_being_deleted_is_waited_for(kube: KubeServer, new_keeper: NewKeeper, clock: VirtualClock) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A))
    keeper.tend()
    get_ready(kube, A)
    kube.graceful = True
    keeper.want({})
    keeper.tend()
    clock.advance_to(clock.now() + PATIENCE.linger)
    keeper.tend()
    assert kube.objects()[f"mygrid-{A}"]["metadata"]["deletionTimestamp"]
    keeper.want(wanted(A))
    keeper.tend()
    with pytest.raises(Unavailable):
        keeper.address(A)
    kube.remove(f"mygrid-{A}")
    keeper.tend()
    assert "deletionTimestamp" not in kube.objects()[f"mygrid-{A}"]["metadata"]


def test_changes_by_hand_are_undone_and_a_new_image_is_rolled_out(
    kube: KubeServer, new_keeper: NewKeeper, api: KServeApi, clock: VirtualClock
) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A))
    keeper.tend()

    def other_image(document: dict[str, Any]) -> None:
        document["spec"]["predictor"]["containers"][0]["image"] = "somebody/elses:1"

    kube.edit(f"mygrid-{A}", other_image)
    keeper.tend()
    assert _image(kube) == PLAN.image
    kube.edit(f"mygrid-{A}", other_image)
    keeper.tend()
    assert _image(kube) == "somebody/elses:1", "somebody insists: not at once again"
    clock.advance_to(clock.now() + timedelta(minutes=20))
    keeper.tend()
    assert _image(kube) == PLAN.image
    newer = ServiceKeeper(api, _with_image("registry.example/recloser:0.2.0"), clock, PATIENCE)
    newer.want(wanted(A))
    newer.tend()
    assert _image(kube).endswith(":0.2.0")


def test_a_release_that_does_not_get_ready_is_unfit_after_a_while_and_fit_when_it_does(
    kube: KubeServer, new_keeper: NewKeeper, clock: VirtualClock
) -> None:
    keeper = new_keeper()
    keeper.ask(A, DIGESTS[A])
    keeper.tend()
    get_ready(kube, A, ready=False, why="ImagePullBackOff")
    keeper.tend()
    with pytest.raises(Unavailable, match="ImagePullBackOff"):
        keeper.address(A)
    clock.advance_to(clock.now() + PATIENCE.start)
    with pytest.raises(Refused, match="ImagePullBackOff"):
        keeper.address(A)
    get_ready(kube, A)
    keeper.tend()
    assert keeper.address(A)
    get_ready(kube, A, ready=False, why="a node was drained")
    keeper.tend()
    with pytest.raises(Unavailable, match="a node was drained"):
        keeper.address(A)


def test_what_was_asked_for_is_kept_for_a_while(kube: KubeServer, new_keeper: NewKeeper, clock: VirtualClock) -> None:
    keeper = new_keeper()
    keeper.ask(A, DIGESTS[A])
    keeper.tend()
    clock.advance_to(clock.now() + PATIENCE.linger / 2)
    keeper.ask(A, DIGESTS[A])
    clock.advance_to(clock.now() + PATIENCE.linger * 0.9)
    keeper.tend()
    assert names(kube) == [f"mygrid-{A}"]
    clock.advance_to(clock.now() + PATIENCE.linger)
    keeper.tend()
    clock.advance_to(clock.now() + PATIENCE.linger)
    keeper.tend()
    assert names(kube) == []


FAULTS = [
    Fault("POST", status=429, retry_after="7"),
    Fault("POST", status=503),
    Fault("POST", kind="drop"),
    Fault("POST", kind="lose"),
    Fault("POST", kind="garbage"),
    Fault("GET", status=500, times=9),
    Fault("GET", kind="drop", times=9),
    Fault("GET", kind="garbage", times=9),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.match} {fault.kind} {fault.status}")
def test_the_server_cannot_for_a_while(kube: KubeServer, new_keeper: NewKeeper, fault: Fault) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A, B))
    kube.faults.append(fault)
    waits = set()
    for _ in range(20):
        try:
            keeper.tend()
        except Busy as error:
            waits.add(error.wait_s)
        except Unavailable:
            continue
    assert waits == ({7.0} if fault.status == 429 else set())
    assert names(kube) == [f"mygrid-{A}", f"mygrid-{B}"]
    assert keeper.problem == ""


def test_slow_answers_and_one_that_does_not_come(kube: KubeServer, token: Path, clock: VirtualClock) -> None:
    kube.faults += [Fault("GET", kind="slow", seconds=0.3), Fault("POST", kind="slow", seconds=0.3)]
    api = KServeApi(Rest(RestTarget(kube.url, token, timeout_s=30.0), no_sleep), "recloser")
    keeper = ServiceKeeper(api, PLAN, clock, PATIENCE)
    keeper.want(wanted(A))
    keeper.tend()
    assert names(kube) == [f"mygrid-{A}"]
    hasty = KServeApi(Rest(RestTarget(kube.url, token, timeout_s=0.2, tries=1), no_sleep), "recloser")
    kube.faults.append(Fault("GET", kind="hang", seconds=30.0))
    with pytest.raises(Unavailable, match="does not answer"):
        ServiceKeeper(hasty, PLAN, clock, PATIENCE).tend()


def test_a_token_that_expired_is_read_again(kube: KubeServer, token: Path, new_keeper: NewKeeper) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A))
    kube.token = "second"
    with pytest.raises(Refused, match="401"):
        keeper.tend()
    assert "401" in keeper.problem
    with pytest.raises(Unavailable, match="401"):
        keeper.address(A)
    token.write_text("second")
    keeper.tend()
    assert names(kube) == [f"mygrid-{A}"]


@pytest.mark.parametrize("missing", ["list", "create", "update", "delete"])
def test_without_a_right_it_is_told_and_done_once_it_is_given(
    kube: KubeServer, new_keeper: NewKeeper, clock: VirtualClock, missing: str
) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A, C))
    keeper.tend()
    kube.edit(f"mygrid-{C}", lambda document: document["spec"]["predictor"].update(minReplicas=0))
    keeper.want(wanted(B, C))
    kube.allowed.discard(missing)
    told = []
    for _ in range(3):
        try:
            keeper.tend()
        except Refused as error:
            told.append(error.explain())
        clock.advance_to(clock.now() + PATIENCE.linger)
    assert any("is forbidden" in sentence for sentence in told)
    kube.allowed.add(missing)
    for _ in range(3):
        keeper.tend()
        clock.advance_to(clock.now() + PATIENCE.linger)
    assert names(kube) == [f"mygrid-{B}", f"mygrid-{C}"]
    assert kube.objects()[f"mygrid-{C}"]["spec"]["predictor"]["minReplicas"] == 1


def test_without_kserve_the_sentence_says_so(kube: KubeServer, new_keeper: NewKeeper) -> None:
    kube.installed = False
    keeper = new_keeper()
    keeper.want(wanted(A))
    with pytest.raises(InvalidInput, match="Install KServe"):
        keeper.tend()


def test_a_manifest_that_the_server_does_not_take_makes_the_release_unfit(
    kube: KubeServer, api: KServeApi, clock: VirtualClock
) -> None:
    keeper = ServiceKeeper(api, _with_replicas(-1), clock, PATIENCE)
    keeper.want(wanted(A))
    with pytest.raises(InvalidInput, match="minReplicas"):
        keeper.tend()
    with pytest.raises(Refused, match="minReplicas"):
        keeper.address(A)
    assert kube.complaints


def test_the_pages_of_a_list_that_expired_are_listed_anew(kube: KubeServer, new_keeper: NewKeeper) -> None:
    keeper = new_keeper()
    keeper.want(DIGESTS)
    keeper.tend()
    count = itertools.count()
    serve = kube._list

    def forgetful(query: Mapping[str, str]) -> Any:
        if next(count) == 1:
            kube._pages.clear()
        return serve(query)

    kube._list = forgetful  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="expired"):
        keeper.tend()
    assert keeper.tend() is False


def test_a_conflict_is_read_again(kube: KubeServer, new_keeper: NewKeeper, api: KServeApi, clock: VirtualClock) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A))
    keeper.tend()
    newer = ServiceKeeper(api, _with_image("registry.example/recloser:0.2.0"), clock, PATIENCE)
    newer.want(wanted(A))
    raced = itertools.count()

    def somebody_is_quicker(name: str) -> None:
        del name

    kube.changed = somebody_is_quicker
    update = kube._update

    def late(name: str, query: Mapping[str, str], body: dict[str, Any]) -> Any:
        if next(raced) == 0:
            kube.edit(name, lambda document: document["metadata"]["labels"].update(seen="yes"))
        return update(name, query, body)

    kube._update = late  # type: ignore[method-assign]
    assert newer.tend() is True, "lost: look again at once"
    clock.advance_to(clock.now() + timedelta(minutes=1))
    assert newer.tend() is False
    assert _image(kube).endswith(":0.2.0")


class Killed(BaseException):
    """The process was killed."""


class DyingRest(Rest):
    """Dies at its n-th call: before it was sent, or after it was done."""

    def __init__(self, target: RestTarget, at: int, *, done: bool) -> None:
        super().__init__(target, no_sleep)
        self.calls, self._at, self._done = 0, at, done

    def call(self, *words: Any, **more: Any) -> Answer:
        self.calls += 1
        if self.calls == self._at and not self._done:
            raise Killed
        answer = super().call(*words, **more)
        if self.calls == self._at:
            raise Killed
        return answer


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_any_call_it_comes_to_the_same_state(
    kube: KubeServer, token: Path, clock: VirtualClock, *, done: bool
) -> None:
    """A champion with an old image stays, a challenger comes, a tripped release goes."""
    target = RestTarget(kube.url, token)

    def live(rest: Rest, plan: Any, *needs: str, rounds: int = 3) -> None:
        keeper = ServiceKeeper(KServeApi(rest, "recloser"), plan, clock, PATIENCE)
        keeper.want(wanted(*needs))
        for _ in range(rounds):
            keeper.tend()
            clock.advance_to(clock.now() + PATIENCE.linger)

    ended = set()
    for at in itertools.count(1):
        for name in names(kube):
            kube.remove(name)
        live(Rest(target, no_sleep), _with_image("registry.example/recloser:0.0.9"), A, C)
        dying = DyingRest(target, at, done=done)
        try:
            live(dying, PLAN, A, B)
            break
        except Killed:
            live(Rest(target, no_sleep), PLAN, A, B)
        images = [item["spec"]["predictor"]["containers"][0]["image"] for item in kube.objects().values()]
        ended.add((tuple(names(kube)), tuple(images)))
    assert at > 7, "list, create, replace; list, delete; list; and the one that was not reached"
    assert ended == {((f"mygrid-{A}", f"mygrid-{B}"), (PLAN.image, PLAN.image))}
    assert kube.complaints == []


def _image(kube: KubeServer) -> str:
    return str(kube.objects()[f"mygrid-{A}"]["spec"]["predictor"]["containers"][0]["image"])


def _with_image(image: str) -> ServicePlan:
    return replace(PLAN, image=image)


def _with_replicas(count: int) -> ServicePlan:
    return replace(PLAN, replicas=count)
