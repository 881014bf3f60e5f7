"""The path of somebody new: let in by a verb, sees a trip happen, finds out why, reverts, hands over the dossier."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from chromium import PATIENCE_S
from test_browser_levels import CONTRAST

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.evidence import DIVERGENCE
from recloser.cli import main
from recloser.core import VirtualClock
from recloser.ledger import RolloutRecord, RouteRecord, StateRecord

pytestmark = [pytest.mark.story, pytest.mark.slow]
Lived = tuple[Path, datetime]
Page = Any  # of chromium.py, which is found by conftest.py
Browser = Any
Opened = Any
PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]


def diverge(lived: Lived) -> str:
    """Let the controller find that the canary has gone too far from the champion; return the canary's name."""
    with Platform.open(lived[0], clock=VirtualClock(lived[1])) as platform:
        (record,) = platform.ledger.find(RolloutRecord, state="canary")
        with platform.ledger.change("gateway", lived[1]) as change:
            change.put(StateRecord(f"{DIVERGENCE}/{record.release}", lived[1], {"trailing": 9}))
            change.note("monitor.step", "divergence")
        ControlLoop(platform, LoopOptions()).advance()
    return str(record.release)


def champion_of(folder: Path, at: datetime) -> str | None:
    with Platform.open(folder, clock=VirtualClock(at)) as platform:
        route = platform.ledger.get(RouteRecord, "route")
    return None if route is None else route.champion


def enter(page: Page, url: str, name: str, password: str) -> None:
    page.go(url)
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.act(lambda: page.click("form.stack button"))
    assert page.text("h1") == "Overview"


def handed_over(page: Page, out: Path) -> list[Path]:
    """Take the dossier from the page of a release, as its links give it."""
    files = []
    assert page.count("a[href^='/dossier'][download]") == 2
    for form in ("html", "json"):
        place = json.dumps(f"a[href^='/dossier'][href$='{form}']")
        told = page.js(
            f"fetch(document.querySelector({place}).href).then(async (answer) => {{"
            "const bytes = new Uint8Array(await answer.arrayBuffer()); let text = '';"
            "for (const byte of bytes) text += String.fromCharCode(byte);"
            "return [answer.status, answer.headers.get('content-disposition'), btoa(text)]; })"
        )
        assert told[0] == 200
        file = out / str(re.search(r'filename="([^"]+)"', told[1]).group(1))  # type: ignore[union-attr]
        file.write_bytes(base64.b64decode(told[2]))
        files.append(file)
    return files


def proven(file: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    capsys.readouterr()
    code = main(["dossier", "verify", str(file), "--project", str(folder), "--json"])
    return code == 0 and bool(json.loads(capsys.readouterr().out)["ok"])


def test_a_trip_is_seen_understood_answered_and_handed_over(
    page: Page, rivals: Lived, console: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = rivals[0]
    assert main(["account", "add", "ann", "--role", "operator", "--project", str(folder)]) == 0
    password = capsys.readouterr().out.strip()
    with console(*rivals) as found:
        enter(page, found.url, "ann", password)
        assert "Tripped" not in page.text()
        tripped = diverge(rivals)
        page.wait("document.body.innerText.includes('rollout.trip')", "the trip appears by itself")
        page.act(lambda: page.click("table.events a"))  # the first click
        assert page.text("h1").startswith(tripped)
        assert "Tripped" in page.text("p.trip")
        assert "T1" in page.text("p.trip")
        assert page.count("#evidence-trial svg") == 2
        page.act(lambda: page.click("header nav a[href='/theatre']"))
        assert "rollout.trip" in page.text("#decisions")
        assert champion_of(*rivals) is not None
        page.click("#stop-summary")
        page.act(lambda: page.click("#stop button"))
        assert page.count("#told.done") == 1
        assert champion_of(*rivals) is None
        page.go(f"{found.url}/release?name={tripped}")
        assert page.js(CONTRAST) == []
        files = handed_over(page, tmp_path)
        assert page.problems == []
        page.go(f"{found.url}/dossier?name=rel-000000000000")
        assert "rel-000000000000" in page.text()
    assert [file.name for file in files] == [f"{tripped}.html", f"{tripped}.json"]
    for file in files:
        assert proven(file, folder, capsys)
        file.write_bytes(file.read_bytes().replace(tripped.encode(), b"rel-000000000000", 1))
        assert not proven(file, folder, capsys)


@pytest.mark.skipif(not os.environ.get("RECLOSER_FULL"), reason="the whole demo takes minutes: RECLOSER_FULL=1")
def test_the_demo_that_serves_shows_its_trip_to_its_visitor(
    page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    out, log = tmp_path / "out", tmp_path / "log"
    with log.open("w") as told:
        words = [*PROGRAM, "demo", "--out", str(out), "--serve", "--port", str(port)]
        process = subprocess.Popen(words, stdout=told, stderr=told)
    try:
        password = waited_for(log, r"as visitor with the password (\S+)", process)
        url = waited_for(log, r"console (http://\S+)", process)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/sign-in", timeout=PATIENCE_S).close()  # noqa: S310 - our own
                break
            except (URLError, ConnectionError):
                time.sleep(0.2)
        enter(page, url, "visitor", password)
        page.act(lambda: page.click("header nav a[href='/releases']"))
        trip = json.loads((out / "report.json").read_text())["policies"]["recloser"]["trips"][0]
        page.act(lambda: page.click(f"a[href='/release?name={trip['release']}']"))
        assert trip["reason"] in page.text("p.trip")
        page.go(f"{url}/theatre?at={trip['at']}")
        assert trip["reason"] in page.text("#decisions")
        page.click("#stop-summary")
        page.act(lambda: page.click("#stop button"))
        assert page.count("#told.done") == 1
        page.go(f"{url}/release?name={trip['release']}")
        for file in handed_over(page, tmp_path):
            assert proven(file, out / "work" / "recloser", capsys)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def waited_for(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> str:
    """Return what a pattern finds in a log that grows."""
    while process.poll() is None:
        found = re.search(pattern, log.read_text())
        if found:
            return found.group(1)
        time.sleep(1.0)
    raise AssertionError(f"ended: {log.read_text()[-2000:]}")
