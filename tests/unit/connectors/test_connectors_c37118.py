"""C37.118: what is written is read again, batch equals single equals the numbers sent, damage is told and survived."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.connectors import decode_file
from recloser.connectors.c37118 import (
    AnalogChannel,
    Configuration,
    DigitalWord,
    Location,
    PhasorChannel,
    PmuConfiguration,
    command_frame,
    configuration_frames,
    data_frame,
    forms,
    header_frame,
    layout_of,
    leading_frames,
    read_batch,
    read_configuration,
    read_data,
    read_envelope,
)
from recloser.core import InvalidInput
from recloser.testing import CaptureBuilder

PMU, PDC = (1, 4712), (2, 50_000)
BITS = tuple(f"BIT {number}" for number in range(16))
PLACE = Location("0123456789abcdef0123456789abcdef", 52.5, 4.25, None, "M", 40_000, -3)


def pmu(form: int = 0, phasors: int = 2, analogs: int = 1, digitals: int = 1, idcode: int = 7) -> PmuConfiguration:
    return PmuConfiguration(
        f"STATION {idcode}",
        idcode,
        form,
        tuple(PhasorChannel(f"PH {n}", "VA"[n % 2], (n + 3) * 1e-5 * 1000) for n in range(phasors)),
        tuple(AnalogChannel(f"AN {n}", n - 5.0, kind=1) for n in range(analogs)),
        tuple(DigitalWord(BITS, 0, 0xFFFF) for _ in range(digitals)),
        50,
        4,
    )


def configuration(*pmus: PmuConfiguration, time_base: int = 1_000_000, kind: int = 2) -> Configuration:
    return Configuration(7, time_base, pmus or (pmu(),), 50, kind)


def rows(path: Path, capture: CaptureBuilder) -> list[dict[str, Any]]:
    return list(decode_file("c37118", capture.write(path / "a.pcap")))


def numbers(known: Configuration, value: float = 100) -> list[float]:
    return [value if field.code == "f" else int(value) for field in layout_of(known).fields]


pmus = st.builds(
    pmu, st.integers(0, 15), st.integers(0, 4), st.integers(0, 3), st.integers(0, 2), st.integers(1, 65_534)
)
configurations = st.builds(
    Configuration,
    st.integers(1, 65_534),
    st.sampled_from([1_000_000, 16_777_215, 1, 30]),
    st.lists(pmus, min_size=1, max_size=4).map(tuple),
    st.integers(-60, 120),
    st.sampled_from([1, 2]),
)


@given(configurations)
def test_a_configuration_is_read_as_it_was_written(known: Configuration) -> None:
    (frame,) = configuration_frames(known)
    read = read_configuration(frame)
    assert [pmu.station for pmu in read.pmus] == [pmu.station for pmu in known.pmus]
    assert read.data_size == known.data_size == layout_of(read).size
    for left, right in zip(read.pmus, known.pmus, strict=True):
        assert [c.scale for c in left.phasors] == pytest.approx([c.scale for c in right.phasors])
        assert replace(left, phasors=()) == replace(right, phasors=())
    assert (read.time_base, read.rate, read.kind) == (known.time_base, known.rate, known.kind)


@given(known=configurations, piece=st.integers(20, 400))
def test_a_cfg3_is_read_whole_or_in_pieces(known: Configuration, piece: int) -> None:
    located = replace(known, kind=3, pmus=tuple(replace(one, location=PLACE) for one in known.pmus))
    path = CaptureBuilder()
    frames = configuration_frames(located, piece=piece)
    from recloser.connectors.c37118.reading import PieceCollector

    collector = PieceCollector()
    found = [collector.add(frame) for frame in frames]
    assert found[:-1] == [None] * (len(frames) - 1)
    read = found[-1]
    assert read is not None
    assert [one.location for one in read.pmus] == [PLACE] * len(known.pmus)
    assert [c.name for one in read.pmus for c in one.analogs] == [c.name for one in known.pmus for c in one.analogs]
    assert path.packets == []


@settings(max_examples=60)
@given(known=configurations, data=st.data())
def test_batch_equals_single_equals_the_numbers_sent(known: Configuration, data: st.DataObject) -> None:
    layout = layout_of(known)
    kinds = {"f": st.floats(width=32), "h": st.integers(-32768, 32767), "H": st.integers(0, 65_535)}
    sent = [[data.draw(kinds[field.code]) for field in layout.fields] for _ in range(data.draw(st.integers(1, 3)))]
    fractions = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=len(sent), max_size=len(sent)))
    frames = [
        data_frame(known, values, (1_700_000_000, fraction)) for values, fraction in zip(sent, fractions, strict=True)
    ]
    batch = read_batch(frames, layout)
    assert batch.crc_ok.all()
    for index, frame in enumerate(frames):
        single = read_data(frame, layout)
        assert batch.t_ns[index] == single.t_ns
        assert batch.time_quality[index] == single.time_quality == fractions[index] >> 24
        for column, one in (
            (batch.stats, single.stats),
            (batch.phasors, single.phasors),
            (batch.frequencies, single.frequencies),
            (batch.analogs, single.analogs),
            (batch.raw_analogs, single.raw_analogs),
            (batch.digitals, single.digitals),
        ):
            np.testing.assert_array_equal(np.asarray(column[index], float).ravel(), np.array(one, float))
        raw = [sent[index][place] for place in layout.analogs]
        np.testing.assert_array_equal(np.array(single.raw_analogs), np.array(raw, np.float64))
    assert read_batch(b"".join(frames), layout).t_ns.tolist() == batch.t_ns.tolist()


def test_numbers_become_quantities_as_the_standard_says() -> None:
    known = configuration(pmu(1, phasors=1), pmu(0, phasors=1))
    layout = layout_of(known)
    values = [0, 20_000, -31416, -15, -250, 9, 0xABCD, 0x8000, -300, 400, 20, 30, -2, 1]
    single = read_data(data_frame(known, values, (10, 0x0F000000 | 500_000)), layout)
    assert single.t_ns == 10_500_000_000
    assert single.time_quality == 0x0F
    assert single.phasors == pytest.approx((20_000 * 0.03, -3.1416, -9.0, 12.0))
    assert single.frequencies == pytest.approx((49.985, -2.5, 50.02, 0.3))
    assert single.analogs == (-45.0, 10.0)
    assert single.raw_analogs == (9, -2)
    assert single.digitals == (0xABCD, 1)
    assert single.stats == (0, 0x8000)
    assert forms(3.0, 4.0, polar=False)[2:] == pytest.approx((5.0, math.degrees(math.atan2(4, 3))))
    assert forms(2.0, math.pi / 2, polar=True)[:2] == pytest.approx((0.0, 2.0))
    assert forms(1.0, 0.0, polar=False, turn_rad=math.pi / 2)[:2] == pytest.approx((0.0, -1.0))


def test_absent_integer_phasors_are_nan_in_both_paths() -> None:
    known = configuration(pmu(1, phasors=1, analogs=0, digitals=0), pmu(0, phasors=1, analogs=0, digitals=0))
    frame = data_frame(known, [0, 500, -32768, 0, 0, 0, -32768, 7, 0, 0], (1, 0))
    single, batch = read_data(frame, layout_of(known)), read_batch([frame], layout_of(known))
    assert [math.isnan(value) for value in single.phasors] == [True, True, True, False]
    np.testing.assert_array_equal(batch.phasors.ravel(), np.array(single.phasors))


def test_time_is_exact_for_a_time_base_that_has_no_exact_fraction() -> None:
    frame = command_frame(1, 2, (1_217_606_730, 16_777_214))
    assert read_envelope(frame).t_ns(16_777_215) == 1_217_606_730 * 10**9 + 16_777_214 * 10**9 // 16_777_215
    leap = read_envelope(command_frame(1, 2, (5, 0x75 << 24)))
    assert (leap.leap_pending, leap.leap_occurred, leap.leap_delete) == (True, True, True)
    assert leap.time_quality & 0x0F == 5


def test_a_stream_on_any_port_split_anywhere_gives_every_frame(tmp_path: Path) -> None:
    known = configuration()
    frames = [command_frame(7, 5), *configuration_frames(known), header_frame(7, "hello")]
    frames += [data_frame(known, numbers(known, value), (100, value * 1000)) for value in range(20)]
    stream, capture = b"".join(frames), CaptureBuilder()
    for start in range(0, len(stream), 37):
        capture.tcp((1, 8080), (2, 999), stream[start : start + 37])
    found = rows(tmp_path, capture)
    assert [row["type"] for row in found] == ["CMD", "CFG2", "HEADER"] + ["DATA"] * 20
    assert not [row for row in found if "error" in row]
    assert found[0]["command"] == 5
    assert found[2]["header"] == "hello"
    assert [row["pmus"][0]["digitals"] for row in found[3:]] == [[value] for value in range(20)]
    assert found[-1]["packet"] == len(capture.packets)
    assert found[3]["t_ns"] == 100 * 10**9


def test_data_before_its_configuration_has_no_values_and_data_after_has(tmp_path: Path) -> None:
    known = configuration()
    data = data_frame(known, numbers(known), (100, 0), version=2)
    found = rows(tmp_path, CaptureBuilder().udp(PMU, PDC, data).udp(PMU, PDC, configuration_frames(known)[0] + data))
    assert ["pmus" in row for row in found] == [False, False, True]
    assert [row["t_ns"] for row in found] == [None, 0, 100 * 10**9]
    assert [row["version"] for row in found] == [2, 1, 2]


@pytest.mark.parametrize("version", [0, 3, 15])
def test_a_frame_of_any_version_is_read(tmp_path: Path, version: int) -> None:
    known = configuration()
    data = data_frame(known, numbers(known), (100, 0), version=version)
    found = rows(tmp_path, CaptureBuilder().udp(PMU, PDC, configuration_frames(known)[0]).udp(PMU, PDC, data))
    assert [(row["type"], row["version"], "pmus" in row) for row in found[1:]] == [("DATA", version, True)]


def test_a_changed_configuration_rules_from_its_own_frame_on(tmp_path: Path) -> None:
    old, new = configuration(), configuration(pmu(phasors=5), pmu(15))
    frames = [configuration_frames(old)[0], data_frame(old, numbers(old), (1, 0)), configuration_frames(new)[0]]
    frames += [data_frame(new, numbers(new), (2, 0)), data_frame(old, numbers(old), (3, 0))]
    found = rows(tmp_path, CaptureBuilder().tcp(PMU, PDC, b"".join(frames)))
    assert [len(row.get("pmus", [])) for row in found] == [0, 1, 0, 2, 0]
    assert "does not fit" in found[4]["error"]


def test_several_streams_of_one_device_keep_their_own_configurations(tmp_path: Path) -> None:
    one = configuration()
    two = replace(configuration(pmu(15, phasors=3)), idcode=9)
    frames = [configuration_frames(one)[0], configuration_frames(two)[0]]
    frames += [data_frame(two, numbers(two), (1, 0)), data_frame(one, numbers(one), (1, 0))]
    found = rows(tmp_path, CaptureBuilder().tcp(PMU, PDC, b"".join(frames)))
    assert [len(row["pmus"][0]["phasors"]) for row in found[2:]] == [3, 2]


def test_a_configuration_over_tcp_serves_data_over_udp_from_the_same_host(tmp_path: Path) -> None:
    known = configuration()
    capture = CaptureBuilder().tcp(PDC, PMU, command_frame(7, 5)).tcp(PMU, PDC, configuration_frames(known)[0])
    capture.udp((1, 4713), (2, 6000), data_frame(known, numbers(known), (1, 0)))
    assert "pmus" in rows(tmp_path, capture)[-1]


def test_a_cfg1_does_not_replace_what_is_sent(tmp_path: Path) -> None:
    could, sends = configuration(pmu(phasors=9), kind=1), configuration()
    frames = [configuration_frames(sends)[0], configuration_frames(could)[0], data_frame(sends, numbers(sends), (1, 0))]
    assert "pmus" in rows(tmp_path, CaptureBuilder().tcp(PMU, PDC, b"".join(frames)))[-1]


def test_a_wrong_check_word_is_a_row_without_values_and_the_next_frame_is_read(tmp_path: Path) -> None:
    known = configuration()
    good = data_frame(known, numbers(known), (1, 0))
    bad = good[:20] + b"\xff" + good[21:]
    head = configuration_frames(known)[0]
    capture = CaptureBuilder().tcp(PMU, PDC, head).tcp(PMU, PDC, bad).tcp(PMU, PDC, bad + good)
    capture.udp(PMU, PDC, bad).udp(PMU, PDC, good)
    found = rows(tmp_path, capture)
    assert [row["crc_ok"] for row in found] == [True, False, False, True, False, True]
    assert [("pmus" in row, "error" in row) for row in found[1:4]] == [(False, True), (False, True), (True, False)]


def test_a_stream_that_begins_with_damage_tells_it_once_it_is_known(tmp_path: Path) -> None:
    good = command_frame(7, 1)
    found = rows(tmp_path, CaptureBuilder().tcp(PMU, PDC, good[:-1] + b"\0" + good))
    assert [row["crc_ok"] for row in found] == [False, True]


def test_a_wrong_size_and_noise_cost_only_their_own_bytes(tmp_path: Path) -> None:
    known = configuration()
    good = data_frame(known, numbers(known), (1, 0))
    huge = good[:2] + b"\x7f\xff" + good[4:]
    capture = CaptureBuilder().tcp(PMU, PDC, configuration_frames(known)[0])
    capture.tcp(PMU, PDC, b"noise \xaa\x01 more" + good).tcp(PMU, PDC, huge).tcp(PMU, PDC, good + good)
    found = rows(tmp_path, capture)
    assert sum("pmus" in row for row in found) == 3
    assert [row["packet"] for row in found if "error" in row] == [2, 3] or len(found) >= 6
    assert all(row.get("crc_ok") is not True for row in found if "error" in row)


def test_missing_segments_are_an_error_and_the_next_whole_frame_is_read(tmp_path: Path) -> None:
    known = configuration()
    good = data_frame(known, numbers(known), (1, 0))
    capture = CaptureBuilder().tcp(PMU, PDC, configuration_frames(known)[0] + good[:10])
    capture.tcp(PMU, PDC, good[20:] + good, at=5000)
    found = rows(tmp_path, capture)
    assert "missing" in next(row["error"] for row in found if "error" in row)
    assert "pmus" in found[-1]


def test_datagrams_and_streams_that_end_inside_a_frame_are_rows_with_an_error(tmp_path: Path) -> None:
    known = configuration()
    good = data_frame(known, numbers(known), (1, 0))
    capture = CaptureBuilder().udp(PMU, PDC, good + good[:-4]).udp(PMU, PDC, good[:-4]).tcp(PMU, PDC, good + good[:18])
    found = rows(tmp_path, capture)
    assert ["error" in row for row in found] == [False, True, True, False, True]
    assert found[1]["idcode"] == 7


def test_other_traffic_makes_no_rows(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(PDC, PMU, b"GET / HTTP/1.1\r\n\r\n").udp(PDC, PMU, b"\xaa\x01")
    capture.tcp(PMU, PDC, b"\xaa\x55" * 300).udp(PMU, PDC, b"").frame(0x0806, b"arp" * 10)
    assert rows(tmp_path, capture) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: payload[:-2],
        lambda payload: payload + b"\0\0",
        lambda payload: b"\0\0\0\0" + payload[4:],
        lambda payload: payload[:4] + b"\xff\xff" + payload[6:],
    ],
)
def test_a_configuration_that_contradicts_itself_is_an_error_row(tmp_path: Path, spoil: Any) -> None:
    from recloser.connectors.c37118.frame import FrameType, seal

    payload = spoil(configuration_frames(configuration())[0][14:-2])
    (found,) = rows(tmp_path, CaptureBuilder().udp(PMU, PDC, seal(FrameType.CFG2, 7, (1, 0), payload)))
    assert found["crc_ok"] is True
    assert "configuration" in found["error"] or "time base" in found["error"]


def test_frames_of_another_size_are_refused_by_both_paths() -> None:
    known = configuration()
    frame = data_frame(known, numbers(known), (1, 0))
    layout = layout_of(known)
    with pytest.raises(InvalidInput, match="does not fit"):
        read_data(frame[:-1], layout)
    with pytest.raises(InvalidInput, match="do not fit"):
        read_batch([frame, frame[:-1]], layout)


def test_a_hundred_pmus_in_one_frame() -> None:
    known = configuration(*(pmu(number % 16, idcode=number + 1) for number in range(100)))
    layout = layout_of(known)
    frame = data_frame(known, numbers(known, 7), (1, 0))
    assert len(frame) == known.data_size
    assert read_batch([frame] * 3, layout).frequencies.shape == (3, 100, 2)


def test_leading_frames_stop_at_the_first_frame_of_another_kind() -> None:
    known = configuration()
    layout, frame = layout_of(known), data_frame(known, numbers(known), (1, 0))
    assert leading_frames(frame * 5 + frame[:9], layout) == 5
    assert leading_frames(frame * 2 + command_frame(7, 1) + frame * 3, layout) == 2
    assert leading_frames(b"\0" + frame * 2, layout) == 0
    assert leading_frames(frame[:-1], layout) == 0
    other = data_frame(replace(known, idcode=8), numbers(known), (1, 0))
    assert leading_frames(frame + other, layout) == 1
