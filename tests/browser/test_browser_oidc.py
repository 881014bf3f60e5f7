"""People sign in by an independent identity provider in a real browser, across sites: in, act, out; or stay outside."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from chromium import PATIENCE_S
from test_browser_levels import CONTRAST

from recloser.app import Platform, add_account
from recloser.core import VirtualClock
from recloser.ledger import Entry, RouteRecord

pytestmark = [
    pytest.mark.story,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("oidc_provider_mock") is None, reason="no provider: pip install oidc-provider-mock"),
]
Lived = tuple[Path, datetime]
Browser = Any  # of chromium.py, which is found by conftest.py
Page = Any
Opened = Any
WORD = "correct horse battery"
USERS = (
    {"sub": "u-ann", "preferred_username": "ann", "groups": ["shift", "leads"]},
    {"sub": "u-eve", "preferred_username": "eve", "groups": ["visitors"]},
    {"sub": "u-mal", "preferred_username": "Ann", "groups": ["shift"]},
    {"sub": "u-tom", "preferred_username": "tom", "groups": ["elsewhere"]},
    {"sub": "u-root", "preferred_username": "controller", "groups": ["shift"]},
)


@pytest.fixture
def issuer() -> Iterator[str]:
    """A provider's process; by its name it is another site than the console, which is found by its number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = [word for user in USERS for word in ("--user-claims", json.dumps(user))]
    words = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", *told]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://localhost:{port}"
            _answers(url, process)
            yield url
        finally:
            process.terminate()


def _answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the provider has ended"
        try:
            with urllib.request.urlopen(f"{url}/.well-known/openid-configuration", timeout=PATIENCE_S):  # noqa: S310
                return
        except (URLError, ConnectionError):
            time.sleep(0.05)
    raise TimeoutError(url)


@pytest.fixture
def asked(lived: Lived, issuer: str) -> Lived:
    """A project whose people sign in by the provider."""
    table = f"""
[console.oidc]
issuer = "{issuer}"
client_id = "recloser"
client_secret_file = "secret"
label = "the plant's directory"
roles = {{ operator = ["shift"], approver = ["leads"], viewer = ["visitors"] }}
"""
    (lived[0] / "secret").write_text("known to both\n")
    file = lived[0] / "recloser.toml"
    file.write_text(file.read_text() + table)
    return lived


def leave(page: Page, url: str, place: str = "/") -> None:
    """Go from a page of the console to the provider."""
    page.go(url + place)
    assert page.text("h1") == "Sign in"
    page.act(lambda: page.click("#provider"))
    page.wait("location.hostname === 'localhost' && document.readyState === 'complete'")


def arrive(page: Page, subject: str) -> None:
    """Agree at the provider, and wait until the console has gone on."""
    page.click(f"button[value={subject}]")
    page.wait("location.hostname === '127.0.0.1' && document.readyState === 'complete'")
    page.wait("document.querySelector('h1') && document.querySelector('h1').innerText !== 'Signed in'")


def entries(lived: Lived) -> list[Entry]:
    with Platform.open(lived[0], clock=VirtualClock(lived[1])) as platform:
        return platform.ledger.entries()


def opened(browser: Browser) -> AbstractContextManager[Page]:
    page: AbstractContextManager[Page] = browser.page()
    return page


def test_a_person_comes_in_by_the_provider_acts_by_name_and_goes(
    browser: Browser, asked: Lived, console: Opened, issuer: str
) -> None:
    with console(*asked) as found, opened(browser) as page:
        leave(page, found.url, "/releases")
        arrive(page, "u-ann")
        assert page.js("location.pathname") == "/releases"
        assert "ann (approver, operator)" in page.text("header")
        assert page.count("header a[href='/password']") == 0
        cookies = {item["name"]: item for item in page.call("Network.getCookies", urls=[found.url])["cookies"]}
        assert set(cookies) == {"recloser_session"}
        assert (cookies["recloser_session"]["httpOnly"], cookies["recloser_session"]["sameSite"]) == (True, "Strict")
        page.click("#stop-summary")
        page.act(lambda: page.click("#stop button"))
        assert page.count("#told.done") == 1
        page.go(f"{found.url}/password")
        assert "kept by the identity provider" in page.text()
        page.go(found.url)
        page.act(lambda: page.click("header .right form[action='/sign-out'] button"))
        assert page.text("h1") == "Signed out"
        assert page.js(CONTRAST) == []
        place = str(page.js("document.querySelector('#elsewhere').href"))
        assert place.startswith(f"{issuer}/oauth2/end_session?client_id=recloser&post_logout_redirect_uri=http")
        page.go(f"{found.url}/")
        assert page.text("h1") == "Sign in"
    told = {entry.action: entry for entry in entries(asked)}
    assert told["console.sign_in"].facts["issuer"] == issuer
    assert told["console.sign_in"].facts["subject"] == "u-ann"
    assert told["console.sign_in"].facts["roles"] == ["approver", "operator"]
    assert told["console.sign_out"].actor == "ann"
    assert any(entry.actor == "ann" and entry.action.startswith("rollout.") for entry in entries(asked))
    with Platform.open(asked[0], clock=VirtualClock(asked[1])) as platform:
        route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    assert route.champion is None


