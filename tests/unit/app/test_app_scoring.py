"""What a replay is scored against: faults of the history itself are no truth, those of a scenario have a known one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from recloser.app.replay.outcome import DOUBTED
from recloser.app.replay.scoring import (
    common_rows,
    doubted_loads,
    faults_of_its_own,
    left_out_section,
    left_out_sentence,
    on_rows,
    truth_frame,
)
from recloser.core import SAMPLE_SCHEMA, Panel, Quality
from recloser.simulation import Gap, Scaled, Stuck, apply
from recloser.store import Store

HOUR = timedelta(hours=1)
FIRST = datetime(2024, 3, 1, tzinfo=UTC)
AT = [FIRST + k * HOUR for k in range(24)]
LATER = FIRST + timedelta(days=3)
STUCK, UNIT, SPIKE = int(Quality.STUCK), int(Quality.UNIT_SUSPECT), int(Quality.SPIKE)


def history(areas: tuple[str, ...] = ("a", "b")) -> pl.DataFrame:
    rows = [(area, "load_mw", at, at + HOUR, 100.0 + at.hour, 0, "scada") for area in areas for at in AT]
    return pl.DataFrame(rows, schema=SAMPLE_SCHEMA, orient="row")


def panel(frame: pl.DataFrame) -> Panel:
    return Panel(frame, HOUR, LATER)


def doubted(*rows: tuple[str, int, int]) -> pl.DataFrame:
    return pl.DataFrame([(area, AT[k], bits) for area, k, bits in rows], schema=DOUBTED, orient="row")


def answers(area: str = "a") -> pl.DataFrame:
    return pl.DataFrame({"area": area, "at": AT, "q10": 90.0, "q50": 110.0, "q90": 130.0}).cast({"at": DOUBTED["at"]})


def test_a_fault_that_any_policy_found_is_one_for_all() -> None:
    real = panel(history())
    one, other = doubted(("a", 3, STUCK), ("a", 4, STUCK)), doubted(("a", 4, SPIKE), ("b", 9, UNIT))
    wanted = doubted(("a", 3, STUCK), ("a", 4, STUCK | SPIKE), ("b", 9, UNIT)).rows()
    assert faults_of_its_own([one, other], real, real).rows() == wanted
    assert faults_of_its_own([other, one], real, real).rows() == wanted
    assert faults_of_its_own([], real, real).is_empty()


def test_what_the_scenario_spoilt_is_scored_against_the_load_as_it_was() -> None:
    events = (
        Scaled(("a",), AT[5], AT[8]),
        Gap(("b",), AT[2], AT[4]),
        Stuck(("b",), AT[15], AT[18]),
    )
    found = [("a", k, UNIT) for k in (5, 6, 7, 12)] + [("b", 3, int(Quality.MISSING))]
    found += [("b", k, STUCK) for k in (14, 15, 16, 17, 20)]  # the first value that sticks is still a true one
    left = faults_of_its_own([doubted(*found)], panel(history()), panel(apply(history(), events)))
    assert left.rows() == doubted(("a", 12, UNIT), ("b", 20, STUCK)).rows()


def test_the_store_tells_what_is_not_usable_and_a_revision_clears_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", HOUR)
    store.append(history(("a",)), source="test")
    row = history(("a",))

    def revised(k: int, value: float, bits: int, after: timedelta) -> pl.DataFrame:
        return row[k : k + 1].with_columns(
            available_at=pl.col("at") + after, value=pl.lit(value), quality=pl.lit(bits, dtype=pl.Int32)
        )

    flagged = [revised(k, 1.0, bits, 3 * HOUR) for k, bits in ((3, STUCK), (4, STUCK), (5, int(Quality.QUESTIONABLE)))]
    store.append(pl.concat([*flagged, revised(4, 104.0, 0, 9 * HOUR)]), source="test")
    assert doubted_loads(store, ["a"], (FIRST, FIRST + timedelta(days=1))).rows() == doubted(("a", 3, STUCK)).rows()


def test_all_are_scored_on_the_same_rows_without_the_faults() -> None:
    truth = truth_frame(panel(history()), (FIRST, FIRST + timedelta(days=1)))
    faults = doubted(("a", 3, STUCK), ("a", 4, UNIT), ("b", 5, UNIT))
    short = answers().filter(pl.col("at") < AT[20])
    keys = common_rows([short, answers()])
    for frame in (short, answers()):
        scored = on_rows(keys, truth, faults)(frame)
        assert len(scored) == 20
        assert scored.filter(pl.col("load_mw").is_null())["at"].to_list() == AT[3:5]
    told = {"left_out": left_out_section(faults, keys, truth)}
    assert told["left_out"] == {"samples": 2, "by_area": {"a": 2}, "by_reason": {"STUCK": 1, "UNIT_SUSPECT": 1}}
    assert left_out_sentence(told).startswith("2 samples of load are left out of every score")
    assert "1 stuck, 1 unit suspect; a" in left_out_sentence(told)
    assert left_out_sentence({}) == left_out_sentence({"left_out": {"samples": 0}}) == ""
    one = left_out_section(faults[:1], keys, truth)
    assert left_out_sentence({"left_out": one}).startswith("1 sample of load is")


def test_where_nobody_answered_nothing_is_scored() -> None:
    truth = truth_frame(panel(history()), (FIRST, FIRST + timedelta(days=1)))
    assert on_rows(common_rows([answers()[:0]]), truth, doubted())(answers()).is_empty()
    keys = common_rows([answers()[:0], answers()])
    assert len(on_rows(keys, truth, doubted())(answers())) == 24  # who never answered bars nobody
