"""Voltage phasors of a stream as arrays: which one of each PMU, flags, absent numbers, instants as integers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.c37118 import Configuration, PhasorChannel, PmuConfiguration, data_frame, layout_of, read_batch
from recloser.connectors.c37118.batches.phasors import PhasorReader, slot_ns, slots_of
from recloser.core import InvalidInput

POLAR, RECTANGULAR = 0x000F, 0x000E


def stream(*pmus: tuple[int, Sequence[tuple[str, str]]], rate: int = 50) -> Configuration:
    made = tuple(
        PmuConfiguration(
            f"PMU{n}", 10 + n, code, tuple(PhasorChannel(name, unit, 1.0) for name, unit in channels), (), (), 50, 1
        )
        for n, (code, channels) in enumerate(pmus)
    )
    return Configuration(7, 1_000_000, made, rate)


def test_each_pmu_gives_its_positive_sequence_or_its_first_voltage() -> None:
    found = stream(
        (POLAR, [("IA", "A"), ("VA", "V"), ("VB", "V")]),
        (POLAR, [("VA", "V"), ("V1 bus", "V")]),
        (POLAR, [("IA", "A")]),
        (RECTANGULAR, [("vpos", "V")]),
    )
    reader = PhasorReader(layout_of(found))
    assert reader.names == ("PMU0 VA", "PMU1 V1 bus", "PMU3 vpos")
    numbers = [
        *(0, 1.0, 0.0, 63_000.0, 0.5, 1.0, 0.0, 50.1, 0.0),
        *(0x2000, 1.0, 0.0, 64_000.0, -0.5, 49.9, 0.0),
        *(0, 1.0, 0.0, 50.0, 0.0),
        *(0, 3000.0, 4000.0, 50.0, 0.0),
    ]
    batch = read_batch([data_frame(found, numbers, (1_700_000_000, 20_000))], layout_of(found))
    measured = reader.read(batch)
    assert measured.voltage[0] == pytest.approx([63_000.0, 64_000.0, 5000.0])
    assert measured.angle_rad[0] == pytest.approx([0.5, -0.5, math.atan2(4, 3)], rel=1e-6)
    assert measured.frequency_hz[0] == pytest.approx([50.1, 49.9, 50.0])
    assert measured.unusable.tolist() == [[False, True, False]]  # not synchronised
    assert measured.slots.tolist() == [1_700_000_000 * 50 + 1]


def test_a_number_that_is_none_is_unusable() -> None:
    found = stream((POLAR, [("VA", "V")]))
    frame = data_frame(found, [0, math.nan, 0.0, 50.0, 0.0], (1_700_000_000, 0))
    assert PhasorReader(layout_of(found)).read(read_batch([frame], layout_of(found))).unusable.all()


@pytest.mark.parametrize(
    "found",
    [stream((POLAR, [("IA", "A")])), stream((POLAR, [("VA", "V")]), rate=1), stream((POLAR, [("VA", "V")]), rate=-5)],
)
def test_a_stream_without_voltages_or_at_another_rate_is_refused(found: Configuration) -> None:
    with pytest.raises(InvalidInput):
        PhasorReader(layout_of(found))


@given(st.integers(0, 4_000_000_000), st.integers(0, 239), st.sampled_from([10, 25, 30, 50, 60, 100, 120, 240]))
def test_an_instant_and_its_number_are_each_others_whatever_the_century(second: int, place: int, rate: int) -> None:
    slot = second * rate + place % rate
    assert slots_of(np.array([slot_ns(slot, rate)]), rate).tolist() == [slot]
