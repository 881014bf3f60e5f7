"""The pages as text: true, quiet, safe whatever areas are called; trouble is told, not thrown."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from starlette.types import ASGIApp

from recloser.app import MAY, current_forecast, run_pipeline
from recloser.console import Console
from recloser.console.markup import el
from recloser.console.pages.acts import Person, rollout_acts
from recloser.console.pages.alarms import alarms_page
from recloser.console.pages.area import area_page
from recloser.console.pages.depth.diagnostics import diagnostics_page
from recloser.console.pages.depth.theatre import theatre_page
from recloser.console.pages.entry import arrived_page, left_page, sign_in_page
from recloser.console.pages.overview import area_link, overview_page
from recloser.console.pages.releases import release_page, releases_page
from recloser.console.pages.shell import Shell, problem
from recloser.console.pages.why import why_page
from recloser.console.pages.words import Wall, stamp
from recloser.testing import empty_project, small_project

NASTY = "<script>alert('x')</script>\"&"
AT = "2020-03-01T00:00:00Z"
FREEZES = {
    "in_force": [{"reason": NASTY}],
    "declared": [{"freeze": NASTY, "from": AT, "to": None, "reason": NASTY}],
    "recurring": [{"reason": NASTY, "begins": NASTY, "lasts_hours": 3}],
}
PERSON = Person(NASTY, (NASTY,), frozenset(MAY), "c" * 64, "/")
SHELL = Shell(NASTY, datetime(2020, 3, 1, 12, tzinfo=UTC), ZoneInfo("Europe/Amsterdam"), person=PERSON)


def test_a_freeze_until_the_end_of_the_calendar_is_shown() -> None:
    for text in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        for zone in ("Europe/Amsterdam", "America/New_York"):
            assert f'datetime="{text}"' in str(stamp(text, Wall(ZoneInfo(zone), datetime(2020, 3, 1, 12, tzinfo=UTC))))


def ask(app: ASGIApp, path: str, method: str = "GET") -> httpx.Response:
    """Ask the application as a browser would."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path)

    return asyncio.run(once())


def row(**changed: Any) -> dict[str, Any]:
    return {
        "area": NASTY,
        "trust": "as planned",
        "state": 0,
        "why": NASTY,
        "others": [NASTY],
        "data_until": AT,
        "trend": [[AT, 1.0, 2.0, 3.0], ["2020-03-01T01:00:00Z", 2.0, 3.0, 4.0]],
        "actual": [[AT, 2.5]],
        "peak_mw": 3.0,
        "peak_at": AT,
        "issued_at": AT,
        "served_by": NASTY,
        "release": NASTY,
        **changed,
    }


def view(**changed: Any) -> dict[str, Any]:
    return {
        "project": NASTY,
        "now": "2020-03-01T12:00:00Z",
        "sentences": [NASTY],
        "signals": [NASTY],
        "areas": [row(**changed)],
        "events": [{"at": AT, "actor": NASTY, "action": NASTY, "subject": NASTY, "reason": NASTY}],
        "alarms": {"active": 2, "unacknowledged": 1},
        "counts": {"as_planned": 1, "with_care": 0, "do_not_use": 0},
        "page": 1,
        "pages": 3,
        "found": 120,
    }


def area_view() -> dict[str, Any]:
    span = {"from": AT, "to": "2020-03-01T02:00:00Z", "served_by": NASTY, "release": NASTY, "reason": NASTY}
    return row() | {
        "now": "2020-03-01T01:00:00Z",
        "from": AT,
        "to": "2020-03-05T00:00:00Z",
        "days": 4,
        "band": row()["trend"],
        "void": row()["trend"],
        "load": row()["actual"],
        "doubted": [{"at": AT, "load_mw": 2.0, "quality": NASTY}],
        "served": [span],
        "marks": [{"at": AT, "kind": NASTY, "release": NASTY, "text": NASTY}],
        "releases": [NASTY],
        "signals": [],
    }


