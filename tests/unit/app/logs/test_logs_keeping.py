"""The log of a process: lines, their ids, what is never written, full disks, kills, turning over."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.app.logs import file as log_file
from recloser.app.logs.file import LogFile
from recloser.app.logs.keeping import FORGOTTEN_S, LogHandler, ProcessLog, beside, file_name, forget_logs
from recloser.app.logs.line import LONGEST, LogLine, cleaned, line_of, names_in
from recloser.app.logs.reading import LogAsk, read_logs
from recloser.app.logs.told import level_of, told

RELEASE, FORECAST = "rel-0123456789ab", "fc-0123456789ab"


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return all lines of a folder's logs as they stand on disk."""
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where logs go; made by the first line."""
    return tmp_path / "logs"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of a library, with nothing left on it afterwards."""
    found = logging.getLogger("some.library")
    found.propagate = False
    yield found
    found.handlers.clear()
    found.propagate = True


def test_a_line_has_its_level_process_and_the_ids_that_it_names(folder: Path) -> None:
    log = ProcessLog(folder, "controller", 7)
    log(told(f"{RELEASE} made {FORECAST}", device="pmu-7", forecast=["fc-aaaaaaaaaaaa", FORECAST]))
    (row,) = rows(folder)
    assert (row["level"], row["process"], row["pid"]) == ("info", "controller", 7)
    assert row["release"] == [RELEASE]
    assert row["forecast"] == ["fc-aaaaaaaaaaaa", FORECAST]
    assert row["device"] == ["pmu-7"]
    assert row["at"].endswith("Z")
    assert stat.S_IMODE(next(folder.iterdir()).stat().st_mode) == 0o600


def test_a_sentence_without_a_level_is_a_warning() -> None:
    assert level_of("the disk is full") == "warning"
    assert level_of(told("up")) == "info"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("cannot reach postgresql://grid:hunter2@db:5432/x", "hunter2"),
        ("cannot reach amqp://:hunter2@host", "hunter2"),
        ("sent Authorization: Bearer abc.def-hunter2", "hunter2"),
        ("sent Authorization: Basic aHVudGVyMg==", "aHVudGVyMg=="),
        ("?client_secret=hunter2&x=1", "hunter2"),
        ('{"password": "hunter2"}', "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "hunter2"),
        ("X-Amz-Signature=hunter2", "hunter2"),
        ("MQTT_PASSWORD: hunter2", "hunter2"),
        ("token rcl_abcdefgh12345678 was used", "rcl_abcdefgh12345678"),
        ("id eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln was refused", "eyJzdWIiOiJhIn0"),
        ("-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----", "MIGHAgEA"),
        ("-----BEGIN EC PRIVATE KEY-----\nMIGHAgEA cut off", "MIGHAgEA"),
    ],
)
def test_what_must_stay_secret_is_in_no_line_and_no_traceback(folder: Path, text: str, secret: str) -> None:
    stream = StringIO()
    log = ProcessLog(folder, "gateway", 1, stream)
    log(text)
    error = ValueError(text)
    log.keep("defect", "error", {"device": [text]}, (ValueError, error, None))
    whole = "".join(path.read_text() for path in folder.iterdir()) + stream.getvalue()
    assert secret not in whole
    assert "***" in whole


def test_sentences_without_secrets_are_not_changed() -> None:
    for text in (
        f"{RELEASE} is cut off: 3 late answers; token bucket empty at 10 requests/s",
        "the secretary of https://plant.example/a@b says: passwords expire",
        "route epoch 7: champion rel-0123456789ab, canary for 10 %",
    ):
        assert cleaned(text) == text


def test_a_text_cannot_forge_a_line_or_a_terminal_sequence(folder: Path) -> None:
    log = ProcessLog(folder, "link x", 1)
    log(told('a\n{"level": "error", "text": "forged"}\x1b[2J\u202eb\udc80', device="d\n\x1b[31m"))
    (row,) = rows(folder)
    assert "\n" not in row["text"]
    assert "\x1b" not in row["text"] + row["device"][0]
    assert row["level"] == "info"


