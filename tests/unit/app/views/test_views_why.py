"""Why a forecast is what it is: contributions add up to it, values are in engineering units, silence where unknown."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app import ControlRoom, Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.verbs import at_time, rollback_in
from recloser.app.views.reasons.drivers import driver_words
from recloser.core import LOAD, InvalidInput, VirtualClock, format_utc, jsonable, parse_utc
from recloser.ledger import ForecastRecord

Lived = tuple[Path, datetime]


def newest(lived: Lived, area: str) -> ForecastRecord:
    with Platform.open(lived[0], clock=VirtualClock(lived[1])) as platform:
        found = platform.ledger.find(ForecastRecord, area=area, void=False, order_by="issued_at", descending=True)
    return found[0]


def test_contributions_add_up_to_the_forecast_that_was_handed_out_at_every_interval(lived: Lived) -> None:
    room, record = ControlRoom(lived[0], VirtualClock(lived[1])), newest(lived, "F01")
    for index in (0, 7, 23):
        found = room.why("F01", at_time(record.targets[index]))
        json.dumps(jsonable(found))
        assert found["exact"]
        assert found["q50"] == record.answers[record.release][index][1]
        parts = sum(row["mw"] for row in found["drivers"]) + found["rest_mw"]
        assert found["usual_mw"] + parts == pytest.approx(found["centre_mw"])
        assert found["centre_mw"] + found["calibration_mw"] == pytest.approx(found["q50"])
        assert abs(found["calibration_mw"]) < 0.2 * found["q50"]
        sizes = [abs(row["mw"]) for row in found["drivers"]]
        assert sizes == sorted(sizes, reverse=True)
        assert all(row["change_mw"] == pytest.approx(row["mw"] - row["mw_yesterday"]) for row in found["drivers"])


def test_the_centre_is_that_of_the_model_and_loads_are_in_mw(lived: Lived) -> None:
    folder, now = lived
    record = newest(lived, "F02")
    found = ControlRoom(folder, VirtualClock(now)).why("F02")
    assert parse_utc(found["at"]) in {at_time(at) for at in record.targets}
    assert found["q50"] == max(answer[1] for answer in record.answers[record.release])
    lags = [row for row in found["drivers"] if row["name"].startswith("load_lag_") and row["name"].endswith("d")]
    assert lags
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        for row in lags:
            days = int(row["name"].removeprefix("load_lag_").removesuffix("d"))
            at = parse_utc(found["at"]) - timedelta(days=days)
            load = platform.store.read(["F02"], [LOAD], at, at + timedelta(hours=1), as_of=now).latest()["value"][0]
            assert row["value"] == pytest.approx(load, rel=1e-5)
            assert row["unit"] == "MW"


def test_past_days_alike_are_past_and_have_the_load_that_came(lived: Lived) -> None:
    found = ControlRoom(lived[0], VirtualClock(lived[1])).why("F01")
    assert len(found["alike"]) == 5
    assert [row["distance"] for row in found["alike"]] == sorted(row["distance"] for row in found["alike"])
    assert all(row["at"] < found["issued_at"] for row in found["alike"])
    with Platform.open(lived[0], clock=VirtualClock(lived[1])) as platform:
        at = parse_utc(found["alike"][0]["at"])
        load = platform.store.read(["F01"], [LOAD], at, at + timedelta(hours=1), as_of=lived[1]).latest()["value"][0]
    assert found["alike"][0]["load_mw"] == load


def test_a_canary_is_compared_with_what_the_champion_answered(rivals: Lived) -> None:
    room = ControlRoom(rivals[0], VirtualClock(rivals[1]))
    answers = [room.why(area) for area in ("F01", "F02")]  # which half it has follows from its digest
    (found,) = [one for one in answers if one["served_by"] == "canary"]
    assert [row["model"].startswith("rel-") for row in found["others"]].count(True) == 1


def test_the_last_models_drivers_stand_beside_those_of_the_one_that_serves(rivals: Lived) -> None:
    room = ControlRoom(rivals[0], VirtualClock(rivals[1]))
    (found,) = [one for one in (room.why("F01"), room.why("F02")) if one["served_by"] == "canary"]
    former = found["former"]
    json.dumps(jsonable(found))
    (rival,) = [row for row in found["others"] if row["model"].startswith("rel-")]
    assert (former["release"], former["exact"]) == (rival["model"], True)
    assert former["q50"] == pytest.approx(rival["q50"], rel=0.02)  # it was asked then, but for what it learned since
    changes = sum(row["change_mw"] for row in former["changes"]) + former["rest_change_mw"] + former["usual_change_mw"]
    assert changes == pytest.approx(found["centre_mw"] - former["centre_mw"], abs=1e-6)
    assert former["centre_mw"] + former["calibration_mw"] == pytest.approx(former["q50"])
    sizes = [abs(row["change_mw"]) for row in former["changes"]]
    assert sizes == sorted(sizes, reverse=True)
    told = {row["name"]: row for row in former["changes"]}
    for row in found["drivers"]:
        assert row["change_model_mw"] == pytest.approx(row["mw"] - (row["mw_former"] or 0.0))
        if row["name"] in told:
            assert told[row["name"]]["change_mw"] == pytest.approx(row["change_model_mw"])


def test_the_first_model_has_none_before_it_and_one_that_is_gone_is_told(rivals: Lived, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(rivals[0], tmp_path / "grid"))
    room = ControlRoom(folder, VirtualClock(rivals[1]))
    found = {one["served_by"]: one for one in (room.why("F01"), room.why("F02"))}
    assert found["champion"]["former"] is None
    assert all(row["change_model_mw"] is None for row in found["champion"]["drivers"])
    former = found["canary"]["former"]["release"]
    shutil.move(folder / "state/packages" / former, tmp_path / "gone")
    again = ControlRoom(folder, VirtualClock(rivals[1])).why(str(found["canary"]["area"]))
    assert (again["exact"], again["former"]["exact"]) == (True, False)
    assert "cannot be read" in again["former"]["note"]


def test_a_model_with_other_inputs_is_asked_with_its_own(rivals: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    room = ControlRoom(rivals[0], VirtualClock(rivals[1]))
    (found,) = [one for one in (room.why("F01"), room.why("F02")) if one["served_by"] == "canary"]
    from recloser.app.views.reasons import former

    with monkeypatch.context() as patch:  # as if what is at hand lacked a column that the last model reads
        patch.setattr(former, "_at_hand", lambda *_: False)
        again = ControlRoom(rivals[0], VirtualClock(rivals[1])).why(str(found["area"]))
    assert again["former"]["centre_mw"] == pytest.approx(found["former"]["centre_mw"])


def test_after_a_recall_what_took_its_place_is_explained(lived: Lived, tmp_path: Path) -> None:
    folder, now = Path(shutil.copytree(lived[0], tmp_path / "grid")), lived[1]
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        rollback_in(ControlLoop(platform, LoopOptions()), to=None, reason="a drill", actor="ann")
    found = ControlRoom(folder, VirtualClock(now)).why("F01")
    assert found["issued_at"] == format_utc(newest(lived, "F01").issued_at)
    assert found["served_by"].startswith("fallback:")


@pytest.mark.parametrize("served_by", ["champion", "fallback:seasonal_naive"])
def test_what_was_recalled_is_marked_whoever_made_it(lived: Lived, tmp_path: Path, served_by: str) -> None:
    folder, now = Path(shutil.copytree(lived[0], tmp_path / "grid")), lived[1]
    record = replace(newest(lived, "F01"), void=True, void_at=now, void_reason="a drill")
    if served_by != "champion":
        answers = {"seasonal_naive": record.answers[record.release]}
        record = replace(record, release="seasonal_naive", served_by=served_by, answers=answers)
    with Platform.open(folder, clock=VirtualClock(now)) as platform, platform.ledger.change("test", now) as change:
        change.put(record)
        change.note("test.void", record.key)
    found = ControlRoom(folder, VirtualClock(now)).why("F01")
    assert found["served_by"] == served_by
    assert found["note"].startswith("This forecast was recalled and must not be used: a drill.")
    assert found["exact"] == (served_by == "champion")


def test_the_fallback_has_no_drivers_and_says_so(lived: Lived, tmp_path: Path) -> None:
    folder, now = Path(shutil.copytree(lived[0], tmp_path / "grid")), lived[1]
    record = newest(lived, "F01")
    rung = {"release": "seasonal_naive", "served_by": "fallback:seasonal_naive", "made_at": now, "key": "fc-naive"}
    rung["answers"] = {"seasonal_naive": record.answers[record.release]}
    with Platform.open(folder, clock=VirtualClock(now)) as platform, platform.ledger.change("test", now) as change:
        change.put(replace(record, **rung))
        change.note("test.fallback", "fc-naive")
    found = ControlRoom(folder, VirtualClock(now)).why("F01")
    assert found["served_by"] == "fallback:seasonal_naive"
    assert (found["exact"], found["drivers"]) == (False, [])
    assert "'seasonal naive' repeats past load" in found["note"]


def test_what_was_not_forecast_is_refused(lived: Lived) -> None:
    room = ControlRoom(lived[0], VirtualClock(lived[1]))
    with pytest.raises(InvalidInput, match="F01"):
        room.why("F0")
    with pytest.raises(InvalidInput, match="nothing was forecast for this interval"):
        room.why("F01", lived[1] + timedelta(days=9))


@pytest.mark.parametrize(
    ("name", "words", "unit"),
    [
        ("load_lag_7d", "load 7 days before", "MW"),
        ("load_mean_7_14_21_28d", "mean load 7, 14, 21, 28 days before", "MW"),
        ("load_trend_24h_7d", "load of the last 24h against 7d before", "MW"),
        ("load_similar_4", "mean load of the 4 days of the same kind", "MW"),
        ("temperature_c", "temperature", "degC"),
        ("temperature_c_mean_24h", "temperature, mean of 24h", "degC"),
        ("temperature_c_day_max", "temperature, max of the day", "degC"),
        ("temperature_c_change_24h_7d", "change of temperature, 24h against 7d before", "degC"),
        ("heating_18c_24h", "degrees below 18 degC, mean of 24 h", "degC"),
        ("holiday_lag_2d", "holiday 2 days before", ""),
        ("my_own_column", "my own column", ""),
    ],
)
def test_inputs_have_words_and_units(name: str, words: str, unit: str) -> None:
    assert driver_words(name)[:2] == (words, unit)


def test_diagnostics_count_what_is_missing_and_flagged_and_page_the_ledger(lived: Lived, tmp_path: Path) -> None:
    folder, now = Path(shutil.copytree(lived[0], tmp_path / "grid")), lived[1]
    room = ControlRoom(folder, VirtualClock(now))
    whole = room.diagnostics()
    json.dumps(jsonable(whole))
    assert [(row["missing"], row["flags"]) for row in whole["quality"]] == [(0, {}), (0, {})]
    assert whole["entries"][0]["seq"] == whole["length"]
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        frame = platform.store.read(["F02"], [LOAD], now - timedelta(hours=5), now, as_of=now).frame
        platform.store.append(
            frame.head(3).with_columns(quality=pl.lit(2).cast(frame.schema["quality"]), available_at=pl.lit(now)),
            "test",
        )
        marked = room.diagnostics()
    assert (marked["quality"][0]["area"], marked["quality"][0]["flags"]) == ("F02", {"STUCK": 3})
    seen = [entry["seq"] for entry in whole["entries"]]
    while whole["older"]:
        whole = room.diagnostics(whole["older"])
        seen += [entry["seq"] for entry in whole["entries"]]
    assert seen == list(range(seen[0], 0, -1))
    assert marked["runs"][0]["candidate"].startswith("rel-")
    assert marked["store"]["last"] >= format_utc(now)
