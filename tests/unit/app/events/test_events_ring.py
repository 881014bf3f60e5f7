"""The newest seconds of a stream: gaps, order, jumps of the clock, what is one per unit."""

from __future__ import annotations

import numpy as np
import pytest

from recloser.app.events.ring import PhasorRing
from recloser.connectors.c37118.batches.phasors import Measured

RATE = 10


def frames(*slots: int, voltage: float = 63_500.0) -> Measured:
    shape = (len(slots), 2)
    at = np.array(slots, dtype=np.int64)
    angle = np.repeat(at[:, None] / 100.0, 2, axis=1)
    return Measured(at, np.full(shape, voltage), angle, np.full(shape, 50.0), np.zeros(shape, dtype=bool))


def ring(rated_v: float | None = 63_500.0) -> PhasorRing:
    return PhasorRing(2, RATE, 50.0, 3.0, rated_v)


def test_a_block_holds_the_instants_before_its_end_with_gaps_marked() -> None:
    kept = ring()
    kept.put(frames(100, 101, 103))
    kept.put(frames(104))
    block = kept.block(105, 5)
    assert block is not None
    assert block.unusable[:, 0].tolist() == [False, False, True, False, False]
    assert np.isnan(block.voltage_pu[2]).all()
    assert block.voltage_pu[0].tolist() == [1.0, 1.0]
    assert block.at_ns.tolist() == [slot * 100_000_000 for slot in range(100, 105)]
    assert block.angle_rad[3, 0] == pytest.approx(1.03)


def test_a_late_frame_fills_its_place_and_one_that_is_too_late_is_counted() -> None:
    kept = ring()
    kept.put(frames(100, 102))
    kept.put(frames(101))
    assert not kept.block(103, 3).unusable.any()  # type: ignore[union-attr]
    kept.put(frames(140))
    kept.put(frames(105))
    assert kept.late == 1
    assert kept.block(141, 1) is not None


def test_what_is_not_kept_any_more_or_not_there_yet_is_no_block() -> None:
    kept = ring()
    assert kept.block(5, 1) is None
    kept.put(frames(*range(100, 130)))
    assert kept.block(130, 30) is not None
    assert kept.block(130, 31) is None
    assert kept.block(131, 5) is None


def test_a_clock_that_jumps_begins_anew() -> None:
    kept = ring()
    kept.put(frames(*range(100, 130)))
    kept.put(frames(36_100, 36_101))
    assert (kept.first, kept.end) == (36_100, 36_102)
    assert kept.block(36_102, 4).unusable[:, 0].tolist() == [True, True, False, False]  # type: ignore[union-attr]
    kept.put(frames(101))  # and back by an hour
    assert (kept.first, kept.end) == (101, 102)


def test_frames_far_apart_in_one_batch_do_not_wrap() -> None:
    kept = ring()
    kept.put(frames(100, 101, 100 + 10 * RATE))
    assert kept.late == 2
    assert kept.block(100 + 10 * RATE + 1, 30).unusable[:-1].all()  # type: ignore[union-attr]


def test_without_a_rated_voltage_each_pmu_s_median_is_one() -> None:
    kept = ring(rated_v=None)
    kept.put(frames(*range(100, 120), voltage=230.0))
    kept.put(frames(*range(120, 130), voltage=115.0))
    block = kept.block(130, 30)
    assert block is not None
    assert (block.voltage_pu[0, 0], block.voltage_pu[-1, 0]) == (1.0, 0.5)
    kept.put(frames(*range(130, 145), voltage=115.0))
    assert kept.block(145, 10).voltage_pu[-1, 0] == 0.5  # type: ignore[union-attr]
