"""A detector of grid events on simulated phasors it has not seen: what it finds, how soon, at what cost.

All data are synthetic. Training and test scenes differ in seed, number of PMUs and systems; the rule of
events is the usual one, and one that is chosen on scenes of training systems.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recloser.features.phasors import PHASOR_FEATURES, phasor_features, window_ends
from recloser.models import EventDetector, train_detector
from recloser.monitoring import EventRule, EventWatch, watched
from recloser.simulation.phasors import GridEvent, PhasorPlan, Scene, scene

WINDOW_S = 10.0
CLASSES = tuple(event.value for event in GridEvent if event is not GridEvent.NONE)
LASTING = {GridEvent.OSCILLATION, GridEvent.ISLANDING, GridEvent.BAD_DATA}
RATES = (25, 30, 50, 60)
T0 = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """One window: its end in seconds after the scene began, what it shows (None: cannot be said), its features."""

    end_s: float
    label: str | None
    features: np.ndarray


def windows_of(one: Scene) -> Iterator[Window]:
    """Yield the windows of a scene, one a second."""
    rate = one.block.rate_hz
    for end in window_ends(one.block, WINDOW_S, 1.0):
        since = end / rate - one.begins_s
        label: str | None = "none" if since <= 0.0 else one.event.value
        if 0.0 < since < 0.5 or (since > WINDOW_S and one.event not in LASTING):
            label = None
        yield Window(end / rate, label, phasor_features(one.block.part(end - round(WINDOW_S * rate), end)))


def scenes(seed: int, count: int, nominal: float) -> Iterator[Scene]:
    """Yield `count` scenes of each kind, of 4 to 30 PMUs."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        plan = PhasorPlan(seed * 1000 + number, int(rng.integers(4, 31)), int(rng.choice(RATES)), nominal)
        for event in GridEvent:
            yield scene(plan, event, number)


def trained(count: int) -> EventDetector:
    """Return a detector trained on `count` scenes of each kind."""
    found = [window for one in scenes(1, count, 50.0) for window in windows_of(one) if window.label is not None]
    return train_detector(
        np.array([window.features for window in found]),
        [str(window.label) for window in found],
        PHASOR_FEATURES,
        CLASSES,
    )


@dataclass(frozen=True)
class Answered:
    """A scene with a detector's answer to each window: ends in seconds, probabilities (n_windows, n_classes)."""

    scene: Scene
    ends_s: list[float]
    answers: np.ndarray


def answered(detector: EventDetector, seed: int, count: int, nominal: float) -> list[Answered]:
    """Return what a detector says of the windows of `count` scenes of each kind."""
    out = []
    for one in scenes(seed, count, nominal):
        found = list(windows_of(one))
        answers = detector.all_classes(np.array([window.features for window in found], dtype=np.float32))
        out.append(Answered(one, [window.end_s for window in found], answers))
    return out


def events_of(one: Answered, rule: EventRule) -> list[tuple[float, str]]:
    """Return (seconds after the scene began, kind) of the events that a rule makes of a scene."""
    watch, told = EventWatch(rule), []
    for end_s, answer in zip(one.ends_s, one.answers, strict=True):
        at = T0 + timedelta(seconds=end_s)
        watch, news = watched(watch, at, dict(zip(CLASSES, answer.tolist(), strict=True)))
        told += [(end_s, seen.kind) for seen in news if seen.over_at is None]
    return told


def chosen(found: list[Answered]) -> EventRule:
    """Return the rule with the fewest wrong events in quiet time, and of those the one that finds most, soonest.

    Scenes of training systems only, which the detector has not learned: what is chosen here has seen no test scene.
    """

    def cost(rule: EventRule) -> tuple[int, int, float]:
        wrong = missed = 0
        delay = 0.0
        for one in found:
            told = events_of(one, rule)
            wrong += sum(end_s <= one.scene.begins_s for end_s, _ in told)
            right = [e for e, kind in told if e > one.scene.begins_s and kind == one.scene.event.value]
            missed += one.scene.event is not GridEvent.NONE and not right
            delay += right[0] - one.scene.begins_s if right else 0.0
        return wrong, missed, delay

    rules = [EventRule(threshold, begin) for threshold in (0.5, 0.6, 0.7, 0.8, 0.9) for begin in (2, 3, 4, 5)]
    return min(rules, key=cost)