def release_view() -> dict[str, Any]:
    check = {"name": NASTY, "verdict": NASTY, "reason": NASTY, "numbers": {}, "thresholds": {}}
    slices = {"slices": {NASTY: {"relative": 0.1, "lower": 0.0, "upper": 0.2, "days": 9}}}
    day = {"day": NASTY, "difference": 0.1, "n": 3, "worse": 1.2, "good": 0.8}
    return {
        "now": AT,
        **dict.fromkeys(("release", "state", "digest", "run", "model_version"), NASTY),
        "created_at": AT,
        "trigger": {"kind": NASTY, "reason": NASTY},
        "verdict": {
            "at": AT,
            "verdict": "refuse",
            "reason": NASTY,
            "evidence_digest": NASTY,
            "checks": [check, {**check, "name": "performance.slices", "numbers": slices}],
            "would_change": [NASTY],
            "waivers": [{"check": NASTY, "name": NASTY, "expires_at": AT, "reason": NASTY}],
        },
        "rollout": {
            "state": "held",
            "since": AT,
            "reason": NASTY,
            "would_advance": [NASTY],
            "would_end": [NASTY],
            "finished": False,
        },
        "path": {
            "trial": {"days": [day], "limits": {"worse": 100.0, "good": 20.0}},
            "probation": {"days": [day], "limits": {"worse": 20.0, "good": None}},
        },
        "areas": [{"area": NASTY, "difference": 0.1, "days": 4}],
        "trips": [{"at": AT, "release": NASTY, "tier": NASTY, "reason": NASTY, "recalled": 2}],
        "history": view()["events"],
    }


def releases_view() -> dict[str, Any]:
    row = dict.fromkeys(("release", "state", "verdict", "verdict_reason", "rollout", "reason"), NASTY)
    route: dict[str, Any] = dict.fromkeys(("champion", "canary", "shadow", "reason"), NASTY)
    route |= {"share": 0.5, "cohort": [NASTY], "epoch": 3}
    rows = [{**row, "created_at": AT, "share": 0.0}]
    return {"now": AT, "route": route, "releases": rows, "trips": release_view()["trips"], "page": 1, "pages": 2}


def why_view() -> dict[str, Any]:
    driver = {"words": NASTY, "value": 1.0, "unit": NASTY, "mw": 0.5, "change_mw": None}
    return {
        **dict.fromkeys(("area", "release", "served_by", "reason", "note"), NASTY),
        "at": AT,
        "now": AT,
        "times": [AT],
        "issued_at": AT,
        **dict.fromkeys(("q10", "q50", "q90", "usual_mw", "centre_mw", "calibration_mw", "rest_mw"), 1.0),
        "exact": True,
        "drivers": [driver, {**driver, "value": None, "mw": -0.5}],
        "yesterday": {"at": AT, "q50": 2.0},
        "alike": [{"at": AT, "distance": 0.3, "load_mw": None}],
        "others": [{"model": NASTY, "q50": 2.0}],
    }


def diagnostics_view() -> dict[str, Any]:
    link = dict.fromkeys(("device", "protocol", "state", "reason"), NASTY)
    words = dict.fromkeys(("run", "trigger", "reason", "state", "candidate", "verdict"), NASTY)
    trigger = dict.fromkeys(("kind", "reason", "decision", "why"), NASTY)
    return {
        "now": AT,
        "store": {"version": 3, "first": AT, "last": AT, "quantities": [NASTY]},
        "quality": [{"area": NASTY, "present": 1, "missing": 2, "flags": {NASTY: 3}}],
        "links": [{**link, "since": AT, "latest": AT, "readings": 1, "gaps": 2}],
        "signals": [{"at": AT, "closed_at": None, "class": NASTY, "areas": [NASTY], "reason": NASTY}],
        "runs": [{**words, "started_at": AT}],
        "triggers": [{**trigger, "at": AT}],
        "gateways": [{"worker": NASTY, "host": NASTY, "pid": 3, "epoch": 4, "problem": NASTY}],
        "answers": answers_view(),
        "logs": logs_view(),
        "length": 9,
        "entries": view()["events"],
        "older": 4,
    }


