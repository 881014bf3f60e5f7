"""Reading logs from their ends: the order of all processes, pages, filters, budgets, damage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.app.logs.file import LogFile
from recloser.app.logs.keeping import file_name
from recloser.app.logs.line import LogLine
from recloser.app.logs.reading import BLOCK, LogAsk, read_logs

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
RELEASE = "rel-0123456789ab"


def write(folder: Path, process: str, seconds: list[float], *, most: int = 4_000_000, pad: int = 0) -> None:
    """Write a line at each second; every fifth is a warning, every seventh is about a release."""
    file = LogFile(folder / file_name("host", process), most)
    for number, second in enumerate(seconds):
        level = "warning" if number % 5 == 0 else "info"
        about = {"release": [RELEASE]} if number % 7 == 0 else {}
        text = f"{process} {number}" + "." * pad
        at = BEGIN + timedelta(seconds=second)
        assert file.add(LogLine(at, level, process, "host", 1, text, about).encoded())


def everything(folder: Path, ask: LogAsk, page: int, budget: int = 4_000_000) -> list[LogLine]:
    """Return the lines of all pages in their order."""
    found: list[LogLine] = []
    while True:
        got = read_logs(folder, ask, page=page, budget=budget)
        found += got.lines
        if got.older is None:
            return found
        assert ask.before is None or got.older < ask.before
        ask = LogAsk(ask.process, ask.level, ask.find, got.older)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    page = read_logs(tmp_path / "none", LogAsk())
    assert (page.lines, page.older, page.looked_to, page.latest) == ([], None, None, [])


def test_lines_of_all_processes_come_in_one_order_newest_first(tmp_path: Path) -> None:
    write(tmp_path, "gateway", [1, 3, 5])
    write(tmp_path, "controller", [2, 4, 6])
    page = read_logs(tmp_path, LogAsk())
    assert [line.text for line in page.lines] == [
        "controller 2",
        "gateway 2",
        "controller 1",
        "gateway 1",
        "controller 0",
        "gateway 0",
    ]
    assert [line.text for line in page.latest] == ["controller 2", "gateway 2"]


def test_a_small_budget_leaves_no_line_of_any_process_out(tmp_path: Path) -> None:
    write(tmp_path, "gateway", [float(n) for n in range(2_000)], pad=100)
    write(tmp_path, "controller", [float(n) for n in range(1_000, 2_000)], pad=100)
    found = everything(tmp_path, LogAsk(), 10_000, budget=3 * BLOCK)
    assert len(found) == len({(line.process, line.text) for line in found}) == 3_000
    assert [line.at for line in found] == sorted((line.at for line in found), reverse=True)


@settings(max_examples=40, deadline=None)
@given(
    times=st.lists(st.lists(st.integers(0, 50), max_size=60).map(sorted), min_size=1, max_size=3),
    page=st.integers(1, 20),
    pad=st.sampled_from([0, 1_500]),
)
def test_leafing_through_gives_every_line_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, times: list[list[int]], page: int, pad: int
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    for number, seconds in enumerate(times):
        write(folder, f"p{number}", [float(second) for second in seconds], pad=pad)
    found = everything(folder, LogAsk(), page)
    assert [line.at for line in found] == sorted((line.at for line in found), reverse=True)
    wanted = {(f"p{k}", n) for k, seconds in enumerate(times) for n in range(len(seconds))}
    told = [(line.process, int(line.text.rstrip(".").partition(" ")[2])) for line in found]
    assert sorted(told) == sorted(wanted)


def test_a_page_goes_back_through_the_file_that_was_put_aside(tmp_path: Path) -> None:
    write(tmp_path, "gateway", [float(n) for n in range(1_000)], most=100_000)
    assert (tmp_path / "host_gateway.jsonl.1").is_file()
    found = everything(tmp_path, LogAsk(), 100)
    assert found[0].text == "gateway 999"
    numbers = [int(line.text.partition(" ")[2]) for line in found]
    assert numbers == list(range(999, 999 - len(numbers), -1))
    assert len(numbers) > 700


@pytest.mark.parametrize(
    ("ask", "count"),
    [
        (LogAsk(process="gateway"), 100),
        (LogAsk(level="warning"), 40),
        (LogAsk(level="error"), 0),
        (LogAsk(level="no such level"), 200),
        (LogAsk(find=RELEASE.upper()), 30),
        (LogAsk(find="GATEWAY 1"), 11),
        (LogAsk(process="controller", level="warning", find=RELEASE), 3),
        (LogAsk(process="nobody"), 0),
    ],
)
def test_filters_by_process_level_and_id(tmp_path: Path, ask: LogAsk, count: int) -> None:
    write(tmp_path, "gateway", [float(n) for n in range(100)])
    write(tmp_path, "controller", [n + 0.5 for n in range(100)])
    assert len(everything(tmp_path, ask, 7)) == count


def test_little_is_read_of_much_and_the_rest_is_told(tmp_path: Path) -> None:
    write(tmp_path, "gateway", [float(n) for n in range(5_000)])
    page = read_logs(tmp_path, LogAsk(find="gateway 17."), budget=2 * BLOCK)
    assert page.lines == []
    assert page.looked_to is not None
    assert page.older is not None
    found = everything(tmp_path, LogAsk(find="gateway 4321"), 10, budget=2 * BLOCK)
    assert [line.text for line in found] == ["gateway 4321"]


def test_an_instant_long_ago_is_found_without_reading_what_came_after(tmp_path: Path) -> None:
    write(tmp_path, "gateway", [float(n) for n in range(20_000)])
    before = BEGIN + timedelta(seconds=100)
    page = read_logs(tmp_path, LogAsk(before=before), page=5, budget=16 * BLOCK)
    assert [line.text for line in page.lines] == [f"gateway {n}" for n in (99, 98, 97, 96, 95)]
    assert (tmp_path / "host_gateway.jsonl").stat().st_size > 50 * BLOCK


def test_damage_of_any_kind_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path, "gateway", [1.0])
    path = tmp_path / "host_gateway.jsonl"
    path.write_bytes(
        b"\x00" * 300_000 + b"\n" + path.read_bytes() + b'nonsense\n{"at": 1}\n' + b'{"at":"2026-03-01T00:00:09Z","lev'
    )
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder.jsonl").mkdir()
    page = read_logs(tmp_path, LogAsk())
    assert [line.text for line in page.lines] == ["gateway 0"]
    assert page.damaged >= 3


def test_a_line_that_is_still_being_written_is_not_shown_yet(tmp_path: Path) -> None:
    write(tmp_path, "gateway", [1.0, 2.0])
    path = tmp_path / "host_gateway.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert [line.text for line in read_logs(tmp_path, LogAsk()).lines] == ["gateway 0"]
