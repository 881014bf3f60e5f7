"""A stretch goes on for ever without a step; a drill changes what comes after it and nothing before."""

from __future__ import annotations

import numpy as np
import pytest

from recloser.core import InvalidInput
from recloser.features.phasors import PhasorBlock
from recloser.simulation.devices import parse_grid_event
from recloser.simulation.phasors import GridEvent, PhasorPlan, drill, scene
from recloser.simulation.phasors.stretch import PhasorStretch

PLAN = PhasorPlan(3, 5, 20, seconds=200.0)


def columns(stretch: PhasorStretch, first: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    voltage, angle, frequency = zip(*(stretch.at(first + k) for k in range(count)), strict=True)
    return np.stack(voltage), np.stack(angle), np.stack(frequency)


def test_where_it_begins_anew_there_is_no_step() -> None:
    stretch, end = PhasorStretch(PLAN), 200 * 20
    _, angle, frequency = columns(stretch, end - 100, 200)
    turned = np.unwrap(angle, axis=0)
    assert np.abs(np.diff(frequency, axis=0)).max() < 0.02
    assert np.abs(np.diff(turned, axis=0)).max() < 0.05
    implied = np.diff(turned, axis=0) * 20 / (2 * np.pi)
    assert np.abs(implied.mean(axis=0) - (frequency[1:] - 50.0).mean(axis=0)).max() < 0.002


def test_equal_arguments_give_equal_numbers_at_any_place() -> None:
    first, second = PhasorStretch(PLAN), PhasorStretch(PLAN)
    for index in (0, 17, 3999, 4000, 123_456):
        assert all(np.array_equal(a, b) for a, b in zip(first.at(index), second.at(index), strict=True))


def test_an_event_comes_when_it_was_asked_for_and_is_over_in_time() -> None:
    quiet, split = PhasorStretch(PLAN), PhasorStretch(PLAN, [(GridEvent.ISLANDING, 40.0)])
    before, after = columns(quiet, 0, 4000)[2], columns(split, 0, 4000)[2]
    moved = np.abs(after - before).max(axis=1)
    assert moved[: 40 * 20].max() == 0.0
    assert moved[45 * 20] > 0.02
    assert moved[141 * 20 :].max() < 1e-9
    with pytest.raises(InvalidInput):
        PhasorStretch(PLAN, [(GridEvent.BAD_DATA, 40.0)])
    with pytest.raises(InvalidInput):
        PhasorStretch(PLAN, [(GridEvent.ISLANDING, 150.0)])


@pytest.mark.parametrize("event", [event for event in GridEvent if event is not GridEvent.NONE])
def test_a_drill_leaves_what_came_before_it_alone(event: GridEvent) -> None:
    block = scene(PhasorPlan(5, 8, 30), GridEvent.NONE).block
    done = drill(block, event, 20.0, (1, 2))
    before = slice(0, 20 * 30 - 30)  # the fault that a line trips for comes a moment before

    def same(one: PhasorBlock, other: PhasorBlock, part: slice) -> bool:
        pairs = [
            (one.voltage_pu, other.voltage_pu),
            (np.exp(1j * one.angle_rad), np.exp(1j * other.angle_rad)),
            (one.frequency_hz, other.frequency_hz),
        ]
        return all(np.allclose(a[part], b[part], atol=1e-9, equal_nan=True) for a, b in pairs)

    assert same(done.block, block, before)
    assert not same(done.block, block, slice(20 * 30, None)) or done.block.unusable.sum() > block.unusable.sum()
    again = drill(block, event, 20.0, (1, 2)).block
    assert np.array_equal(again.frequency_hz, done.block.frequency_hz, equal_nan=True)
    assert same(block, scene(PhasorPlan(5, 8, 30), GridEvent.NONE).block, slice(None)), "the measurement is untouched"


def test_events_on_the_command_line() -> None:
    assert parse_grid_event("islanding@60") == (GridEvent.ISLANDING, 60.0)
    for text in ("islanding", "bad_data@3", "earthquake@3", "islanding@x"):
        with pytest.raises(InvalidInput):
            parse_grid_event(text)