def logs_view() -> dict[str, Any]:
    line = {**dict.fromkeys(("process", "host", "text", "trace"), NASTY), "at": AT, "pid": 3}
    about = {"release": [NASTY + "!"] * 5, "device": [NASTY + "!"], NASTY: [NASTY + "!"]}
    lines = [{**line, "level": level, "about": about} for level in ("debug", "info", "warning", "error")]
    asked = {"process": NASTY, "level": "warning", "find": NASTY, "before": AT, "older": AT, "looked_to": AT}
    return {**asked, "levels": ["debug", "info", "warning", "error"], "processes": lines, "lines": lines, "damaged": 2}


def answers_view() -> dict[str, Any]:
    words = ("request_id", "asked", "area", "served_by", "release", "reason", "fault")
    line = {**dict.fromkeys(words, NASTY), "made_at": AT, "latency_ms": 1.5}
    facts = ("forecast", "area", "release", "served_by", "reason", "void_reason", "replaced_by")
    forecast = {**dict.fromkeys(facts, NASTY), **dict.fromkeys(("made_at", "issued_at", "from", "to", "void_at"), AT)}
    numbers = {"requests": 3, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0}
    return {
        "since": AT,
        "logged": True,
        "find": NASTY,
        "latency": [{"release": NASTY, **numbers}, {"release": None, **numbers}],
        "found": 7,
        "lines": [line, {**line, "fault": None, "release": None}],
        "forecast": forecast,
    }


def theatre_view() -> dict[str, Any]:
    end = "2020-03-02T00:00:00Z"
    span = {"from": AT, "to": end, "served_by": NASTY, "release": NASTY, "reason": NASTY}
    marks = [{"at": AT, "kind": kind, "text": NASTY} for kind in ("trip", "signal", "move")]
    rollout = {**dict.fromkeys(("rollout", "release", "state", "reason"), NASTY), "since": AT, "share": 0.5}
    return {
        "now": end,
        "area": NASTY,
        "areas": [NASTY, "F01"],
        "at": "2020-03-01T12:00:00Z",
        "first": AT,
        "last": end,
        "step": 12,
        "steps": 24,
        "stride_h": 1.0,
        "previous": AT,
        "next": None,
        "counts": {"as_planned": 1, "with_care": 1, "do_not_use": 0},
        "abnormal": [{"area": NASTY, "state": 1, "trust": "with care", "why": NASTY}],
        "view": area_view() | {"later": [["2020-03-01T01:00:00Z", 3.0]], "now": "2020-03-01T12:00:00Z"},
        "rollouts": [{**rollout, "cohort": [NASTY]}, {**rollout, "cohort": []}],
        "signals": diagnostics_view()["signals"],
        "decisions": view()["events"],
        "course": {"days": [[AT, 2.5]], "served": [span], "marks": marks},
    }


def alarms_view() -> dict[str, Any]:
    mark = {"kind": "shelve", "by": NASTY, "at": AT, "until": AT, "reason": NASTY}
    row = {**dict.fromkeys(("key", "first", "sentence", "response"), NASTY), "since": AT, "areas": [NASTY], "count": 3}
    rows = [{**row, "priority": "high", "mark": None}, {**row, "priority": "low", "mark": mark}]
    rate = {"signals": 3, "hours": 8.0, "budget": 1}
    return {"now": AT, "alarms": rows, "active": 1, "unacknowledged": 1, "shelved": 1, "rate": rate}


