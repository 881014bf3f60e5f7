"""The processes' log lines on level 4 in a real browser: read, filtered, leafed through, by role, without script."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.app import add_account, told
from recloser.app.logs.keeping import ProcessLog

pytestmark = [pytest.mark.story, pytest.mark.slow]
Lived = tuple[Path, datetime]
Page = Any  # of chromium.py, which is found by conftest.py
Opened = Any
WORD = "correct horse battery"
RELEASE = "rel-0123456789ab"


def write_logs(folder: Path) -> None:
    """Write what processes of `up` say: 120 lines of a link, a trip, a defect, and what nobody may see."""
    logs = folder / "state" / "logs"
    link = ProcessLog(logs, "link pmu-7", 11)
    for number in range(120):
        link(told(f"link pmu-7: up: number {number}", device="pmu-7"))
    ProcessLog(logs, "controller", 12)(told(f"rollout.trip rollout-00000000000d: late answers of {RELEASE}", "warning"))
    gateway = ProcessLog(logs, "gateway", 13)
    try:
        {}["<script>alert(1)</script>"]
    except KeyError as error:
        words = "met a defect: <script>alert(1)</script> postgresql://grid:hunter2@db/x"
        gateway.keep(words, "error", {}, (KeyError, error, error.__traceback__))


def test_log_lines_are_read_filtered_and_leafed_through(page: Page, lived: Lived, console: Opened) -> None:
    write_logs(lived[0])
    with console(*lived) as found:
        page.go(f"{found.url}/diagnostics")
        page.click("a[href='#logs']")
        assert page.count("#log-processes tr") == 3
        assert page.count("#log-lines tr") == 50
        first = page.text("#log-lines tr")
        assert "■ error" in first
        assert "<script>alert(1)</script>" in first
        assert "hunter2" not in page.text()
        page.click("#log-lines details summary")
        page.wait("document.querySelector('#log-lines details').open")
        assert "KeyError" in page.text("#log-lines pre")
        seen = page.js("[...document.querySelectorAll('#log-lines tr')].map(row => row.innerText)")
        while page.count("#log-older"):
            page.act(lambda: page.click("#log-older"))
            seen += page.js("[...document.querySelectorAll('#log-lines tr')].map(row => row.innerText)")
        assert len(seen) == len(set(seen)) == 122
        page.act(lambda: page.click("#log-newest"))
        page.act(lambda: page.click("#log-processes a[href*='pmu-7']"))
        assert "number 119" in page.text("#log-lines tr")
        page.fill("#log-find", "number 7")
        page.act(lambda: page.click("#log-search button"))
        assert page.count("#log-lines tr") == 11
        assert page.js("document.querySelector('select[name=process]').value") == "link pmu-7"
        assert page.js("document.documentElement.scrollWidth") <= 1366
    assert page.problems == []


def test_a_release_is_found_in_the_logs_by_its_id_and_without_a_script(
    page: Page, lived: Lived, console: Opened
) -> None:
    write_logs(lived[0])
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    with console(*lived) as found:
        page.go(f"{found.url}/diagnostics?line={RELEASE}&level=warning#logs")
        assert page.count("#log-lines tr") == 1
        assert "▲ warning" in page.text("#log-lines")
        assert page.count(f"#log-lines a[href='/release?name={RELEASE}']") >= 1


@pytest.mark.parametrize(("role", "reads"), [("viewer", False), ("auditor", True), ("operator", True)])
def test_logs_are_read_by_those_whose_role_allows_it(
    page: Page, lived: Lived, console: Opened, role: str, *, reads: bool
) -> None:
    write_logs(lived[0])
    add_account(lived[0], name="ann", roles=(role,), password=WORD)
    with console(*lived) as found:
        page.go(f"{found.url}/diagnostics")
        page.fill("input[name=name]", "ann")
        page.fill("input[name=password]", WORD)
        page.act(lambda: page.click("form button"))
        page.go(f"{found.url}/diagnostics")
        assert (page.count("#log-lines") == 1) is reads
        assert ("for the roles operator" in page.text("#logs")) is not reads
        page.go(f"{found.url}/diagnostics.json")
        assert ("rollout.trip rollout-00000000000d" in page.text()) is reads
