"""The threads act soon after something happened, and a watch that fails in any way costs only time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest_kserve import DIGESTS, PATIENCE, PLAN, A, B, get_ready, names, no_sleep, wanted

from recloser.connectors.rest import Rest, RestTarget
from recloser.core import Refused, Unavailable, VirtualClock
from recloser.serving.kserve import Expired, KServeApi, ServiceKeeper, Tending
from recloser.serving.kserve.api import Event, Listing
from recloser.testing.apis.http_api import Fault, wait_until
from recloser.testing.apis.kube_api import KubeServer

PATH = "/apis/serving.kserve.io/v1beta1/namespaces/recloser/inferenceservices"
NewKeeper = Callable[[], ServiceKeeper]


@contextmanager
def tended(
    keeper: ServiceKeeper, api: KServeApi, *, every_s: float = 3600.0, said: list[str] | None = None
) -> Iterator[None]:
    """Without a watch, nothing would be noticed within the hour."""
    say = (said if said is not None else []).append
    with Tending(keeper, api, every_s=every_s, first_wait_s=0.01, silence_s=30.0, say=say):
        yield


def is_at(keeper: ServiceKeeper, release: str) -> bool:
    try:
        return bool(keeper.address(release))
    except (Unavailable, Refused):
        return False


def test_each_change_is_noticed_by_the_watch(kube: KubeServer, api: KServeApi, new_keeper: NewKeeper) -> None:
    keeper = new_keeper()
    with tended(keeper, api):
        keeper.want(wanted(A))
        assert wait_until(lambda: names(kube) == [f"mygrid-{A}"])
        get_ready(kube, A)
        assert wait_until(lambda: is_at(keeper, A))
        get_ready(kube, A, ready=False, why="drained")
        assert wait_until(lambda: not is_at(keeper, A))
        kube.remove(f"mygrid-{A}")
        assert wait_until(lambda: names(kube) == [f"mygrid-{A}"]), "somebody deleted it: it is made again"
        keeper.ask(B, DIGESTS[B])
        assert wait_until(lambda: len(names(kube)) == 2)


@pytest.mark.parametrize("trouble", ["broken off", "compacted", "refused", "overloaded", "garbage", "dropped"])
def test_a_watch_in_trouble_goes_on(kube: KubeServer, api: KServeApi, new_keeper: NewKeeper, trouble: str) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A))
    said: list[str] = []
    with tended(keeper, api, said=said):
        assert wait_until(lambda: kube.count(f"GET {PATH}") >= 2 and names(kube) == [f"mygrid-{A}"])
        if trouble == "compacted":
            kube.compact()
        else:
            if trouble == "refused":
                kube.allowed.discard("watch")
            elif trouble != "broken off":
                kind = {"overloaded": "status", "garbage": "garbage", "dropped": "drop"}[trouble]
                kube.faults.append(Fault(f"GET {PATH}", kind=kind, status=429, times=3))
            kube.break_watches()
        before = kube.count("GET")
        assert wait_until(lambda: kube.count("GET") >= before + 3)
        kube.allowed.add("watch")
        get_ready(kube, A)
        assert wait_until(lambda: is_at(keeper, A))


def test_an_api_server_that_is_away_is_asked_ever_more_seldom_and_found_again(
    kube: KubeServer, api: KServeApi, new_keeper: NewKeeper
) -> None:
    keeper, said = new_keeper(), []
    kube.faults.append(Fault("GET", status=503, times=30))
    keeper.want(wanted(A))
    with tended(keeper, api, every_s=0.2, said=said):
        assert wait_until(lambda: names(kube) == [f"mygrid-{A}"])
    assert len(said) == 1, "the same sentence once"


class Odd(KServeApi):
    """Its first listing and its first watch meet what nobody thought of."""

    listings = watches = 0

    def listing(self) -> Listing:
        self.listings += 1
        return super().listing() if self.listings > 1 else {}["items"]

    def watch(self, version: str, *, silence_s: float) -> Iterator[Event]:
        self.watches += 1
        return super().watch(version, silence_s=silence_s) if self.watches > 1 else {}["object"]


def test_a_defect_is_told_and_ends_neither_thread(kube: KubeServer, token: Path, clock: VirtualClock) -> None:
    api, said = Odd(Rest(RestTarget(kube.url, token), no_sleep), "recloser"), list[str]()
    keeper = ServiceKeeper(api, PLAN, clock, PATIENCE)
    keeper.want(wanted(A))
    with tended(keeper, api, said=said):
        assert wait_until(lambda: names(kube) == [f"mygrid-{A}"])
        get_ready(kube, A)
        assert wait_until(lambda: is_at(keeper, A))
    assert sorted(said) == ["kserve: KeyError: 'items'", "kserve: the watch met KeyError: 'object'"]


def test_a_wait_that_the_server_asks_for_is_kept(kube: KubeServer, token: Path, new_keeper: NewKeeper) -> None:
    keeper = new_keeper()
    keeper.want(wanted(A))
    kube.faults.append(Fault("POST", status=429, retry_after="3600"))
    api = KServeApi(Rest(RestTarget(kube.url, token), no_sleep), "recloser")
    with tended(keeper, api):
        assert wait_until(lambda: kube.count("POST") == 1)
        keeper.ask(B, DIGESTS[B])
        threading.Event().wait(0.3)
        assert kube.count("POST") == 1, "nobody asks before that time is over, whoever wakes it"


def test_a_watch_ends_in_the_error_that_says_what_to_do(kube: KubeServer, api: KServeApi) -> None:
    kube.compact()
    with pytest.raises(Expired):
        list(api.watch("1", silence_s=5.0))
    kube.faults.append(Fault(f"GET {PATH}", status=410))
    with pytest.raises(Expired):
        list(api.watch("1", silence_s=5.0))
    kube.token = "other"
    with pytest.raises(Refused):
        list(api.watch("1", silence_s=5.0))


def test_bookmarks_move_a_watch_on(kube: KubeServer, api: KServeApi) -> None:
    kube.put({"metadata": {"name": "somebody-elses", "labels": {}}, "spec": {}})
    version = api.listing().version
    events = api.watch(version, silence_s=30.0)
    kube.put({"metadata": {"name": "another", "labels": {}}, "spec": {}})
    bookmark = next(events)
    assert (bookmark.kind, bookmark.service) == ("BOOKMARK", None)
    assert int(bookmark.version) > int(version)
    kube.compact()


def test_what_may_be_done_is_asked_of_the_server(kube: KubeServer, api: KServeApi) -> None:
    assert all(api.may(verb) for verb in ("get", "list", "watch", "create", "update", "delete"))
    kube.allowed -= {"delete"}
    assert not api.may("delete")
    assert api.served() == ("v1beta1",)
    kube.installed = False
    assert api.served() == ()