def test_names_are_text_and_never_markup() -> None:
    found = overview_page(SHELL, view(), NASTY) + area_page(SHELL, area_view()) + problem(NASTY, NASTY)
    found += releases_page(SHELL, releases_view(), FREEZES) + release_page(SHELL, release_view())
    found += (
        why_page(SHELL, why_view()) + diagnostics_page(SHELL, diagnostics_view()) + alarms_page(SHELL, alarms_view())
    )
    found += theatre_page(SHELL, theatre_view()) + sign_in_page(NASTY, NASTY, provider=NASTY) + left_page(NASTY, NASTY)
    found += arrived_page(NASTY)
    assert "<script>alert" not in found
    assert found.count("<script src=") == found.count("<script") == 12
    assert found.count("&lt;script&gt;") > 30
    assert not re.search(r'="[^"]*<script', found)


def test_forms_are_offered_by_what_a_person_may_and_what_the_rollout_allows() -> None:
    rollout = {"rollout": "ro-1", "state": "awaiting_approval", "finished": False}
    asked = {"case": "a" * 64, "given": [{"name": NASTY, "role": "lead"}], "missing": []}

    def offered(person: Person | None, state: str, **more: Any) -> set[str]:
        found = rollout_acts(person, {**rollout, "approval": None, "state": state, **more}, "rel-1", may_return=False)
        return set(re.findall(r'name="kind" value="(\w+)"', found or ""))

    approver = Person("ann", ("approver",), frozenset({"approve", "reject", "override"}), "c", "/")
    assert offered(PERSON, "awaiting_approval", approval=asked) == {"approve", "reject", "override"}
    assert offered(PERSON, "canary") == {"reject", "override", "hold"}
    assert offered(PERSON, "held") == {"reject", "override", "resume"}
    assert offered(PERSON, "probation") == {"hold"}
    assert offered(approver, "canary") == {"reject", "override"}
    assert offered(PERSON, "tripped", finished=True) == offered(None, "canary") == set()
    assert rollout_acts(PERSON, None, "rel-1", may_return=False) is None
    found = rollout_acts(PERSON, None, "rel-1", may_return=True)
    assert found is not None
    assert "Return to this release" in found
    approve = rollout_acts(approver, {**rollout, "approval": asked}, "rel-1", may_return=False)
    assert approve is not None
    assert f'name="evidence" value="{"a" * 64}"' in approve
    assert approve.count("required") == 3  # no act without a reason


def test_pages_hold_no_style_and_no_handler_that_the_policy_would_refuse() -> None:
    found = overview_page(SHELL, view(), NASTY) + area_page(SHELL, area_view())
    found += releases_page(SHELL, releases_view(), FREEZES) + release_page(SHELL, release_view())
    found += (
        why_page(SHELL, why_view()) + diagnostics_page(SHELL, diagnostics_view()) + alarms_page(SHELL, alarms_view())
    )
    found += theatre_page(SHELL, theatre_view())
    assert not re.search(r"<style| style=| on[a-z]+=|javascript:", found)
    assert set(re.findall(r'(?:href|src)="(https?:[^"]*)"', found)) == set()


@pytest.mark.parametrize(("state", "word", "sign"), [(1, "with care", "▲"), (2, "do not use", "■")])
def test_colour_is_for_the_abnormal_and_never_alone(state: int, word: str, sign: str) -> None:
    plain = overview_page(SHELL, view())
    assert 'class="state care"' not in plain
    assert 'class="state stop"' not in plain
    found = overview_page(SHELL, view(state=state, trust=word))
    assert f"{sign} {word}" in found


def test_log_lines_say_how_grave_they_are_with_sign_and_word_and_keep_the_filter_in_every_link() -> None:
    found = diagnostics_page(SHELL, diagnostics_view())
    part = found[found.index('<section id="logs">') : found.index('<section id="ledger">')]
    assert part.count("▲ warning") == part.count("■ error") == 2
    links = re.findall(r'href="(/diagnostics\?[^"]*)"', part)
    assert len(links) == 6
    assert all("level=warning" in link and "line=" in link and "process=" in link for link in links)
    assert "and 2 more" in part
    assert "2 lines on the way cannot be read" in part
    assert '<option value="warning" selected>' in part


