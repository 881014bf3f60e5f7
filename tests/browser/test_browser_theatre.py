"""The replay theatre in a real browser: to any moment by slider, keys, mouse and links; over a replay that is over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from chromium import PATIENCE_S
from test_browser_levels import CONTRAST, open_signal, roll_back

from recloser.app import Platform, ReplayOptions, replay_project
from recloser.core import VirtualClock, format_utc, parse_utc
from recloser.ledger import ForecastRecord, TripRecord
from recloser.testing.lives import LEARNED_DAYS
from recloser.testing.projects import FIRST, QUICK, small_project

pytestmark = [pytest.mark.story, pytest.mark.slow]
Lived = tuple[Path, datetime]
Page = Any  # of chromium.py, which is found by conftest.py
Browser = Any
Opened = Any
LEFT, RIGHT, UP, DOWN, HOME, END = (
    ("ArrowLeft", 37),
    ("ArrowRight", 39),
    ("PageUp", 33),
    ("PageDown", 34),
    ("Home", 36),
    ("End", 35),
)


def at(page: Page) -> datetime:
    """Return the moment that the page shows."""
    return parse_utc(str(page.js("document.getElementById('when').dataset.at")))


def press(page: Page, key: tuple[str, int]) -> None:
    """Press a key on the slider and wait until the moment that it stands at is shown."""
    page.js("document.getElementById('step').focus()")
    page.key(*key)
    settled(page)


def settled(page: Page) -> None:
    page.wait("theatre.shown === document.getElementById('step').value", "the moment of the slider is shown")


def test_one_goes_along_the_axis_by_keys_alone(page: Page, lived: Lived, console: Opened) -> None:
    with console(*lived) as found:
        page.go(found.url)
        page.act(lambda: page.click("header nav a[href='/theatre']"))
        assert page.text("h1") == "Replay theatre"
        end = at(page)
        assert end == lived[1]
        press(page, LEFT)
        whole = int(page.js("document.getElementById('step').max"))
        first = at(page) - (whole - 1) * timedelta(hours=1)
        press(page, DOWN)
        assert at(page) == first + timedelta(hours=whole - 1 - 24)
        press(page, UP)
        press(page, RIGHT)
        assert at(page) == end
        press(page, HOME)
        assert at(page) == first
        assert "nothing was forecast yet" in page.text("#verdict")
        press(page, END)
        assert at(page) == end
        assert page.js("document.activeElement.id") == "step"
        assert "at=" in page.js("location.search")
        assert page.js(CONTRAST) == []
    assert page.problems == []


def test_the_page_shows_what_was_known_and_not_what_came_later(page: Page, rivals: Lived, console: Opened) -> None:
    roll_back(rivals)
    folder, now = rivals
    later = now + timedelta(hours=1)
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        area = platform.ledger.find(ForecastRecord, void=True)[0].area  # the canary's
    with console(folder, later) as found:
        page.go(f"{found.url}/theatre?name={area}&at={format_utc(now - timedelta(minutes=1))}")
        assert "as planned" in page.text("#counts")
        assert "canary with 50 % of the traffic" in page.text("#rollouts")
        assert page.count("svg.chart .void") == 0
        assert "numbers look wrong" not in page.text("#moment")
        axis = page.js("document.querySelector('#course .mid').getAttribute('points')")
        page.act(lambda: page.key("n", 78))
        assert at(page) == now
        assert "numbers look wrong" in page.text("#decisions tbody tr")
        assert page.count("svg.chart .void") >= 1
        assert page.count("#rollouts") == 0
        assert page.count("svg.chart .later") >= 1
        assert page.js("document.querySelector('#course .mid').getAttribute('points')") == axis
        page.act(lambda: page.key("p", 80))
        assert at(page) < now
        assert page.count("#rollouts") == 1
    assert page.problems == []


def test_a_click_on_the_axis_or_a_mark_goes_there_and_the_rest_stays(page: Page, lived: Lived, console: Opened) -> None:
    open_signal(lived)
    roll_back(lived)
    with console(lived[0], lived[1] + timedelta(hours=5)) as found:
        page.go(f"{found.url}/theatre?name=F02")
        place = page.js(
            "(() => { const b = document.getElementById('course').getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 3]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            page.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
        page.wait("document.getElementById('step').value !== document.getElementById('step').max")
        settled(page)
        middle = at(page)
        assert middle < lived[1] - timedelta(days=3)
        moved = float(page.js("document.getElementById('cursor').getAttribute('x1')"))
        assert 500 < moved < 740
        page.act(lambda: page.click("#course a.signal"))
        assert at(page) == lived[1]
        assert "stuck at 7 MW" in page.text("#signals")
        assert "stuck at 7 MW" in page.text("#moment ul.facts")
    assert page.problems == []


def test_it_works_without_javascript_and_on_paper(page: Page, lived: Lived, console: Opened) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    with console(*lived) as found:
        page.go(f"{found.url}/theatre?name=F01&step=30")
        first = page.text("#when")
        page.click("#moment nav.pager a:nth-of-type(3)")
        page.wait(
            f"document.readyState === 'complete' && document.querySelector('#when').innerText !== {json.dumps(first)}"
        )
        assert page.text("#when") != first
        assert page.pdf().startswith(b"%PDF")


def test_a_page_that_waits_for_a_moment_takes_the_latest_one(page: Page, lived: Lived, console: Opened) -> None:
    with console(*lived) as found:
        page.go(f"{found.url}/theatre")
        page.js("document.getElementById('step').focus()")
        for _ in range(40):
            page.key(*LEFT)
        settled(page)
        assert at(page) == parse_utc(str(page.js("document.getElementById('when').dataset.at")))
        step = int(page.js("document.getElementById('step').value"))
        assert int(page.js("document.getElementById('when').dataset.step")) == step
        assert int(page.js("document.getElementById('step').max")) - step == 40


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a fortnight under the loop; nobody is asked in it."""
    folder, out = tmp_path_factory.mktemp("grid") / "grid", tmp_path_factory.mktemp("out") / "replay"
    small_project(folder, days=LEARNED_DAYS + 20, settings=QUICK)
    start = FIRST + timedelta(days=LEARNED_DAYS)
    replay_project(folder, ReplayOptions(start, start + timedelta(days=14), ("recloser",), None, out), lambda _: None)
    return out


