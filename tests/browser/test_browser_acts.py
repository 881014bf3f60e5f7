"""People act in a real browser: sign in, stop and revert, hold, approve by two people; each is in the audit log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform, add_account
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.core import VirtualClock
from recloser.ledger import ActRecord, Entry, ForecastRecord, RolloutRecord, RouteRecord, SignalRecord

pytestmark = [pytest.mark.story, pytest.mark.slow]
Lived = tuple[Path, datetime]
Page = Any  # of chromium.py, which is found by conftest.py
Browser = Any
Opened = Any
WORD = "correct horse battery"


def sign_in(page: Page, url: str, name: str, place: str = "/") -> None:
    """Sign in through the page that one is sent to."""
    page.go(url + place)
    assert page.text("h1") == "Sign in"
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", WORD)
    page.act(lambda: page.click("form button"))
    assert page.count("header .right") == 1, page.text()


def entries(lived: Lived) -> list[Entry]:
    with Platform.open(lived[0], clock=VirtualClock(lived[1])) as platform:
        return platform.ledger.entries()


def test_stop_and_revert_is_two_presses_without_a_word(page: Page, rivals: Lived, console: Opened) -> None:
    folder, now = rivals
    add_account(folder, name="ann", roles=("operator",), password=WORD)
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        before = platform.ledger.get(RouteRecord, "route")
        assert before is not None
        assert before.canary
        with console(*rivals) as found:
            sign_in(page, found.url, "ann")
            page.click("#stop-summary")
            page.wait("document.querySelector('#stop').open")
            page.act(lambda: page.click("#stop button"))
            assert f"{before.champion} serves now" in page.text("#told")
            assert "recalled" in page.text("#told")
        after = platform.ledger.get(RouteRecord, "route")
        assert after is not None
        assert (after.canary, after.champion) == (None, before.champion)
        assert not [
            r
            for r in platform.ledger.find(ForecastRecord, void=False)
            if r.release == before.canary and r.last_target > now
        ]
        last = platform.ledger.latest(9, without=["http.wish"])
    assert (last[0].actor, last[0].action) == ("ann", "rollout.rollback")
    assert "the forecasts look wrong" in last[0].facts["reason"]
    assert page.problems == []


def test_stop_works_by_keyboard_and_pressed_twice_it_acts_once(page: Page, rivals: Lived, console: Opened) -> None:
    add_account(rivals[0], name="ann", roles=("operator",), password=WORD)
    with console(*rivals) as found:
        sign_in(page, found.url, "ann")
        page.js("document.querySelector('#stop-summary').focus()")
        page.key("Enter", 13, "\r")
        page.key("Tab", 9)
        assert page.js("document.activeElement.innerText") == "Revert now"
        page.js(
            "const f = document.querySelector('#stop form'); const d = new URLSearchParams(new FormData(f));"
            "fetch('/act', {method: 'POST', body: d}); ''"
        )
        page.act(lambda: page.key("Enter", 13, "\r"))
        page.wait("document.body.innerText.includes('rolled back by ann')")  # whichever of the two did it
    assert len([entry for entry in entries(rivals) if entry.action == "rollout.rollback"]) == 1


def test_hold_and_resume_with_a_reason_and_not_without(page: Page, rivals: Lived, console: Opened) -> None:
    add_account(rivals[0], name="ann", roles=("engineer",), password=WORD)
    with console(*rivals) as found:
        sign_in(page, found.url, "ann", "/releases")
        page.act(lambda: page.click("#releases a"))
        page.click("#act-hold summary")
        page.click("#act-hold button")  # the browser asks for a reason
        assert page.count("#act-hold[open]") == 1
        page.fill("#act-hold textarea", "a closer look")
        page.act(lambda: page.click("#act-hold button"))
        assert "held by ann: a closer look" in page.text("#told")
        page.click("#act-resume summary")
        page.fill("#act-resume textarea", "looked at")
        page.act(lambda: page.click("#act-resume button"))
        assert "is canary now" in page.text("#told")
        assert page.count("#act-approve") == 0
        assert page.count("#act-reject") == 0


APPROVAL = """
[rollout.approval]
before = ["promotion"]
people = 2
roles = { lead = ["ann", "ben"], planner = ["eve"] }
"""


def awaiting(rivals: Lived) -> str:
    """Make the canary wait for people: its last step, decided without proof."""
    folder, now = rivals
    file = folder / "recloser.toml"
    file.write_text(file.read_text() + APPROVAL)
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        record = platform.ledger.find(RolloutRecord, state="canary")[0]
        key, memory = record.key, record.evidence["memory"]
        asked = {**memory, "held_from": "canary", "case": "c" * 64}
        evidence = {**record.evidence, "memory": asked}
        fields = {name: getattr(record, name) for name in record.__slots__}
        waiting = type(record)(**{**fields, "state": "awaiting_approval", "evidence": evidence})
        with platform.ledger.change("test", now) as change:
            change.put(waiting)
            change.note("rollout.await", record.release, {"reason": "people are asked"})
    return str(key)


def test_two_people_approve_what_they_have_seen_and_one_cannot_twice(
    browser: Browser, rivals: Lived, console: Opened
) -> None:
    folder, now = rivals
    for name in ("ann", "ben", "eve"):
        add_account(folder, name=name, roles=("approver",), password=WORD)
    key = awaiting(rivals)
    with console(*rivals) as found:
        for name in ("ann", "ann", "ben"):
            with browser.page() as page:
                sign_in(page, found.url, name, "/releases")
                page.act(lambda page=page: page.click("#releases a"))
                assert "cccccccccccccccc" in page.js("document.querySelector('#act-approve').textContent")
                page.click("#act-approve summary")
                page.fill("#act-approve textarea", f"{name} has read it")
                page.act(lambda page=page: page.click("#act-approve button"))
                assert f"{name} approves" in page.text("#told")
                assert page.problems == []
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        acts = platform.ledger.find(ActRecord, rollout=key)
        seen = ControlLoop(platform, LoopOptions()).controller.inspect
        assert sorted({act.name for act in acts}) == ["ann", "ben"]
        assert {act.evidence_digest for act in acts} == {"c" * 64}
        assert seen is not None


def test_an_alarm_is_acknowledged_and_shelved_from_the_overview(page: Page, lived: Lived, console: Opened) -> None:
    folder, now = lived
    add_account(folder, name="ann", roles=("operator",), password=WORD)
    record = SignalRecord("s-1", now, "data_fault", "warning", ["F02"], now, "stuck at 7 MW", {}, None)
    with Platform.open(folder, clock=VirtualClock(now)) as platform, platform.ledger.change("test", now) as change:
        change.put(record)
        change.note("signal.open", "s-1", {"reason": "stuck at 7 MW"})
    with console(*lived) as found:
        sign_in(page, found.url, "ann")
        assert "1 alarm, 1 not acknowledged" in page.text("main")
        page.act(lambda: page.click("#alarms"))
        assert "stuck at 7 MW" in page.text("#alarms")
        page.click("#act-acknowledge-s-1 summary")
        page.fill("#act-acknowledge-s-1 textarea", "the crew is on its way")
        page.act(lambda: page.click("#act-acknowledge-s-1 button"))
        assert "is acknowledged until" in page.text("#told")
        assert page.count("#act-acknowledge-s-1") == 0
        page.click("#act-shelve-s-1 summary")
        page.fill("#act-shelve-s-1 input[name=hours]", "4")
        page.fill("#act-shelve-s-1 textarea", "repair until the evening")
        page.act(lambda: page.click("#act-shelve-s-1 button"))
        assert "0 active, 0 not acknowledged, 1 shelved" in page.text("main")
    assert page.problems == []


def test_who_is_not_signed_in_can_do_nothing_and_is_sent_back_after(page: Page, lived: Lived, console: Opened) -> None:
    add_account(lived[0], name="eve", roles=("viewer",), password=WORD)
    with console(*lived) as found:
        sign_in(page, found.url, "eve", "/area?name=F02")
        assert page.text("h1").startswith("F02")
        assert page.count("#stop") == 0
        assert page.count("details.act") == 0
        page.act(lambda: page.click("header .right button"))
        assert page.text("h1") == "Sign in"
        page.go(found.url)
        assert page.text("h1") == "Sign in"
    assert [entry.action for entry in entries(lived) if entry.action.startswith("console.")] == [
        "console.sign_in",
        "console.sign_out",
    ]


def test_an_open_page_goes_to_the_sign_in_when_its_session_ends(page: Page, lived: Lived, console: Opened) -> None:
    add_account(lived[0], name="eve", roles=("viewer",), password=WORD)
    with console(*lived) as found:
        sign_in(page, found.url, "eve")
        (lived[0] / "state" / "keys" / "accounts.json").write_text('{"accounts": []}')
        with Platform.open(lived[0]) as platform, platform.ledger.change("test", lived[1]) as change:
            change.note("test.nothing", "nothing")
        page.wait("document.querySelector('h1')?.innerText === 'Sign in'", "the page gives way to the sign-in")


def test_a_page_whose_stream_is_refused_goes_to_the_sign_in(page: Page, lived: Lived, console: Opened) -> None:
    add_account(lived[0], name="eve", roles=("viewer",), password=WORD)
    with console(*lived) as found:
        sign_in(page, found.url, "eve")
        found.stop()
        page.wait("!document.getElementById('link').hidden", "the page says that it is cut off")
        (lived[0] / "state" / "keys" / "accounts.json").write_text('{"accounts": []}')
        with console(*lived, int(found.url.rpartition(":")[2])):  # the next stream is answered 401
            page.wait("document.querySelector('h1')?.innerText === 'Sign in'", "the page gives way to the sign-in")