def test_who_may_not_read_logs_is_told_who_may() -> None:
    found = diagnostics_page(SHELL, diagnostics_view() | {"logs": None})
    assert "for the roles operator, engineer, approver and auditor" in found
    assert 'id="log-lines"' not in found


def test_without_any_log_the_page_says_what_writes_one() -> None:
    empty: dict[str, Any] = {
        "processes": [],
        "lines": [],
        "older": None,
        "looked_to": None,
        "damaged": 0,
        "before": None,
    }
    assert "recloser up" in diagnostics_page(SHELL, diagnostics_view() | {"logs": logs_view() | empty})
    one = logs_view() | {"lines": [], "older": None, "looked_to": None, "damaged": 0, "before": None}
    assert "No line is like that" in diagnostics_page(SHELL, diagnostics_view() | {"logs": one})


def test_a_date_of_another_year_than_the_pages_own_names_it() -> None:
    old = {**release_view(), "created_at": "2018-12-31T23:30:00Z"}
    found = release_page(SHELL, old)
    assert ">Tue 01 Jan 2019 00:30</time>" in found  # the local year, not that of UTC
    assert ">Sun 01 Mar 01:00</time>" in found
    logged = {**logs_view(), "lines": [{**logs_view()["lines"][0], "at": "2019-03-01T00:00:00Z"}]}
    assert ">Fri 01 Mar 2019 01:00:00.000</time>" in diagnostics_page(SHELL, diagnostics_view() | {"logs": logged})
    assert "Tue 25 Feb to Thu 05 Mar" in area_page(SHELL, {**area_view(), "days": 9})
    assert '<span class="quiet" id="clock" data-at="Sun 01 Mar 2020 13:00 CET">' in found  # printed with every page


def test_instants_in_sentences_are_told_by_the_projects_clock_and_what_only_looks_like_one_is_left() -> None:
    said = ["Last trip: rel-0123456789ab at 2019-11-27T22:13:53.281768Z: x", "a drill until 2020-13-41T99:00:00Z"]
    found = overview_page(SHELL, view() | {"sentences": said})
    assert ">Wed 27 Nov 2019 23:13</time>: x" in found
    assert "until 2020-13-41T99:00:00Z" in found
    freezes = {**FREEZES, "declared": [{"freeze": "f", "from": AT, "to": "9999-12-31T23:59:59Z", "reason": "x"}]}
    assert ">Fri 31 Dec 9999 23:59</time>" in releases_page(SHELL, releases_view(), freezes)
    assert "not known" in alarms_page(
        SHELL, {**alarms_view(), "alarms": [{**alarms_view()["alarms"][0], "since": None}]}
    )


def test_rungs_of_the_ladder_are_told_in_words() -> None:
    found = overview_page(SHELL, view(served_by="fallback:seasonal_naive", release="seasonal_naive"))
    found += why_page(SHELL, why_view() | {"release": "seasonal_naive"})
    assert "fallback: seasonal naive" in found
    assert "seasonal_naive" not in found


def test_a_word_longer_than_any_languages_may_end_its_line_and_plain_elements_stay_plain() -> None:
    name = "<" + 74 * "F"
    found = overview_page(SHELL, view() | {"areas": [{**row(), "area": name}]})
    assert f">&lt;{19 * 'F'}<wbr>{20 * 'F'}<wbr>{20 * 'F'}<wbr>{15 * 'F'}</a>" in found
    assert "<wbr>" not in str(el("title", name)) + str(el("option", name)) + str(el("p", 40 * "F"))


def test_an_area_without_a_forecast_has_a_row() -> None:
    empty = {"trend": [], "actual": [], "peak_mw": None, "data_until": None, "issued_at": None, "served_by": None}
    found = overview_page(SHELL, view(**empty, state=2, trust="do not use", release=None, peak_at=None))
    assert "no trend" in found
    assert "nobody" in found