def test_a_replay_is_walked_through_and_agrees_with_its_report(page: Page, replay: Path) -> None:
    report = json.loads((replay / "report.json").read_text())
    words = [
        str(Path(sys.executable).with_name("recloser")),
        "console",
        "--replay",
        str(replay),
        "--port",
        "0",
        "--json",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads("".join([*takewhile(lambda line: line != "}\n", process.stdout), "}"]))
            assert set(told) == {"console"}
            _answers(told["console"], process)
            page.go(f"{told['console']}/theatre")
            assert at(page) == parse_utc(report["to"])
            assert page.count("#stop, details.act") == 0
            with Platform.open(
                replay / "work" / "recloser", clock=VirtualClock(parse_utc(report["to"])), isolated=True
            ) as was:
                made = {record.made_at for record in was.ledger.find(ForecastRecord)}
                trips = was.ledger.find(TripRecord)
            assert len(trips) == len(report["policies"]["recloser"]["trips"])
            for move in report["policies"]["recloser"]["rollouts"]:
                page.go(f"{told['console']}/theatre?at={move['at']}")
                assert at(page) == parse_utc(move["at"])
                assert move["reason"] in page.text("#decisions")
                assert move["release"] in page.text("#decisions")
            for signal_ in report["policies"]["recloser"]["signals"]:
                page.go(f"{told['console']}/theatre?at={signal_['at']}")
                assert signal_["reason"] in page.text("#signals")
            page.go(f"{told['console']}/theatre?at={format_utc(min(made))}")
            assert "champion" in page.text("#moment")
            page.go("about:blank")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert page.problems == []


def _answers(url: str, process: subprocess.Popen[str]) -> None:
    """Wait until the console answers."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the console has ended"
        try:
            with urllib.request.urlopen(f"{url}/static/icon.svg", timeout=PATIENCE_S):  # noqa: S310 - our own
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError(url)
