"""The report of a replay: scores by hand on a tiny example, months by local time, files whole or not at all."""

from __future__ import annotations

import html
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from recloser.app.project.files import replace_file
from recloser.app.replay.outcome import PolicyResult, ReplayReport, never_served, scored_section
from recloser.app.replay.scenario import Scenario
from recloser.app.replay.story import counts, valid_forecasts
from recloser.app.replay.telling.page import event_windows, render
from recloser.app.replay.telling.summary import in_local_time, summary_table
from recloser.core import format_utc
from recloser.ledger import ForecastRecord, SignalRecord
from recloser.simulation import Lockdown, Stuck

ZONE = ZoneInfo("Europe/Amsterdam")
HOUR = timedelta(hours=1)
FIRST = datetime(2020, 4, 1, tzinfo=UTC)


def frame(rows: list[tuple[str, str, float | None, float, float, float]]) -> pl.DataFrame:
    names = ["area", "at", "load_mw", "q10", "q50", "q90"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M%z", time_zone="UTC")
    )


def test_scores_by_local_month_and_area_by_hand() -> None:
    scored = scored_section(
        frame(
            [
                ("a", "2020-03-31T21:00+00:00", 100.0, 80.0, 90.0, 110.0),  # 23 h in Amsterdam: March
                ("a", "2020-03-31T22:00+00:00", 200.0, 190.0, 220.0, 230.0),  # midnight: April
                ("a", "2020-04-01T22:00+00:00", 100.0, 110.0, 120.0, 130.0),
                ("a", "2020-04-02T22:00+00:00", None, 1.0, 2.0, 3.0),
                ("b", "2020-04-01T22:00+00:00", 10.0, 9.0, 10.0, 11.0),
            ]
        ),
        ZONE,
    )
    assert [(row["month"], row["area"], row["n"]) for row in scored["months"]] == [
        ("2020-03", "a", 1),
        ("2020-04", "a", 2),
        ("2020-04", "b", 1),
    ]
    march, april, other = scored["months"]
    assert (march["mape"], march["coverage80"]) == (pytest.approx(10.0), 100.0)
    assert march["bias_pct"] == pytest.approx(-10.0)
    assert april["mape"] == pytest.approx((10.0 + 20.0) / 2)
    assert april["wmape"] == pytest.approx(100 * 40 / 300)
    assert april["bias_pct"] == pytest.approx(100 * 40 / 300)
    assert april["coverage80"] == 50.0
    # Pinball sums: 200 in 190 .. 230: 1 + 10 + 3; 100 below 110 .. 130: 9 + 10 + 3. Spread of the truth: 98 MW.
    assert april["rcrps"] == pytest.approx(2 * ((1 + 10 + 3) / 3 + (9 + 10 + 3) / 3) / 2 / 98)
    assert (other["mape"], other["rcrps"]) == (0.0, None)  # one value has no spread
    assert scored["total"]["n"] == 4
    assert scored["total"]["coverage80"] == 75.0
    assert scored["by_area"]["a"]["n"] == 3


def record(key: str, made: datetime, first: datetime, count: int, level: float) -> ForecastRecord:
    targets = [first + k * HOUR for k in range(count)]
    return ForecastRecord(
        key=key,
        area="a",
        issued_at=datetime(2020, 4, 1, 7, tzinfo=UTC),
        made_at=made,
        first_target=targets[0],
        last_target=targets[-1],
        release="rel-1",
        served_by="champion",
        reason="",
        targets=[format_utc(at) for at in targets],
        quantiles=[0.1, 0.5, 0.9],
        answers={"rel-1": [[level - 1, level, level + 1]] * count},
        void=False,
        void_at=None,
        void_reason=None,
        replaced_by=None,
    )


def test_a_recalled_hour_is_scored_with_its_replacement_and_a_past_one_with_what_people_had() -> None:
    midnight = datetime(2020, 4, 1, 22, tzinfo=UTC)
    old = record("fc-1", midnight - 15 * HOUR, midnight, 4, 10.0)
    now = midnight + 2 * HOUR
    new = record("fc-2", now, now, 2, 20.0)
    voided = replace(old, void=True, void_at=now, replaced_by="fc-2")
    found = valid_forecasts([voided, new])
    assert found["q50"].to_list() == [10.0, 10.0, 20.0, 20.0]
    assert valid_forecasts([new, voided])["q50"].to_list() == [10.0, 10.0, 20.0, 20.0]
    assert valid_forecasts([]).height == 0


def test_a_forecast_recalled_in_the_instant_it_was_made_is_not_scored() -> None:
    midnight = datetime(2020, 4, 1, 22, tzinfo=UTC)
    for keys in (("fc-1", "fc-2"), ("fc-2", "fc-1")):  # whichever way the ledger lists them
        voided = replace(record(keys[0], midnight - HOUR, midnight, 4, 10.0), void=True, replaced_by=keys[1])
        new = record(keys[1], midnight - HOUR, midnight, 4, 20.0)
        for records in ([voided, new], [new, voided]):
            assert valid_forecasts(records)["q50"].to_list() == [20.0] * 4


def signal(kind: str, at: datetime) -> SignalRecord:
    return SignalRecord("s", at, kind, "warning", [], at, "because", {}, None)


