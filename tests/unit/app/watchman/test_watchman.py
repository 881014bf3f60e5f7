"""The watchman tells each absence once when it begins and once when it ends, whoever is dead, and shows the figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recloser.app import Platform
from recloser.app.verbs import newest_instant, status_document
from recloser.app.watchman.exporter import Board, told
from recloser.app.watchman.watching import Watchman
from recloser.core import Unavailable, VirtualClock
from recloser.ledger import ForecastRecord, Leadership, NoticeRecord
from recloser.testing import Meeting

HOUR = timedelta(hours=1)


@pytest.fixture
def platform(served: Path) -> Iterator[Platform]:
    with Platform.open(served) as opened:
        opened.clock = VirtualClock(newest_instant(opened))
        yield opened


def issue_of(platform: Platform) -> datetime:
    return platform.ledger.find(ForecastRecord, order_by="issued_at", descending=True, limit=1)[0].issued_at


def notices(platform: Platform) -> list[tuple[str, str]]:
    found = platform.ledger.find(NoticeRecord, kind="absence", order_by="at")
    return [(notice.subject, notice.data["state"]) for notice in found]


def figures(board: Board) -> dict[str, dict[tuple[str, ...], float]]:
    text, trouble = board.read()
    assert trouble == ""
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def test_of_two_watchmen_that_look_at_one_moment_one_tells(platform: Platform, served: Path) -> None:
    late = issue_of(platform) + 30 * HOUR
    with Platform.open(served) as theirs:
        theirs.clock = VirtualClock(newest_instant(theirs))
        other, told_first = Watchman(theirs, Board()), list[str]()
        meeting: Any = Meeting(platform.ledger, lambda: told_first.extend(other.look(late)))
        platform.ledger = meeting
        assert Watchman(platform, Board()).look(late) == []
    assert len(told_first) == len(notices(platform)) > 0


def test_a_missing_issue_is_told_once_and_its_end_too(platform: Platform) -> None:
    board, begun = Board(), issue_of(platform)
    watchman = Watchman(platform, board)
    assert watchman.look(begun + HOUR) == []
    late = begun + timedelta(days=1, minutes=40)  # half an hour after the next issue was due, and ten minutes
    (sentence,) = watchman.look(late)
    assert "any area" in sentence
    assert watchman.look(late + HOUR) == []
    assert Watchman(platform, board).look(late + 2 * HOUR) == []  # one that was started anew knows it
    assert figures(board)["recloser_forecast_absent"] == {("F01",): 1.0, ("F02",): 1.0}
    assert figures(board)["recloser_absence_open"][("forecast",)] == 1.0
    assert status_document(platform)["absences"][0]["areas"] == ["F01", "F02"]
    assert sentence in status_document(platform)["sentences"]
    (over,) = watchman.look(begun + HOUR)
    assert over.startswith("There again")
    assert notices(platform) == [("forecast", "over"), ("forecast", "open")]
    assert [entry.action for entry in platform.ledger.entries()][-2:] == ["absence.open", "absence.over"]
    assert platform.ledger.verify().ok


def test_an_area_more_is_told_again_and_an_area_less_is_not(platform: Platform) -> None:
    watchman, begun = Watchman(platform, Board()), issue_of(platform)
    for area, told_of in (("F01", 1), ("F02", 1)):
        record = platform.ledger.find(ForecastRecord, area=area, void=False, issued_at=begun)[0]
        with platform.ledger.change("tester", begun) as change:
            change.put(_voided(record, begun))
            change.note("test.void", record.key, {})
        assert len(watchman.look(begun + HOUR)) == told_of
    with platform.ledger.change("tester", begun) as change:
        change.put(record)
        change.note("test.unvoid", record.key, {})
    assert watchman.look(begun + HOUR) == []
    assert notices(platform) == [("forecast", "open")] * 2


def _voided(record: ForecastRecord, now: datetime) -> ForecastRecord:
    values = {name: getattr(record, name) for name in record.__slots__}
    return ForecastRecord(**{**values, "void": True, "void_at": now})


def test_load_that_stops_is_told(platform: Platform) -> None:
    (sentence,) = [s for s in Watchman(platform, Board()).look(newest_instant(platform) + 40 * HOUR) if "load" in s]
    assert "No load is known after" in sentence


def test_the_first_trip_and_the_first_backup_are_told_as_none_before(platform: Platform) -> None:
    board, begun = Board(), issue_of(platform)
    Watchman(platform, board).look(begun + HOUR)
    entries = figures(board)["recloser_audit_entries"]
    assert entries[("rollout.trip",)] == entries[("backup.write",)] == 0.0
    assert entries[("rollout.submit",)] == 1.0
    assert figures(board)["recloser_backup_age_seconds"] == {}


class Receiver:
    """A real webhook receiver that keeps what it gets."""

    def __init__(self) -> None:
        got: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.got = got
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    found.thread.start()
    yield found
    found.server.shutdown()
    found.thread.join()
    found.server.server_close()


def test_while_no_controller_leads_the_watchman_delivers(served: Path, receiver: Receiver) -> None:
    with (served / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[[notify.webhooks]]\nname = "desk"\nurl = "http://127.0.0.1:{receiver.server.server_port}/"\n')
    with Platform.open(served) as platform:
        clock = VirtualClock(issue_of(platform) + HOUR)
        platform.clock = clock
        watchman = Watchman(platform, Board())
        with Leadership(platform.ledger, "controller", "tester", clock, timedelta(minutes=15)):
            pass
        assert watchman.look(clock.now()) == []
        assert receiver.got == []
        clock.advance_to(clock.now() + timedelta(minutes=20))
        (sentence,) = watchman.look(clock.now())
        assert "No controller has led since" in sentence
        assert b"io.recloser.absence.v1" in receiver.got[0]
        assert b"gateways serve the champion alone" in receiver.got[0]
        watchman.look(clock.now())
        assert len(receiver.got) == 1


def test_figures_tell_what_the_ledger_says(platform: Platform) -> None:
    board = Board()
    begun = issue_of(platform)
    Watchman(platform, board).look(begun + HOUR)
    found = figures(board)
    assert found["recloser_forecast_age_seconds"] == {("F01",): 3600.0, ("F02",): 3600.0}
    assert found["recloser_rollouts"][("champion",)] == 1.0
    assert list(found["recloser_release_info"].values()) == [1.0]
    assert found["recloser_freeze_active"] == {(): 0.0}
    assert sum(found["recloser_audit_entries"].values()) == platform.ledger.verify().entries
    assert "recloser_backup_age_seconds" in found


def test_a_board_in_trouble_shows_no_old_figures() -> None:
    board = Board()
    with told(board, "127.0.0.1", 0) as port:
        board.write("recloser_x 1\n")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert answer.read() == b"recloser_x 1\n"
        board.write("", "the ledger is gone")
        for path in ("metrics", "health"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30)
            assert caught.value.code == 503
            assert caught.value.read() == b"the ledger is gone\n"
        with pytest.raises(Unavailable, match="cannot be listened on"), told(Board(), "127.0.0.1", port):
            pass


@pytest.mark.slow
def test_the_process_watches_until_it_is_told_to_stop(served: Path) -> None:
    words = ["watchman", "--project", str(served), "--json"]
    child = subprocess.Popen(
        [sys.executable, "-c", f"import sys; from recloser.cli.main import main; sys.exit(main({words!r}))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr is not None
        assert child.stdout is not None
        told_text = ""
        while not told_text.rstrip().endswith("}"):
            told_text += child.stdout.readline()
        assert json.loads(told_text) == {"metrics": None}
        said = child.stderr.readline()
        assert said.startswith("watchman: No ")
        time.sleep(0.1)
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.communicate()
    with Platform.open(served) as platform:
        assert {subject for subject, _ in notices(platform)} == {"forecast", "load"}
        (log,) = platform.layout.logs.glob("*_watchman.jsonl")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert said.strip() in [line["text"] for line in lines]
        assert {(line["process"], line["pid"]) for line in lines} == {("watchman", child.pid)}
