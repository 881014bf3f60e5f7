"""The overview page: true, quiet, and safe whatever the areas are called."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp

from recloser.app import current_forecast, run_pipeline
from recloser.console import Console
from recloser.console.overview import band, overview_page, problem_page
from recloser.testing import empty_project, small_project

NASTY = "<script>alert('x')</script>\"&"


def ask(app: ASGIApp, path: str, method: str = "GET") -> httpx.Response:
    """Ask the application as a browser would."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path)

    return asyncio.run(once())


def view(**changed: Any) -> dict[str, Any]:
    row = {
        "area": NASTY,
        "q10": [1.0, 2.0],
        "q50": [2.0, 3.0],
        "q90": [3.0, 4.0],
        "peak_mw": 3.0,
        "issued_at": NASTY,
        "served_by": "champion",
        "why": NASTY,
    }
    return {
        "project": NASTY,
        "now": NASTY,
        "sentences": [NASTY],
        "signals": [NASTY],
        "areas": [row | changed],
        "events": [{"at": NASTY, "text": NASTY}],
    }


def test_names_are_text_and_never_markup() -> None:
    page = overview_page(view()) + problem_page(NASTY)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 11


def abnormal_rows(page: str) -> int:
    return len(re.findall(r"<tr class=abnormal><td>&lt;script", page.split("<h2>Areas")[1]))


@pytest.mark.parametrize(
    ("served_by", "abnormal"), [("champion", 0), ("canary", 0), ("fallback:seasonal_naive", 1), (None, 1)]
)
def test_colour_is_for_the_abnormal_only(served_by: str | None, abnormal: int) -> None:
    page = overview_page(view(served_by=served_by, issued_at=None, peak_mw=None))
    assert abnormal_rows(page) == abnormal
    assert (served_by or "nobody") in page  # and never by colour alone


numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=48)


@settings(max_examples=50, deadline=None)
@given(values=numbers, width=st.floats(0, 1e3))
def test_the_band_stays_inside_its_box(values: list[float], width: float) -> None:
    drawing = band([v - width for v in values], values, [v + width for v in values])
    pairs = [tuple(map(float, p.split(","))) for text in re.findall(r"points='([^']*)'", drawing) for p in text.split()]
    assert len(pairs) == 3 * len(values)
    assert all(-0.1 <= x <= 260.1 and -0.1 <= y <= 44.1 for x, y in pairs)
    assert band([], [], []) == ""


def test_the_pages_of_a_project_before_and_after_its_first_forecast(tmp_path: Path) -> None:
    folder = small_project(tmp_path / "grid")
    app = Console(folder, None).app()
    before = ask(app, "/")
    assert before.status_code == 200
    assert "No champion serves yet" in before.text
    assert run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    current_forecast(folder, area=None, as_of=None)
    after = ask(app, "/")
    assert after.text.count("<svg") == 2
    assert "champion" in after.text
    assert "No champion serves yet" not in after.text
    assert after.headers["content-security-policy"].startswith("default-src 'none'")
    data = ask(app, "/overview.json").json()
    assert [row["area"] for row in data["areas"]] == ["F01", "F02"]
    assert all(len(row["q50"]) == 24 for row in data["areas"])
    assert any(event["text"].startswith("staging.pass") for event in data["events"])
    assert ask(app, "/nothing").status_code == 404
    assert ask(app, "/", "POST").status_code == 405


def test_a_project_that_cannot_be_opened_is_told_not_thrown(tmp_path: Path) -> None:
    folder = empty_project(tmp_path / "grid")
    app = Console(folder, None).app()
    assert ask(app, "/").status_code == 200
    (folder / "recloser.toml").write_text("[projct]\n")
    page, data = ask(app, "/"), ask(app, "/overview.json")
    assert (page.status_code, data.status_code) == (503, 503)
    assert "projct" in page.text
    assert data.json()["error"] == "InvalidInput"