def test_pages_of_many_areas_keep_what_was_asked() -> None:
    found = overview_page(SHELL, view(), "F 1&", abnormal=True)
    assert 'href="/?page=2&amp;find=F+1%26&amp;abnormal=1"' in found
    assert "page 1 of 3" in found
    assert area_link("a/b?c") == "/area?name=a%2Fb%3Fc"


def _asked_about_the_ends_of_the_calendar(app: ASGIApp) -> None:
    for at in ("9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00"):
        for place in ("/area?name=F01&until", "/why?name=F01&at", "/theatre?at", "/diagnostics?until"):
            assert ask(app, f"{place}={at}").status_code == 404
    assert ask(app, "/diagnostics?until=tomorrow").status_code == 404
    for at in ("1900-01-01T00:00:00Z", "2199-12-31T00:00:00Z"):
        assert ask(app, f"/area?name=F01&until={at}").status_code == 200


def test_the_pages_of_a_project_before_and_after_its_first_forecast(tmp_path: Path) -> None:
    folder = small_project(tmp_path / "grid")
    app = Console(folder, None).app()
    before = ask(app, "/")
    assert before.status_code == 200
    assert "No champion serves yet" in before.text
    assert "nothing was forecast yet" in before.text
    never = next(alarm for alarm in ask(app, "/alarms.json").json()["alarms"] if alarm["key"] == "never")
    assert never["since"] is None
    assert "not known" in ask(app, "/alarms").text
    assert run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    current_forecast(folder, area=None, as_of=None)
    after = ask(app, "/")
    assert "champion" in after.text
    assert "No champion serves yet" not in after.text
    assert after.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; script-src 'self'"
    )
    data = ask(app, "/overview.json").json()
    assert [line["area"] for line in data["areas"]] == ["F01", "F02"]
    assert all(line["state"] == 2 for line in data["areas"])  # it ended years ago, and says so
    assert any(event["text"].startswith("staging.pass") for event in data["events"])
    assert ask(app, "/area?name=F01").text.count("<h1>") == 1
    assert ask(app, "/area.json?name=F01").json()["area"] == "F01"
    assert ask(app, "/area?name=nowhere").status_code == 404
    assert ask(app, "/area?name=F01&until=tomorrow").status_code == 404
    _asked_about_the_ends_of_the_calendar(app)
    assert ask(app, "/?page=junk&find=zzz").text.count("No area is like that") == 1
    assert ask(app, "/static/console.css").headers["content-type"].startswith("text/css")
    assert ask(app, "/static/..%2Fconsole.py").status_code == 404
    release = ask(app, "/releases.json").json()["releases"][0]["release"]
    assert "as planned" in ask(app, "/").text or release in ask(app, "/").text
    assert ask(app, f"/release?name={release}").text.count("performance.naive") >= 1
    assert ask(app, f"/release.json?name={release}").json()["verdict"]["verdict"] == "pass"
    assert ask(app, "/release?name=rel-none").status_code == 404
    assert release in ask(app, "/releases").text
    assert "Exact TreeSHAP" in ask(app, "/why?name=F01").text
    assert ask(app, "/why?name=F01&at=2001-01-01T00:00:00Z").status_code == 404
    assert "staging.pass" in ask(app, "/diagnostics").text
    assert ask(app, "/diagnostics.json?before=3").json()["entries"][0]["seq"] == 2
    assert ask(app, "/diagnostics.json").json()["logs"]["lines"] == []
    assert ask(app, "/nothing").status_code == 404
    assert ask(app, "/", "POST").status_code == 405


def test_a_project_that_cannot_be_opened_is_told_not_thrown(tmp_path: Path) -> None:
    folder = empty_project(tmp_path / "grid")
    (folder / "recloser.toml").write_text("[projct]\n")
    app = Console(folder, None).app()
    page, data = ask(app, "/"), ask(app, "/overview.json")
    assert (page.status_code, data.status_code) == (503, 503)
    assert "projct" in page.text
    assert data.json()["error"] == "InvalidInput"