def judged(found: list[Answered], rule: EventRule) -> dict[str, Any]:
    """Return what is found in unseen scenes, by kind, and wrong events per quiet hour."""
    rows: dict[str, dict[str, Any]] = {}
    delays: dict[str, list[float]] = {kind: [] for kind in CLASSES}
    outcome: dict[str, Counter[str]] = {event.value: Counter() for event in GridEvent}
    quiet_s, quiet_wrong = 0.0, 0
    for answers in found:
        one, told = answers.scene, events_of(answers, rule)
        quiet_s += min(one.begins_s, len(one.block) / one.block.rate_hz) - WINDOW_S
        quiet_wrong += sum(end_s <= one.begins_s for end_s, _ in told)
        late = [(end_s, kind) for end_s, kind in told if end_s > one.begins_s]
        outcome[one.event.value][late[0][1] if late else "nothing"] += 1
        right = [end_s - one.begins_s for end_s, kind in late if kind == one.event.value]
        if right:
            delays[one.event.value].append(right[0])
    for kind in CLASSES:
        several = delays[kind]
        rows[kind] = {
            "scenes": outcome[kind].total(),
            "found": len(several),
            "first_named": dict(outcome[kind]),
            "median_delay_s": float(np.median(several)) if several else None,
            "largest_delay_s": max(several, default=None),
        }
    rule_told = {"threshold": rule.threshold, "begin": rule.begin, "end": rule.end}
    return {"rule": rule_told, "kinds": rows, "quiet_hours": quiet_s / 3600.0, "wrong_events": quiet_wrong}


def costs() -> dict[str, float]:
    """Return CPU ms of the features of one window of 10 s by size."""
    result = {}
    for pmus, rate in ((10, 30), (10, 60), (100, 30), (100, 60)):
        block = scene(PhasorPlan(9, pmus, rate), GridEvent.LINE_TRIP).block.part(0, round(WINDOW_S * rate))
        phasor_features(block)
        began = time.process_time()
        for _ in range(20):
            phasor_features(block)
        result[f"{pmus} PMUs, {rate} frames/s"] = (time.process_time() - began) / 20 * 1000.0
    return result


def main() -> None:
    """Train, judge, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=60, help="scenes of each kind to learn from")
    parser.add_argument("--tune", type=int, default=60, help="scenes of each kind to choose the rule of events on")
    parser.add_argument("--test", type=int, default=60, help="scenes of each kind to be judged on")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    arguments = parser.parse_args()
    detector = trained(arguments.train)
    rule = chosen(answered(detector, 3, arguments.tune, 50.0))
    found = answered(detector, 2, arguments.test, 60.0)
    kinds = Counter(kind for one in found for end_s, kind in events_of(one, rule) if end_s <= one.scene.begins_s)
    result: dict[str, Any] = {
        "fixed": judged(found, EventRule(begin=2)),
        "chosen": judged(found, rule),
        "wrong_kinds": dict(kinds),
        "features_ms": costs(),
    }
    for name in ("fixed", "chosen"):
        part = result[name]
        print(f"{name} rule: {part['rule']}")
        for kind, row in part["kinds"].items():
            delay = row["median_delay_s"] or 0
            print(f"  {kind:<20} {row['found']:>3}/{row['scenes']}  {delay:5.1f} s  {row['first_named']}")
        print(f"  wrong events: {part['wrong_events']} in {part['quiet_hours']:.2f} quiet hours")
    for size, ms in result["features_ms"].items():
        print(f"features of a window, {size}: {ms:.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