def test_an_alarm_without_a_cause_nearby_is_a_false_one() -> None:
    start = datetime(2020, 4, 1, tzinfo=UTC)
    day = timedelta(days=1)
    scenario = Scenario(
        events=(Stuck(("a",), start, start + day), Lockdown(start + 100 * day, onset=14 * day)),
    )
    told = [
        signal("data_fault", start + HOUR),
        signal("data_fault", start + 60 * day),
        signal("concept_drift", start + 110 * day),
        signal("degradation", start + 111 * day),
        signal("concept_drift", start),
        signal("covariate_shift", start + 60 * day),
    ]
    found = counts(told, [], [], [], scenario)
    assert found["false_alarms"] == 2
    assert "false_alarms" not in counts(told, [], [], [], Scenario())  # nothing is known about the truth


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    replace_file(path, b"old")
    assert replace_file(path, b"new").read_bytes() == b"new"
    with pytest.raises(TypeError):
        replace_file(path, None)  # type: ignore[arg-type]
    assert path.read_bytes() == b"new"


def test_the_page_shows_the_concerned_area_that_was_off_the_most() -> None:
    at = datetime(2020, 4, 1, tzinfo=UTC)
    loads: dict[str, float | None] = {"a": 100.0, "b": 130.0, "c": 160.0, "d": None}
    rows = [(area, format_utc(at + k * HOUR), load, 80.0, 100.0, 120.0) for area, load in loads.items() for k in (0, 1)]
    scored = frame([(area, when.replace("Z", "+00:00")[:16] + "+00:00", *rest) for area, when, *rest in rows])
    signal = {"at": at, "class": "concept_drift", "severity": "warning"}
    signals = [{**signal, "areas": ["a", "b"]}, {**signal, "areas": []}]
    trips = [{"at": at, "release": "rel-1", "areas": ["a"]}, {"at": at, "release": "rel-2", "areas": ["gone"]}]
    document = {"policies": {"recloser": {"trips": trips, "signals": signals}}}
    found = event_windows(ReplayReport(document, [], {"recloser": scored}), ZONE)
    assert [(title.split(",")[0], near["area"].unique().to_list(), len(near)) for title, near, _ in found] == [
        ("Trip of rel-1: a", ["a"], 2),
        ("Trip of rel-2: c", ["c"], 2),
        ("Drift found: b", ["b"], 2),
        ("Drift found: c", ["c"], 2),
    ]
    only = scored.filter(pl.col("area") == "d")  # nothing is known of its load
    (alone, *_) = event_windows(ReplayReport(document, [], {"recloser": only}), ZONE)
    assert alone[1]["area"].unique().to_list() == ["d"]


def test_one_number_is_not_scored_as_a_band() -> None:
    rows = frame([("a", f"2020-04-0{day}T10:00+00:00", 100.0 + day, 104.0, 104.0, 104.0) for day in range(1, 5)])
    told = scored_section(rows, ZONE, point=True)
    for scores in (told["total"], told["by_area"]["a"], told["months"][0]):
        assert (scores["rcrps"], scores["coverage80"], scores["n"]) == (None, None, 4)
        assert scores["wmape"] == scored_section(rows, ZONE)["total"]["wmape"]


def run(verdict: str, reason: str) -> dict[str, Any]:
    return {"candidate": "rel-2", "verdict": verdict, "reason": reason}


def test_why_no_model_ever_served() -> None:
    nothing = PolicyResult("never", valid_forecasts([]))
    refused, passed = run("refuse", "data.clock: shifted"), run("pass", "all 35 checks passed")
    move = {"release": "rel-2", "to": "awaiting_approval", "reason": "2 people must say yes"}
    assert never_served(nothing) == "no run was started"
    told = never_served(replace(nothing, runs=[passed, refused]))
    assert told == "the last run did not pass staging (refuse): data.clock: shifted"
    assert never_served(replace(nothing, runs=[passed])) == "rel-2 passed staging, and no rollout of it was begun"
    told = never_served(replace(nothing, runs=[passed], rollouts=[move]))
    assert told == "rel-2 passed staging, then awaiting approval: 2 people must say yes"
    served = valid_forecasts([record("fc-1", FIRST, FIRST, 2, 1.0)])
    assert never_served(PolicyResult("never", served, runs=[refused])) is None


def test_page_and_terminal_begin_with_what_never_served_and_the_timeline_is_local() -> None:
    nothing = frame([("a", "2020-04-01T10:00+00:00", 1.0, 1.0, 1.0, 1.0)])[:0]
    empty = scored_section(nothing, ZONE)
    why = "the last run did not pass staging (refuse): data.clock: <shifted>"
    document = {"from": FIRST, "to": FIRST + HOUR, "areas": ["a"], "version": "1", "cpu_s": 0.0, "naive": empty}
    document |= {"policies": {"never": {**empty, "trips": [], "signals": [], "never_served": why}}}
    report = ReplayReport(document, [(FIRST, "held since 2020-04-01T05:00:00Z")], {"never": nothing})
    said = f"No model ever served under 'never retrained': {why}"
    assert summary_table(document).splitlines()[0] == said
    page = render(report, ZONE, "Replay")
    assert page.index(f"<strong>{html.escape(said)}</strong>") < page.index("<table>")
    assert "held since 2020-04-01 07:00" in page
    assert "05:00:00Z" not in page


def test_instants_in_a_sentence_become_local_times() -> None:
    assert in_local_time("2020-01-01T23:30Z, 2020-07-01T00:00:00.250Z", ZONE) == "2020-01-02 00:30, 2020-07-01 02:00"
    assert in_local_time("2020-01-01, rel-2020-01-01T, 12:00Z", ZONE) == "2020-01-01, rel-2020-01-01T, 12:00Z"
