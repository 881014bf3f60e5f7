"""The console in a real browser: levels, mouse and keyboard, live, cut off, printed, read without colour."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.verbs import rollback_in
from recloser.core import VirtualClock
from recloser.ledger import SignalRecord

pytestmark = [pytest.mark.story, pytest.mark.slow]
Lived = tuple[Path, datetime]
Page = Any  # of chromium.py, which is found by conftest.py
Browser = Any
Opened = Any


def open_signal(lived: Lived, area: str = "F02") -> None:
    """Write an open signal into the ledger, as monitoring does."""
    folder, now = lived
    with Platform.open(folder, clock=VirtualClock(now)) as platform, platform.ledger.change("test", now) as change:
        change.put(
            SignalRecord(
                "s-1", now, "data_fault", "warning", [area], now - timedelta(hours=3), "stuck at 7 MW", {}, None
            )
        )
        change.note("signal.open", "s-1", {"reason": "stuck at 7 MW"})


def roll_back(lived: Lived) -> None:
    """Roll the champion back: its forecasts are recalled and the ladder serves."""
    with Platform.open(lived[0], clock=VirtualClock(lived[1])) as platform:
        rollback_in(ControlLoop(platform, LoopOptions()), to=None, reason="numbers look wrong", actor="ann")


def test_a_person_goes_from_the_overview_to_an_area_and_back_by_mouse(
    page: Page, lived: Lived, console: Opened
) -> None:
    with console(*lived) as found:
        page.go(found.url)
        assert page.count("#areas tr") == 2
        assert page.count("#areas svg .band") == 2
        assert "Nothing is abnormal" in page.text()
        page.act(lambda: page.click("#areas a"))
        assert page.text("h1").startswith("F01")
        assert page.count("#chart .load") >= 1
        assert page.count("#chart .champion") == 1
        page.act(lambda: page.click("nav.pager a"))
        assert "until=" in str(page.js("location.search"))
        page.act(lambda: page.click("header nav a"))
        assert page.text("h1") == "Overview"
    assert page.problems == []


def test_two_clicks_lead_from_a_trip_to_its_reason_and_evidence(page: Page, rivals: Lived, console: Opened) -> None:
    roll_back(rivals)
    with console(*rivals) as found:
        page.go(found.url)
        page.act(lambda: page.click("table.events a"))
        assert page.text("h1").startswith("rel-")
        assert "numbers look wrong" in page.text("main")
        assert page.count("#evidence-trial svg") == 2
        assert page.count("#checks tr") > 20
        page.click("#by-area summary")
        page.wait("document.querySelector('#by-area').open")
        assert "F01" in page.text("#by-area")
        page.act(lambda: page.click("header nav a[href='/releases']"))
        assert page.count("#releases tr") == 2
        assert page.js(CONTRAST) == []
    assert page.problems == []


def test_a_forecast_is_explained_by_two_clicks_and_the_ledger_is_leafed_through(
    page: Page, rivals: Lived, console: Opened
) -> None:
    with console(*rivals) as found:
        page.go(found.url)
        page.act(lambda: page.click("#areas a"))
        page.act(lambda: page.click("#why a, a#why"))
        assert page.text("h1").startswith("Why ")
        assert page.count("#drivers tr") == 11
        assert page.count("#alike tr") == 5
        assert "rel-" in page.text("#others")
        first = page.text("h1")
        page.act(lambda: page.click("nav.times a:nth-of-type(4)"))
        assert page.text("h1") != first
        assert page.js(CONTRAST) == []
        page.act(lambda: page.click("header nav a[href='/diagnostics']"))
        assert page.count("#quality tr") == 2
        newest = page.text("#ledger tbody tr")
        page.act(lambda: page.click("#ledger a[href*='before=']"))
        assert page.text("#ledger tbody tr") != newest
        assert page.js(CONTRAST) == []
    assert page.problems == []


def test_everything_is_reached_by_keyboard_alone_and_the_focus_is_seen(
    page: Page, lived: Lived, console: Opened
) -> None:
    with console(*lived) as found:
        page.go(found.url)
        seen = []
        for _ in range(60):
            page.key("Tab", 9)
            seen.append(page.js("(document.activeElement.innerText || document.activeElement.id || '').trim()"))
            outline = page.js("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid" or seen[-1] == "To the content"
            if seen[-1] == "F02":
                break
        assert seen[0] == "To the content"
        assert seen[-1] == "F02"
        page.act(lambda: page.key("Enter", 13, "\r"))
        assert page.text("h1").startswith("F02")


def test_what_happens_appears_by_itself_and_stays_where_the_person_was(
    page: Page, lived: Lived, console: Opened
) -> None:
    with console(*lived) as found:
        page.go(found.url)
        page.js("document.querySelector('#areas a').focus()")
        open_signal(lived)
        page.wait("document.querySelector('#areas tr').classList.contains('care')", "the signal appears")
        assert page.text("#areas th") == "F02"  # what is abnormal comes first
        assert "stuck at 7 MW" in page.text("#areas tr")
        assert "▲" in page.text("#areas tr")
        assert page.js("document.activeElement.innerText") == "F01"
        roll_back(lived)
        page.wait("document.body.innerText.includes('fallback')", "the rollback appears")


def test_nothing_is_replaced_under_the_hands_of_somebody_who_types(page: Page, lived: Lived, console: Opened) -> None:
    with console(*lived) as found:
        page.go(found.url)
        page.fill("#find", "F0")
        open_signal(lived)
        page.wait("wanted !== null", "the page knows of the change")
        page.call("Runtime.evaluate", expression="new Promise(r => setTimeout(r, 3000))", awaitPromise=True)
        assert page.js("document.querySelector('#find').value") == "F0"
        assert "stuck" not in page.text("main")
        page.js("document.activeElement.blur()")
        page.wait("document.body.innerText.includes('stuck at 7 MW')")


def test_a_lost_connection_is_said_and_ages_go_on_and_it_heals(page: Page, lived: Lived, console: Opened) -> None:
    with console(lived[0], None) as found:
        port = int(found.url.rpartition(":")[2])
        page.go(found.url)
        page.wait("connected && document.getElementById('link').hidden")
        found.stop()
        page.wait("!document.getElementById('link').hidden", "the page says that it is cut off")
        assert "No connection" in page.text("#link")
        assert "may be out of date" in page.text("#link")
        with console(lived[0], None, port):
            page.wait("document.getElementById('link').hidden", "it connects again by itself")


def test_a_forecast_that_has_ended_is_never_shown_as_good(page: Page, lived: Lived, console: Opened) -> None:
    with console(lived[0], None) as found:  # the machine's clock: years later
        page.go(found.url)
        assert page.count("#areas .state.stop") == 2
        assert "newest forecast ended" in page.text("#areas tr")


def test_the_whole_page_fits_a_small_screen_and_grows_on_a_wall(
    browser: Browser, lived: Lived, console: Opened
) -> None:
    with console(*lived) as found:
        for width, height in ((1366, 768), (3840, 2160)):
            with browser.page(width, height) as page:
                page.go(found.url)
                assert page.js("document.documentElement.scrollWidth") <= width
                size = page.js("parseFloat(getComputedStyle(document.documentElement).fontSize)")
                assert size == (15 if width == 1366 else 19)
                page.go(f"{found.url}/area?name=F01")
                assert page.js("document.documentElement.scrollWidth") <= width


def test_nothing_moves_and_texts_have_contrast(page: Page, lived: Lived, console: Opened) -> None:
    open_signal(lived)
    roll_back(lived)
    with console(*lived) as found:
        for address in ("/", "/area?name=F01"):
            page.go(found.url + address)
            assert page.js("document.getAnimations().length") == 0
            moving = "[...document.querySelectorAll('*')].filter(e => { const s = getComputedStyle(e);"
            moving += "return s.animationName !== 'none' || parseFloat(s.transitionDuration) > 0; }).length"
            assert page.js(moving) == 0
            assert page.js(CONTRAST) == []


def test_the_page_is_printed_with_words_for_what_is_abnormal(page: Page, lived: Lived, console: Opened) -> None:
    open_signal(lived)
    with console(*lived) as found:
        page.go(found.url)
        assert page.pdf().startswith(b"%PDF")
        page.call("Emulation.setEmulatedMedia", media="print")
        assert page.js("getComputedStyle(document.querySelector('header nav')).display") == "none"
        assert "▲ with care" in page.text("#areas")


def test_the_page_is_whole_without_javascript(page: Page, lived: Lived, console: Opened) -> None:
    open_signal(lived)
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    with console(*lived) as found:
        page.go(found.url)
        assert page.count("#areas tr") == 2
        assert "stuck at 7 MW" in page.text("#areas tr")
        assert page.count("noscript") == 1


# Texts whose contrast with what is behind them is below WCAG AA: 4.5, or 3 where they are large (1.4.3).
CONTRAST = """
(() => {
  const parts = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = parts(c).map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (parts(c).length < 4 || parts(c)[3] > 0) return c; } return 'rgb(255, 255, 255)'; };
  const poor = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility()) continue;
    const s = getComputedStyle(e), a = light(e instanceof SVGElement ? s.fill : s.color), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && s.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push([e.tagName, e.className.baseVal ?? e.className, ratio]);
  }
  return poor;
})()
"""