def test_names_cannot_take_the_place_of_a_lines_own_columns() -> None:
    assert names_in("x", {"level": ["error"], "at": ["never"], "device": ["a", "a"]}) == {"device": ["a"]}


@given(
    st.text(), st.sampled_from(["debug", "info", "warning", "error"]), st.dictionaries(st.text(), st.lists(st.text()))
)
def test_whatever_is_said_is_one_line_that_reads_back(text: str, level: str, about: dict[str, list[str]]) -> None:
    clean = cleaned(text).encode("utf-8", "replace").decode()
    names = names_in(clean, about)
    line = LogLine(_instant(), level, "controller", "host", 1, "x", names, "")
    raw = line.encoded()
    assert raw.count(b"\n") == 1
    assert line_of(raw) == line


def _instant() -> Any:
    return line_of(
        b'{"at":"2026-01-02T03:04:05.678901Z","level":"info","process":"p","host":"h","pid":1,"text":"t"}'
    ).at  # type: ignore[union-attr]


def test_the_largest_line_is_shorter_than_readers_allow(folder: Path) -> None:
    log = ProcessLog(folder, "controller", 1)
    many = [f"{number}-" + "\N{SNOWMAN}" * 300 for number in range(500)]
    error = ValueError("\x01" * 50_000)
    log.keep(
        "\x02" * 10 + "\N{SNOWMAN}" * 50_000, "error", {"a": many, "b": many, "c": many}, (ValueError, error, None)
    )
    (path,) = folder.iterdir()
    assert path.stat().st_size < LONGEST
    assert len(read_logs(folder, LogAsk()).lines) == 1


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"null", b"[1]", b"\xff", b'{"at": 3}', b'{"at":"2026-01-02T03:04:05Z","level":"fatal","pid":1}'],
)
def test_what_is_no_line_is_none(raw: bytes) -> None:
    assert line_of(raw) is None


def test_what_libraries_log_is_kept_with_its_traceback(folder: Path, logger: logging.Logger) -> None:
    log = ProcessLog(folder, "gateway 1", 1)
    logger.addHandler(LogHandler(log))
    try:
        {}["boom"]
    except KeyError:
        logger.exception("met a defect in %s", "infer")
    LogHandler(log).emit(logging.LogRecord("some.library", logging.WARNING, "x.py", 1, "%d and %d", (1,), None))
    logger.critical(told("gone", release=RELEASE))
    first, second, third = rows(folder)
    assert (first["level"], first["text"], first["logger"]) == ("error", "met a defect in infer", ["some.library"])
    assert "KeyError: 'boom'" in first["trace"]
    assert "%d and %d" in second["text"]
    assert (third["level"], third["release"]) == ("error", [RELEASE])


def test_the_stream_gets_the_sentence_or_the_same_json(folder: Path) -> None:
    text, data = StringIO(), StringIO()
    ProcessLog(None, "gateway", 1, text)(told("serves"))
    ProcessLog(folder, "gateway", 1, data, as_json=True)(told("serves"))
    assert text.getvalue() == "serves\n"
    assert json.loads(data.getvalue()) == rows(folder)[0]


def test_a_stream_whose_reader_is_gone_costs_nothing(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        log = ProcessLog(folder, "gateway", 1, gone)
        log("first")
        log("second")
        assert [row["text"] for row in rows(folder)] == ["first", "second"]
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())  # closing flushes what nobody took


def test_a_file_turns_over_and_holds_at_most_twice_its_size(folder: Path) -> None:
    path = folder / "a.jsonl"
    file = LogFile(path, most_bytes=1_000)
    for number in range(200):
        assert file.add(b"%05d" % number + b"x" * 44 + b"\n")
    assert path.stat().st_size <= 1_000
    older = folder / "a.jsonl.1"
    assert older.stat().st_size <= 1_000
    kept = older.read_bytes() + path.read_bytes()
    numbers = [int(line[:5]) for line in kept.splitlines()]
    assert numbers == list(range(200 - len(numbers), 200))


def test_a_line_cut_off_by_a_kill_does_not_damage_the_next(folder: Path) -> None:
    folder.mkdir()
    path = folder / file_name("h", "controller")
    path.write_bytes(b'{"at":"2026-01-02T03:04:05Z","lev')
    LogFile(path).add(ProcessLineOf("after"))
    page = read_logs(folder, LogAsk())
    assert [line.text for line in page.lines] == ["after"]
    assert page.damaged == 1


