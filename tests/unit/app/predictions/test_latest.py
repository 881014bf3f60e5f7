"""The latest answers of gateways: from log and table alike, each once, searched, with their latencies by release."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl

from recloser.app.predictions.latest import found_in, latencies, latest_answers
from recloser.app.predictions.mover import move_all
from recloser.core import TIME
from recloser.store import PredictionTable

HOUR = timedelta(hours=1)


def test_answers_come_from_the_log_and_from_the_table_each_once(tmp_path: Path, logged: SimpleNamespace) -> None:
    now = logged.NOW
    assert latest_answers(tmp_path, now - HOUR, now).is_empty()
    logged.write(tmp_path / "log" / "gateway-0", range(20), segment_bytes=1500)
    before = latest_answers(tmp_path, now - HOUR, now)
    assert before.height == 40  # a known and an unknown area in each request
    assert before["request_id"].n_unique() == 20
    moved = move_all(tmp_path / "log", PredictionTable(tmp_path), now)
    assert moved.segments > 1
    after = latest_answers(tmp_path, now - HOUR, now)
    assert after.equals(before)
    assert latest_answers(tmp_path, now + timedelta(seconds=1), now + HOUR).is_empty()


def test_what_was_held_back_is_told_beside_the_answer(tmp_path: Path, logged: SimpleNamespace) -> None:
    logged.write(tmp_path / "log" / "gateway-0", range(7))
    rows = latest_answers(tmp_path, logged.NOW - HOUR, logged.NOW).filter(pl.col("area") == "a")
    held = rows.filter(pl.col("fault").is_not_null())
    assert set(held["request_id"]) == {"r0", "r5"}  # the shadow answered no number there
    assert set(rows["release"]) == {"rel-1"}


def test_a_search_finds_requests_releases_and_areas_and_takes_signs_as_they_are(
    tmp_path: Path, logged: SimpleNamespace
) -> None:
    logged.write(tmp_path / "log" / "gateway-0", range(12))
    rows = latest_answers(tmp_path, logged.NOW - HOUR, logged.NOW)
    assert set(found_in(rows, "r11")["request_id"]) == {"r11"}
    assert found_in(rows, "rel-1").height == 12
    assert set(found_in(rows, "x")["area"]) == {"x"}
    assert found_in(rows, "").height == 24
    for text in ("r.*", "[", "(", "r11 or 1=1"):
        assert found_in(rows, text).is_empty()


def test_latency_is_by_request_and_release_and_the_quantiles_are_of_the_requests() -> None:
    rows = pl.DataFrame(
        {
            "stream": ["g"] * 201,
            "sequence": [1, *range(1, 201)],
            "area": ["b", *["a"] * 200],
            "release": ["rel-1"] * 200 + ["rel-2"],
            "latency_us": [1000, *(k * 1000 for k in range(1, 201))],
            "made_at": [None] * 201,
        },
        schema_overrides={"made_at": TIME},
    )
    first, second = latencies(rows)
    assert first == {
        "release": "rel-1",
        "requests": 199,
        "p50_ms": 100.0,
        "p95_ms": 190.0,
        "p99_ms": 198.0,
        "max_ms": 199.0,
    }
    assert (second["release"], second["requests"], second["p99_ms"]) == ("rel-2", 1, 200.0)
    assert latencies(rows.head(0)) == []
