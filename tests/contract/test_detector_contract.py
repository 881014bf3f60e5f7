"""What every drift detector promises: pure steps, JSON states, no evidence from nothing, a fresh start."""

import importlib.util
import json
from datetime import date, timedelta

import numpy as np
import pytest

from recloser.core import InvalidInput, Unavailable
from recloser.monitoring.detectors import Change, DayErrors, Detector, Monitor, day_errors, detector_named

FIRST = date(2018, 1, 1)
NAMES = ["channels", "seasonal_cusum", "e_detector"]
RIVER = ["river_adwin", "river_page_hinkley", "river_kswin"]
HAS_RIVER = importlib.util.find_spec("river") is not None


def days(count: int, seed: int = 1, shift: float = 0.0, start: date = FIRST) -> list[DayErrors]:
    """Autocorrelated days with 2 % spread."""
    rng = np.random.default_rng(seed)
    error, rows = 0.0, []
    for _ in range(count):
        error = 0.5 * error + 0.87 * rng.normal()
        rows.append(0.02 * error + shift + 0.01 * rng.normal(size=24))
    return day_errors([start + timedelta(days=k) for k in range(count)], np.array(rows), frozenset())


def run(monitor: Monitor, seen: list[DayErrors]) -> tuple[Monitor, list[Change]]:
    changes = []
    for day in seen:
        monitor, change = monitor.step(day)
        changes += [] if change is None else [change]
    return monitor, changes


@pytest.fixture(params=[*NAMES, *(RIVER if HAS_RIVER else [])])
def detector(request: pytest.FixtureRequest) -> Detector:
    return detector_named(request.param)


LATER = date(2020, 1, 1)


def test_a_large_lasting_shift_is_found_and_named(detector: Detector) -> None:
    lived = days(40, 2, start=LATER) + days(90, 3, -0.15, LATER + timedelta(days=40))
    _, changes = run(detector.fit(days(400)), lived)
    assert changes
    assert changes[0].day >= LATER + timedelta(days=40)
    assert changes[0].since <= changes[0].day
    assert changes[0].direction in {"above", "below", ""}


def test_steps_are_pure_and_repeatable(detector: Detector) -> None:
    monitor = detector.fit(days(400))
    before = json.dumps(monitor.to_dict())
    once, twice = (run(monitor, days(30, 4, -0.05, LATER)) for _ in range(2))
    assert json.dumps(monitor.to_dict()) == before
    assert (once[0].to_dict(), once[1]) == (twice[0].to_dict(), twice[1])


def test_a_state_read_back_from_json_answers_alike(detector: Detector) -> None:
    monitor, _ = run(detector.fit(days(400)), days(20, 5, start=LATER))
    again = detector.load(json.loads(json.dumps(monitor.to_dict())))
    rest = days(60, 6, -0.08, LATER + timedelta(days=20))
    one, other = run(monitor, rest), run(again, rest)
    assert [(c.day, c.channel, c.direction) for c in one[1]] == [(c.day, c.channel, c.direction) for c in other[1]]
    assert one[0].to_dict() == other[0].to_dict()


def test_old_days_and_unknown_blocks_change_nothing(detector: Detector) -> None:
    seen = days(10, 7, start=LATER)
    monitor, _ = run(detector.fit(days(400)), seen)
    repeated, change = monitor.step(seen[4])
    assert (repeated.to_dict(), change) == (monitor.to_dict(), None)
    blank = DayErrors(LATER + timedelta(days=11), (float("nan"),) * 8, float("nan"))
    for _ in range(200):
        monitor, change = monitor.step(blank)
        assert change is None


def test_after_a_change_new_evidence_is_needed(detector: Detector) -> None:
    monitor, found = detector.fit(days(400)), []
    for day in days(60, 8, -0.12, LATER):
        monitor, change = monitor.step(day)
        found += [] if change is None else [change.day]
        if found:
            break
    assert found
    quiet, change = monitor.step(days(1, 9, start=found[0] + timedelta(days=1))[0])
    assert change is None
    assert not quiet.surprise < 0.05


def test_surprise_grows_with_the_shift(detector: Detector) -> None:
    fitted = detector.fit(days(400))
    calm, moved = (run(fitted, days(3, 10, shift, LATER))[0].surprise for shift in (0.0, -0.03))
    assert np.isnan(calm) or (0.0 < moved <= calm <= 1.0)


def test_a_fleet_may_call_the_change_that_the_evidence_points_to(detector: Detector) -> None:
    monitor, found = run(detector.fit(days(400)), days(4, 11, -0.1, LATER))
    assert not found
    fresh, change = monitor.declared()
    if np.isnan(monitor.surprise):
        assert (fresh, change) == (monitor, None)  # it cannot tell how much evidence there is
        return
    assert change is not None
    assert (change.day, change.direction) == (LATER + timedelta(days=3), "below")
    assert change.since <= change.day
    assert fresh.surprise > monitor.surprise
    assert fresh.declared()[1] is None


def test_too_little_history_and_foreign_states_are_refused(detector: Detector) -> None:
    with pytest.raises(InvalidInput):
        detector.fit(days(40))
    with pytest.raises(InvalidInput):
        detector.load({"last_day": "yesterday"})


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="channels"):
        detector_named("cusumm")


@pytest.mark.skipif(HAS_RIVER, reason="river is installed")
@pytest.mark.parametrize("name", RIVER)
def test_a_plug_in_without_its_library_says_what_to_install(name: str) -> None:
    with pytest.raises(Unavailable, match="river"):
        detector_named(name)
