"""Two people promote a release in the browser, over TLS, with a real `recloser up`: each sees it happen by itself."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import polars as pl
import pytest
from chromium import PATIENCE_S
from test_browser_acts import WORD, sign_in

from recloser.app import Platform, add_account, run_pipeline
from recloser.ledger import ActRecord, RolloutRecord
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.testing import QUICK, small_project
from recloser.testing.certificates import Authority

pytestmark = [pytest.mark.story, pytest.mark.slow]
Page = Any  # of chromium.py, which is found by conftest.py
Browser = Any
SETTINGS = """
[gateway.log]
enabled = false

[gateway.tls]
certificate = "tls/gateway.pem"
key = "tls/gateway.key"

[rollout.approval]
before = ["promotion"]
people = 2
roles = { lead = ["ann"], owner = ["ben", "eve"] }
required = ["lead"]
"""


@dataclass(frozen=True)
class Up:
    """A running project over TLS, its first release, and where its pages are."""

    folder: Path
    release: str
    gateway: str
    url: str
    trust: ssl.SSLContext

    def ask(self, place: str) -> Any:
        """Return a document, from a certificate that is trusted or not at all."""
        with urllib.request.urlopen(place, timeout=PATIENCE_S, context=self.trust) as answer:  # noqa: S310 - our own
            return json.loads(answer.read())


def until(found: Callable[[], Any], what: str) -> Any:
    """Return the first true answer; the limit only keeps a broken program from hanging the test."""
    deadline = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if answer := found():
                return answer
        except (URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"waited in vain: {what}")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A project whose first model, asked for by eve, waits for people; with an account for everybody."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = now.replace(hour=0) - timedelta(days=120)
    plan = GridPlan(seed=3, feeders=2, start=start, days=121, resolution=timedelta(hours=1), substations=0)
    frame = SimulatedGrid(plan).frame().filter(pl.col("at") < now)
    (tmp_path / "grid" / "tls").mkdir(parents=True)
    authority = Authority(tmp_path / "grid" / "tls", "authority")
    authority.issue("gateway")
    folder = small_project(tmp_path / "grid", frame=frame, settings=QUICK + SETTINGS)
    made = run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None, actor="eve")
    assert made["verdict"] == "pass", made["reason"]
    for name, role in (("ann", "approver"), ("ben", "approver"), ("eve", "approver"), ("op", "operator")):
        add_account(folder, name=name, roles=(role,), password=WORD)
    words = [sys.executable, "-c", "from recloser.cli.main import run; run()", "up", "--port", "0", "--json"]
    words += ["--project", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads("".join([*takewhile(lambda line: line != "}\n", process.stdout), "}"]))
            trust = ssl.create_default_context(cafile=str(authority.path))
            running = Up(folder, made["candidate"], told["gateway"], told["console"], trust)
            until(lambda: running.ask(f"{told['gateway']}/v1/route"), "the gateway answers")
            until(lambda: urllib.request.urlopen(f"{told['console']}/sign-in", context=trust), "the console answers")  # noqa: S310
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=PATIENCE_S)


def over_tls(page: Page) -> Page:
    """Let this browser take the plant's own authority, which Python's requests above have verified."""
    page.call("Security.setIgnoreCertificateErrors", ignore=True)
    return page


def approve(page: Page, name: str) -> str:
    """Say yes to what the page shows; return what became of it."""
    page.click("#act-approve summary")
    page.fill("#act-approve textarea", f"{name} has looked at the peaks")
    page.act(lambda: page.click("#act-approve button"))
    return str(page.text("#told"))


def test_two_people_promote_and_one_reverts_and_everybody_sees_it_happen(up: Up, browser: Browser) -> None:
    place = f"/release?name={up.release}"
    assert up.url.startswith("https://127.0.0.1:")
    with browser.page() as eve, browser.page() as ann, browser.page() as ben, browser.page() as op:
        for page, name in ((eve, "eve"), (ann, "ann"), (ben, "ben"), (op, "op")):
            sign_in(over_tls(page), up.url, name, place)
            assert page.js("location.protocol") == "https:"
        cookie = ann.call("Network.getCookies", urls=[up.url])["cookies"][0]
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        assert "who proposed a release cannot approve it" in approve(eve, "eve")
        assert "ann approves" in approve(ann, "ann")
        ben.wait(
            "document.body.innerText.includes('1 of 2 people have approved: ann')", "ben's open page tells of ann's yes"
        )
        assert op.count("#act-approve") == 0
        assert "ben approves" in approve(ben, "ben")
        for page in (op, eve):  # by themselves: nobody has touched these pages
            page.wait("document.body.innerText.includes('approved by ann, ben')", "the promotion appears")
        until(lambda: up.ask(f"{up.gateway}/v1/route")["champion"] == up.release, "the gateway follows")
        ann.go(f"{up.url}/releases")
        op.click("#stop-summary")
        op.act(lambda: op.click("#stop button"))
        assert op.count("#told.done") == 1
        ann.wait("document.querySelector('#releases').innerText.includes('rolled back')", "the rollback appears")
        until(lambda: up.ask(f"{up.gateway}/v1/route")["champion"] is None, "the gateway follows")
        for page in (ann, ben, eve, op):
            assert page.problems == []
    with Platform.open(up.folder) as platform:
        (record,) = platform.ledger.find(RolloutRecord)
        acts = [(act.name, act.kind) for act in platform.ledger.find(ActRecord, order_by="at")]
        assert record.state == "rolled_back"
        assert acts == [("ann", "approve"), ("ben", "approve"), ("op", "rollback")]
        assert platform.ledger.verify().ok
