"""Open pages stay honest: many tabs of a browser share one stream, and a page that is old says so and why."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from chromium import PATIENCE_S
from test_browser_acts import WORD, sign_in
from test_browser_levels import open_signal

from recloser.app import add_account

pytestmark = [pytest.mark.story, pytest.mark.slow]
Lived = tuple[Path, datetime]
Page = Any  # of chromium.py, which is found by conftest.py
Browser = Any
Opened = Any
STUCK = "document.body.innerText.includes('stuck at 7 MW')"
OLD = "!document.getElementById('link').hidden"


def connections(url: str) -> int:
    """Return how many connections to the console are open now."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)


def until_connections(url: str, count: int) -> None:
    """Wait until so many are left: those that answered a page are closed after some seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := connections(url)) != count:
        assert time.monotonic() < deadline, f"{found} connections, not {count}"
        time.sleep(0.1)


def test_eight_tabs_of_one_browser_are_all_live_and_the_first_can_revert(
    browser: Browser, rivals: Lived, console: Opened
) -> None:
    add_account(rivals[0], name="ann", roles=("operator",), password=WORD)
    with console(*rivals) as found:
        with browser.tabs(8) as tabs:
            first, *others = tabs
            sign_in(first, found.url, "ann")
            for tab in others:
                tab.go(found.url)
            open_signal(rivals)
            for tab in tabs:
                tab.wait(STUCK, "what happens appears in every tab")
            first.call("Page.bringToFront")
            first.click("#stop-summary")
            first.act(lambda: first.click("#stop button"))
            assert "serves now" in first.text("#told")
            for tab in others:
                tab.wait("document.body.innerText.includes('rolled back by ann')", "the rollback appears in every tab")
                assert tab.problems == []
            if Path("/proc/net/tcp").exists():
                until_connections(found.url, 1)
        if Path("/proc/net/tcp").exists():
            until_connections(found.url, 0)  # the stream ends with the last tab


def test_who_signs_out_in_one_tab_is_signed_out_in_all(browser: Browser, lived: Lived, console: Opened) -> None:
    add_account(lived[0], name="eve", roles=("viewer",), password=WORD)
    with console(*lived) as found, browser.tabs(3) as tabs:
        sign_in(tabs[0], found.url, "eve")
        for tab in tabs[1:]:
            tab.go(f"{found.url}/alarms")
        tabs[0].call("Page.bringToFront")
        tabs[0].act(lambda: tabs[0].click("header .right button"))
        for tab in tabs:
            tab.wait("document.querySelector('h1')?.innerText === 'Sign in'", "every tab gives way to the sign-in")


SILENT = "window.SharedWorker = class extends EventTarget { port = { postMessage() {} }; }"
FAILING = (
    "window.SharedWorker = class extends EventTarget { port = {};"
    "constructor() { super(); setTimeout(() => this.dispatchEvent(new Event('error'))); } }"
)


@pytest.mark.parametrize(
    "workers", ["delete window.SharedWorker", SILENT, FAILING], ids=["none", "a silent one", "one that cannot start"]
)
def test_without_a_worker_that_tells_it_anything_a_page_asks_by_itself(
    page: Page, lived: Lived, console: Opened, workers: str
) -> None:
    page.call("Page.addScriptToEvaluateOnNewDocument", source=workers)
    with console(*lived) as found:
        page.go(found.url)
        open_signal(lived)
        page.wait(STUCK, "what happens appears")
        page.wait(f"!({OLD})", "the page is known to be up to date")
        assert f"{found.url}/events.json" in page.requests
        found.stop()
        page.wait(OLD, "the page says that it is cut off")
        assert "No connection" in page.text("#link")


def test_a_page_that_cannot_be_made_anew_says_that_it_is_old(page: Page, lived: Lived, console: Opened) -> None:
    with console(*lived) as found:
        page.go(found.url)
        store = lived[0] / "state" / "store"
        store.rename(store.with_name("gone"))
        store.write_text("a disk that is not there")
        open_signal(lived)
        page.wait(OLD, "the page says that it is old")
        told = page.text("#link")
        assert told.startswith("▲ What came after ")
        assert page.js("document.getElementById('clock').dataset.at") in told
        assert "the server cannot make the page now (503: " in told
        store.unlink()
        store.with_name("gone").rename(store)
        page.wait(f"!({OLD}) && {STUCK}", "it heals by itself")


def test_an_open_form_keeps_the_page_and_the_page_says_that_it_is_old(
    page: Page, rivals: Lived, console: Opened
) -> None:
    add_account(rivals[0], name="ann", roles=("operator",), password=WORD)
    with console(*rivals) as found:
        sign_in(page, found.url, "ann")
        page.click("#stop-summary")
        page.fill("#stop input[name=reason]", "sparks at F02")
        open_signal(rivals)
        page.wait(OLD, "the page says that it is old")
        assert "is not shown: a form is open" in page.text("#link")
        assert not page.js(STUCK)
        assert page.js("document.querySelector('#stop input[name=reason]').value") == "sparks at F02"
        page.js("document.activeElement.blur()")
        page.click("#stop-summary")
        page.wait(f"!({OLD}) && {STUCK}", "closed, the page is renewed")
        assert page.js("document.querySelector('#stop input[name=reason]').value") == "sparks at F02"


def test_a_cursor_in_a_field_keeps_the_page_and_the_page_says_that_it_is_old(
    page: Page, lived: Lived, console: Opened
) -> None:
    with console(*lived) as found:
        page.go(found.url)
        page.fill("#find", "F0")
        open_signal(lived)
        page.wait(OLD, "the page says that it is old")
        assert "leave the field" in page.text("#link")
        assert page.js("document.querySelector('#find').value") == "F0"
        page.js("document.activeElement.blur()")
        page.wait(f"!({OLD}) && {STUCK}", "the page is renewed")
        assert page.js("document.querySelector('#find').value") == "F0"
