"""Answers that are none of the API's: pages before it, other shapes, waits without measure; each told as what it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from recloser.connectors.rest import Rest, RestTarget
from recloser.core import Refused, Unavailable
from recloser.engines.kubeflow.api import KubeflowApi, read_run

Said = tuple[int, str, dict[str, str]]
Serve = Callable[..., KubeflowApi]
PAGE = "<html><title>Log in</title></html>"


class Answers:
    """A server that says the next of what it was given, its last again and again."""

    def __init__(self, *said: Said) -> None:
        left = list(said)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                status, body, headers = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                for name, text in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, text)
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET  # noqa: N815 - as the class of the library names it

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.waits: list[float] = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def api(self) -> KubeflowApi:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return KubeflowApi(Rest(RestTarget(url, timeout_s=10.0, tries=2), self.waits.append))


@pytest.fixture
def answers() -> Iterator[Callable[..., Answers]]:
    begun: list[Answers] = []

    def begin(*said: Said) -> Answers:
        begun.append(Answers(*said))
        return begun[-1]

    yield begin
    for one in begun:
        one.server.shutdown()
        one.server.server_close()


def good(document: Any) -> Said:
    return 200, json.dumps(document), {}


def test_a_log_in_page_is_refused_with_where_and_the_next_step(answers: Callable[..., Answers]) -> None:
    with pytest.raises(Refused, match=r"GET http://127.*/experiments.*log-in.*token") as caught:
        answers((200, PAGE, {"content-type": "text/html; charset=utf-8"})).api().experiment("grid")
    assert "Log in" in caught.value.explain()


@pytest.mark.parametrize("listed", [[None], {"a": 1}, "x", [[1]], [{"display_name": "run-1"}]])
def test_a_list_of_another_shape_is_unavailable(listed: Any, answers: Callable[..., Answers]) -> None:
    with pytest.raises(Unavailable, match="API answered something"):
        answers(good({"runs": listed})).api().newest("run-1", "e")


@pytest.mark.parametrize("said", [[{}, {}], [{"experiments": [{"display_name": "grid"}]}], [{}, {"experiment_id": []}]])
def test_an_experiment_without_its_id_is_unavailable(said: list[Any], answers: Callable[..., Answers]) -> None:
    with pytest.raises(Unavailable, match="experiment_id"):
        answers(*map(good, said)).api().experiment("grid")


@pytest.mark.parametrize(
    "details", [[1], "x", {"task_details": {"a": 1}}, {"task_details": 3}, {"task_details": [None]}]
)
def test_a_run_whose_details_are_none_has_no_tasks(details: Any) -> None:
    assert read_run({"run_id": "r", "run_details": details}).tasks == ()


@pytest.mark.parametrize(
    ("asked", "wait_s"), [("\u00b2", 0.2), ("9" * 400, 30.0), ("2", 2.0), ("Wed, 21 Oct 2065 07:28:00 GMT", 0.2)]
)
def test_a_wait_that_the_server_asks_for_has_a_measure(
    asked: str, wait_s: float, answers: Callable[..., Answers]
) -> None:
    server = answers(
        (429, "{}", {"retry-after": asked}), good({"experiments": [{"display_name": "g", "experiment_id": "e"}]})
    )
    assert server.api().experiment("g") == "e"
    assert server.waits == [wait_s]


def test_who_waits_by_himself_is_told_five_minutes_at_most(answers: Callable[..., Answers]) -> None:
    server = answers((429, "{}", {"retry-after": "9" * 400}))
    rest = server.api()._rest
    assert rest.call("GET", "/", expect=(429,)).retry_after_s == 300.0