def test_roles_are_those_of_the_groups_and_who_has_none_stays_outside(
    browser: Browser, asked: Lived, console: Opened
) -> None:
    with console(*asked) as found:
        with opened(browser) as page:
            leave(page, found.url)
            arrive(page, "u-eve")
            assert page.text("h1") == "Overview"
            assert page.count("#stop") == 0
        with opened(browser) as page:
            leave(page, found.url)
            arrive(page, "u-tom")
            assert page.text("h1") == "Sign in"
            assert "role" in page.text("[role=alert]")
            page.go(found.url)
            assert page.text("h1") == "Sign in"
        with opened(browser) as page:
            leave(page, found.url)
            page.click("button[value=deny]")
            page.wait("location.hostname === '127.0.0.1' && document.readyState === 'complete'")
            assert page.text("h1") == "Sign in"
            assert page.count("[role=alert]") == 1  # this provider leaves out the state, so it is nobody's answer
    refused = [entry for entry in entries(asked) if entry.action == "console.sign_in_refused"]
    assert len(refused) == 2
    assert all(entry.facts["by"] == "oidc" and entry.facts["reason"] for entry in refused)


def test_nobody_takes_another_ones_name(browser: Browser, asked: Lived, console: Opened) -> None:
    with console(*asked) as found:
        for subject, let_in in (("u-ann", True), ("u-mal", False), ("u-root", False), ("u-ann", True)):
            with opened(browser) as page:
                leave(page, found.url)
                arrive(page, subject)
                assert (page.text("h1") == "Overview") is let_in, page.text()
        add_account(asked[0], name="eve", roles=("operator",), password=WORD)
        with opened(browser) as page:
            leave(page, found.url)
            assert page.js("location.hostname") == "localhost"
            arrive(page, "u-eve")
            assert "local account" in page.text("[role=alert]")
            page.go(found.url)  # and eve herself comes in by her password
            page.fill("input[name=name]", "eve")
            page.fill("input[name=password]", WORD)
            page.act(lambda: page.click("form.stack button"))
            assert "eve (operator)" in page.text("header")


def test_a_sign_in_that_another_browser_began_is_worth_nothing(browser: Browser, asked: Lived, console: Opened) -> None:
    with console(*asked) as found, opened(browser) as mallory, opened(browser) as victim:
        leave(mallory, found.url)
        mallory.call("Fetch.enable", patterns=[{"urlPattern": "*/sign-in/provider/back*"}])
        mallory.click("button[value=u-eve]")
        caught = mallory.event("Fetch.requestPaused")["request"]["url"]
        victim.go(caught)
        assert victim.text("h1") == "Sign in"
        assert "begun here" in victim.text("[role=alert]")
        assert victim.call("Network.getCookies", urls=[found.url])["cookies"] == []


def test_sessions_end_when_the_mapping_changes_and_accounts_go_on_when_the_provider_is_away(
    browser: Browser, asked: Lived, console: Opened
) -> None:
    add_account(asked[0], name="sealed", roles=("operator",), password=WORD)
    file = asked[0] / "recloser.toml"
    with console(*asked) as found, opened(browser) as page:
        leave(page, found.url)
        arrive(page, "u-ann")
        file.write_text(file.read_text().replace('operator = ["shift"]', 'operator = ["others"]'))
        page.go(found.url)
        assert page.text("h1") == "Sign in"
        file.write_text(file.read_text().replace('issuer = "http://localhost', 'issuer = "http://127.0.0.2'))
        page.go(found.url)
        page.act(lambda: page.click("#provider"))
        assert "Local accounts can sign in all the same" in page.text("[role=alert]")
        page.fill("input[name=name]", "sealed")
        page.fill("input[name=password]", WORD)
        page.act(lambda: page.click("form.stack button"))
        assert page.text("h1") == "Overview"
