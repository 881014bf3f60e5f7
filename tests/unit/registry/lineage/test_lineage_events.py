from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from recloser.core import InvalidInput, Unavailable
from recloser.ledger import Entry
from recloser.registry.lineage.events import LineageContext, lineage_events, run_id
from recloser.registry.lineage.outlets import append_events, post_event

AT = datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC)
RELEASE = "rel-0123456789ab"
CONTEXT = LineageContext("grid", "1.2.3", {"run-1": (7, "cd" * 32)}, {RELEASE: "ab" * 32})


def entry(seq: int, action: str, subject: str, **facts: Any) -> Entry:
    return Entry(seq, AT, "someone", action, subject, facts, (), "0" * 64, f"{seq:064d}")


STORY = [
    entry(1, "store.ingest", "file:load.csv", rows=10, accepted=9, version=7),
    entry(2, "run.start", "run-1", trigger="drift", reason="load fell"),
    entry(3, "step.start", "run-1/train"),
    entry(4, "staging.pass", RELEASE, evidence="ef" * 32, reason="all passed"),
    entry(5, "run.done", "run-1", candidate=RELEASE, verdict="pass"),
    entry(
        6, "forecast.issue", "2021-02-03T08:00:00+00:00", areas=3, served_by=[f"champion:{RELEASE}", "fallback:naive"]
    ),
    entry(7, "run.failed", "run-2", what="disk full"),
    entry(8, "key.rotate", "key-1"),
]


def names(data: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in data]


def test_the_way_from_file_to_forecast_is_unbroken() -> None:
    ingest, start, gate, done, forecast, failed = lineage_events(STORY, CONTEXT)
    assert (names(ingest["inputs"]), names(ingest["outputs"])) == (["load.csv"], ["store/samples"])
    assert start["eventType"] == "START"
    assert done["eventType"] == "COMPLETE"
    assert start["run"]["runId"] == done["run"]["runId"]
    assert start["inputs"] == done["inputs"]
    assert start["inputs"][0]["facets"]["version"]["datasetVersion"] == "7"
    assert ingest["outputs"] == start["inputs"]
    assert names(done["outputs"]) == names(gate["inputs"]) == [f"packages/{RELEASE}"]
    assert done["outputs"][0]["facets"]["version"]["datasetVersion"] == "sha256:" + "ab" * 32
    assert names(gate["outputs"]) == [f"verdicts/{RELEASE}"]
    assert names(forecast["inputs"]) == [f"packages/{RELEASE}", "store/samples"]
    assert names(forecast["outputs"]) == ["forecasts/2021-02-03T08:00:00+00:00"]
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "disk full"


def test_every_event_has_the_form_of_the_specification() -> None:
    for event in lineage_events(STORY, CONTEXT):
        assert set(event) == {"eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs"}
        assert event["eventType"] in {"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"}
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        assert UUID(event["run"]["runId"]).version == 5
        assert event["schemaURL"].endswith("#/$defs/RunEvent")
        for data in (*event["inputs"], *event["outputs"], event["job"]):
            assert data["namespace"]
            assert data["name"]
        holders = [event["run"], *event["inputs"], *event["outputs"]]
        for facet in (facet for holder in holders for facet in holder.get("facets", {}).values()):
            assert {"_producer", "_schemaURL"} <= set(facet)


def test_equal_entries_give_equal_events_and_other_projects_other_runs() -> None:
    assert lineage_events(STORY, CONTEXT) == lineage_events(list(STORY), CONTEXT)
    assert run_id("grid", "pipeline", "run-1") != run_id("other", "pipeline", "run-1")
    assert run_id("grid", "pipeline", "run-1") != run_id("grid", "gate", "run-1")


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_a_killed_call_wrote_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lineage.jsonl"
    size = append_events(path, [{"n": 1}], 0)
    append_events(path, [{"n": 2}, {"n": 3}], size)  # killed before the size was noted
    with path.open("ab") as file:
        file.write(b'{"n": 4')  # and another one in the middle of a line
    size = append_events(path, [{"n": 2}, {"n": 3}], size)
    assert lines(path) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert size == path.stat().st_size
    path.rename(tmp_path / "rotated")
    assert append_events(path, [{"n": 4}], size) == path.stat().st_size
    assert lines(path) == [{"n": 4}]
    with pytest.raises(Unavailable):
        append_events(tmp_path / "rotated" / "x", [], 0)


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    """An OpenLineage server on the loopback address that refuses events of failed runs."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append(event)
            self.send_response(422 if event["eventType"] == "FAIL" else 201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be silent."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/api/v1/lineage", got
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_events_are_posted_and_a_refusal_is_told(server: tuple[str, list[Any]]) -> None:
    url, got = server
    *events, failed = lineage_events(STORY, CONTEXT)
    for event in events:
        post_event(url, event)
    assert got == events
    with pytest.raises(Unavailable, match="refuses"):
        post_event(url, failed)
    with pytest.raises(Unavailable, match="does not answer"):
        post_event("http://127.0.0.1:9/none", failed)
    with pytest.raises(InvalidInput):
        post_event("file:///etc/hostname", failed)
