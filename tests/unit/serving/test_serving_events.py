from __future__ import annotations

import asyncio
import http.client
import json
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput, Refused
from recloser.serving.http import Event, EventBuffer


async def collect(buffer: EventBuffer, after: int | None) -> list[Event]:
    return [event async for event in buffer.stream(after)]


@given(st.integers(0, 30), st.integers(1, 12), st.integers(1, 40), st.one_of(st.none(), st.integers(0, 80)))
def test_a_resumed_stream_is_complete_or_says_what_is_missing(
    count: int, capacity: int, first: int, after: int | None
) -> None:
    buffer = EventBuffer(capacity, first)
    published = [buffer.publish("forecast", {"k": k}) for k in range(count)]
    buffer.close()
    got = asyncio.run(collect(buffer, after))
    newest = first + count - 1
    if after is None:
        assert got == []
        return
    gap = got[:1] if got and got[0].kind == "gap" else []
    kept = [event for event in published[-capacity:] if event.id > after]
    assert got[len(gap) :] == kept
    lost = after > newest or after < (kept[0].id - 1 if kept else newest)
    assert bool(gap) == lost


def test_listeners_hear_what_is_published_from_a_thread() -> None:
    buffer = EventBuffer()

    async def listen() -> list[list[int]]:
        tasks = [asyncio.ensure_future(collect(buffer, None)) for _ in range(3)]
        await asyncio.sleep(0)

        def publish() -> None:
            for k in range(50):
                buffer.publish("forecast", {"k": k})
            buffer.close()

        worker = threading.Thread(target=publish)
        worker.start()
        got = await asyncio.gather(*tasks)
        worker.join()
        return [[event.id for event in events] for events in got]

    assert asyncio.run(listen()) == [list(range(1, 51))] * 3
    assert buffer._listeners == {}


def test_a_buffer_that_is_closed_or_holds_nothing() -> None:
    buffer = EventBuffer()
    buffer.close()
    with pytest.raises(Refused):
        buffer.publish("forecast", {})
    with pytest.raises(InvalidInput):
        EventBuffer(0)


def test_given_ids_may_leave_some_out_but_must_rise() -> None:
    buffer = EventBuffer(capacity=2, first_id=5)
    assert [buffer.publish("forecast", {}, event_id=k).id for k in (7, 12)] == [7, 12]
    assert buffer.publish("forecast", {}).id == 13
    for wrong in (13, 4, -1):
        with pytest.raises(InvalidInput):
            buffer.publish("forecast", {}, event_id=wrong)
    buffer.close()
    assert [event.id for event in asyncio.run(collect(buffer, 9))] == [12, 13]
    assert [event.id for event in asyncio.run(collect(buffer, 7))] == [12, 13]
    assert [event.kind for event in asyncio.run(collect(buffer, 6))] == ["gap", "forecast", "forecast"]


def test_server_sent_events_resume_by_id(kit: SimpleNamespace) -> None:
    whole = kit.service()
    for k in range(3):
        whole.events.publish("forecast" if k else "recall", {"k": k, "text": "a\nb"})
    whole.events.close()
    client = kit.Client(whole)
    response = client("GET", "/v1/events", headers={"last-event-id": "1"})
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block.splitlines() for block in response.text.split("\n\n") if block.startswith("id:")]
    assert [block[:2] for block in blocks] == [["id: 2", "event: forecast"], ["id: 3", "event: forecast"]]
    assert json.loads(blocks[0][2].removeprefix("data: ")) == {"k": 1, "text": "a\nb"}
    for wrong in ("x", "-1", "9" * 30, "²"):
        headers = {"last-event-id": wrong.encode("utf-8")}
        assert client("GET", "/v1/events", headers=headers).status_code == 400


def read_block(response: http.client.HTTPResponse) -> list[str]:
    """Read off the wire to the next empty line; the sizes of the chunks stand between the lines."""
    lines = []
    while line := response.fp.readline().decode().strip():
        lines.append(line)
    return lines


def test_a_real_server_answers_the_standard_library(kit: SimpleNamespace) -> None:
    with kit.Running(kit.service()) as running, running.connection() as connection:
        connection.request("GET", "/v2/health/ready")
        assert json.loads(connection.getresponse().read()) == {"ready": True}
        row = {"area": "a", "at": "2020-03-02T14:00:00Z", "scale_mw": 1000, "swing": 1.0, "lag": 1}
        body = json.dumps({"dataframe_records": [row]})
        connection.request("POST", "/invocations", body, {"content-type": "application/json"})
        response = connection.getresponse()
        assert json.loads(response.read())["predictions"][0]["q50"] == 1105.0
        connection.request("POST", "/v1/rollback", '{"reason": "x"}', {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        assert (answer["released"], answer["champion"], answer["epoch"]) == ("rel-1", "rel-0", 2)
        connection.request("POST", "/invocations", b"x" * 9_000_000, {"content-type": "application/json"})
        response = connection.getresponse()
        assert response.status == 413
        assert json.loads(response.read())["status"] == 413


def follow(connection: http.client.HTTPConnection, buffer: EventBuffer) -> None:
    connection.request("GET", "/v1/events", headers={"Last-Event-ID": "0"})
    response = connection.getresponse()
    assert response.getheader("content-type").startswith("text/event-stream")
    seen: list[str] = []
    while not any(line.startswith(": still here") for line in seen):
        seen += read_block(response)
    assert "id: 1" in seen
    buffer.publish("recall", {"k": 1})
    while "id: 2" not in seen:
        seen += read_block(response)
    response.close()


def test_a_real_stream_is_live_kept_alive_and_released(kit: SimpleNamespace) -> None:
    with kit.Running(kit.service(keep_alive_s=0.02)) as running:
        buffer = running.service.events
        buffer.publish("forecast", {"k": 0})
        with running.connection() as connection:
            follow(connection, buffer)
        for _ in range(2000):
            if not buffer._listeners:
                break
            threading.Event().wait(0.005)
        assert buffer._listeners == {}