def ProcessLineOf(text: str) -> bytes:  # noqa: N802 - reads as what it makes
    """Return a line on disk."""
    return LogLine(_instant(), "info", "controller", "h", 1, text).encoded()


def test_a_file_that_was_moved_or_deleted_is_begun_anew(folder: Path) -> None:
    path = folder / "a.jsonl"
    file = LogFile(path)
    file.add(b"one\n")
    path.rename(folder / "b.jsonl")
    file.add(b"two\n")
    path.unlink()
    file.add(b"three\n")
    assert path.read_bytes() == b"three\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_tells_how_many(folder: Path) -> None:
    log = ProcessLog(folder, "controller", 1)
    log("before")
    (path,) = folder.iterdir()
    aside = path.rename(folder.parent / "aside")
    folder.rmdir()
    folder.write_text("not a folder")
    log("lost 1")
    log("lost 2")
    folder.unlink()
    folder.mkdir()
    aside.rename(path)
    log("after")
    assert [row["text"] for row in rows(folder)] == [
        "before",
        "after",
        "2 lines before this one were lost: the disk took none",
    ]


def test_a_link_in_the_place_of_the_file_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    target = tmp_path / "precious"
    target.write_text("keep")
    (folder / "a.jsonl").symlink_to(target)
    assert not LogFile(folder / "a.jsonl").add(b"x\n")
    assert target.read_text() == "keep"
    assert read_logs(folder, LogAsk()).lines == []


WRITER = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("file", sys.argv[1])  # alone: the whole program takes seconds to import
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
file = module.LogFile(pathlib.Path(sys.argv[2]), most_bytes=16_000)
for number in range(1_500):
    file.add(b"%d %05d\\n" % (int(sys.argv[3]), number))
"""


def test_processes_that_share_a_file_tear_no_line_while_it_turns_over(folder: Path) -> None:
    path, module = folder / "a.jsonl", log_file.__file__
    words = [[sys.executable, "-c", WRITER, module, str(path), str(who)] for who in (1, 2)]
    workers = [subprocess.Popen(command) for command in words]
    assert [worker.wait() for worker in workers] == [0, 0]
    lines = (folder / "a.jsonl.1").read_bytes().splitlines() + path.read_bytes().splitlines()
    assert all(len(line) == 7 and line[:2] in {b"1 ", b"2 "} for line in lines)
    assert lines[-1][2:] == b"01499"


def test_a_process_killed_while_it_logs_leaves_a_log_that_reads(folder: Path) -> None:
    program = (
        "import itertools, sys; from pathlib import Path; from recloser.app.logs.keeping import ProcessLog\n"
        "log = ProcessLog(Path(sys.argv[1]), 'controller', 1)\n"
        "for number in itertools.count(): log(f'number {number}')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)])
    while not folder.exists() or not read_logs(folder, LogAsk()).lines:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ProcessLog(folder, "controller", 2)(told("begun anew"))
    page = read_logs(folder, LogAsk(), page=2)
    assert page.lines[0].text == "begun anew"
    assert page.lines[1].text.startswith("number ")
    assert page.damaged <= 1


def test_files_of_processes_that_are_long_gone_are_deleted(folder: Path) -> None:
    ProcessLog(folder, "gateway", 1)("x")
    ProcessLog(folder, "controller", 1)("x")
    (old,) = folder.glob("*_gateway.jsonl")
    now = time.time()
    os.utime(old, (now - FORGOTTEN_S - 60, now - FORGOTTEN_S - 60))
    forget_logs(folder, now)
    assert [path.name.rpartition("_")[2] for path in folder.iterdir()] == ["controller.jsonl"]
    forget_logs(folder / "none", now)


def test_what_somebody_is_told_is_kept_too(folder: Path) -> None:
    heard: list[str] = []
    say = beside(heard.append, ProcessLog(folder, "supervisor", 1))
    say(told("stopped"))
    assert heard == ["stopped"]
    assert rows(folder)[0]["level"] == "info"
