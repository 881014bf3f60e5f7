"""Every capture beside the project decodes to what Wireshark reads: value by value, time by time."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file
from recloser.connectors.comtrade import read_comtrade

pytestmark = pytest.mark.real

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures"
C37118 = sorted((CAPTURES / "c37118").glob("*.pcap"))
NONE = [pytest.param(None, marks=pytest.mark.skip(reason="no captures beside the project"))]


def expected(capture: Path) -> dict[str, Any]:
    """Return Wireshark's reading of a capture."""
    plain = capture.with_name(capture.name + ".expected.json")
    text = plain.read_bytes() if plain.exists() else gzip.decompress(Path(f"{plain}.gz").read_bytes())
    return dict(json.loads(text))


def frame_of(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("packet", "type", "idcode", "size", "soc", "fracsec", "time_quality", "crc_ok")
    return tuple(row[name] for name in names)


@pytest.mark.parametrize("capture", C37118 or NONE, ids=lambda path: path and path.name)
def test_c37118_frames_are_those_of_wireshark(capture: Path) -> None:
    rows = list(decode_file("c37118", capture))
    with gzip.open(f"{capture}.frames.csv.gz", "rt") as file:
        theirs = [
            (
                int(row["packet"]),
                row["type"],
                *(int(row[name]) for name in ("idcode", "frsize", "soc", "fracsec_raw")),
                int(row["time_quality"], 16),
                row["checksum_ok"] == "1",
            )
            for row in csv.DictReader(file)
        ]
    # Wireshark passes over frames of 16 bytes, such as a HEADER without text.
    assert [frame_of(row) for row in rows if row["size"] > 16] == theirs
    assert [row for row in rows if "error" in row] == []


@pytest.mark.parametrize("capture", C37118 or NONE, ids=lambda path: path and path.name)
def test_c37118_values_are_those_of_wireshark(capture: Path) -> None:
    found = {(row["packet"], row["idcode"], row["type"]): row for row in decode_file("c37118", capture)}
    theirs = expected(capture)
    for frame in theirs["data_first10"] + theirs["data_last3"]:
        row = found[frame["packet"], frame["idcode"], "DATA"]
        if frame["fracsec_ms"] is not None:
            assert row["t_ns"] / 1e6 - row["soc"] * 1e3 == pytest.approx(float(frame["fracsec_ms"]), abs=0.51)
        for mine, other in zip(row["pmus"], frame["pmus"], strict=True):
            assert (mine["station"], mine["stat"]) == (other["station"], int(other["stat_raw"], 16))
            assert mine["digitals"] == [int(word, 16) for word in other.get("digitals", [])]
            assert (mine["frequency_hz"], mine["rocof_hz_s"]) == pytest.approx(frequency(other), abs=1e-4)
            for phasor, printed in zip(mine["phasors"], other["phasors"], strict=True):
                assert (phasor["name"], phasor["unit"]) == (printed["name"], printed["unit"])
                ours = [phasor[name] for name in ("magnitude", "angle_deg", "re", "im")]
                assert ours == pytest.approx([printed[name] for name in ("mag", "ang_deg", "re", "im")], abs=6e-4)


def frequency(pmu: dict[str, Any]) -> tuple[float, float]:
    """Return Hz and Hz/s as Wireshark shows them."""
    change = float(pmu["rate_change_frequency"]["show"])
    if "actual_frequency_value" in pmu:
        return float(pmu["actual_frequency_value"]["show"]), change
    return float(pmu["frequency_deviation_from_nominal"]["text"].split("frequency: ")[1].split("Hz")[0]), change


@pytest.mark.parametrize("capture", C37118 or NONE, ids=lambda path: path and path.name)
def test_c37118_configurations_and_sums_are_those_of_wireshark(capture: Path) -> None:
    rows, theirs = list(decode_file("c37118", capture)), expected(capture)
    configs = [row["config"] for row in rows if "config" in row]
    for mine, other in zip(configs, theirs["configs"], strict=True):
        assert (mine["time_base"], mine["rate"]) == (other["timebase"], int(other["rate_of_transmission"]))
        for pmu, station in zip(mine["pmus"], other["stations"], strict=True):
            names = [channel["name"] for channel in (*pmu["phasors"], *pmu["analogs"])]
            names += [name for word in pmu["digitals"] for name in word["names"]]
            assert names == [name.strip() for name in station["channel_names"]]
            assert (pmu["idcode"], pmu["change_count"]) == (station["idcode"], station["cfgcnt"])
            factors = [f"factor: {round(channel['scale'] * 1e5)} *" for channel in pmu["phasors"]]
            assert all(ours in printed for ours, printed in zip(factors, station["conversion"], strict=True))
    for name, total in theirs["freq_sum_per_station"].items():
        station, kind = name.split("|")
        hz = [pmu["frequency_hz"] for row in rows for pmu in row.get("pmus", ()) if pmu["station"] == station]
        assert len(hz) == total["n"]
        nominal = 50 if "deviation" in kind else 0
        scale = 1000 if "deviation" in kind else 1
        assert sum(value - nominal for value in hz) * scale == pytest.approx(total["sum"], abs=0.01)


IEC104 = sorted((CAPTURES / "iec104").glob("*.pcap"))
IEC104_NUMBERS = ("float", "normval", "scalval", "siq.spi", "diq.dpi", "vti.v", "sco.on", "dco.on", "rco.up", "qoi")


def printed_ns(text: str) -> int:
    """Return Wireshark's 'Aug 13, 2009 19:23:00.008000000 UTC' as nanoseconds since 1970."""
    whole, fraction = text.removesuffix(" UTC").split(".")
    moment = datetime.strptime(" ".join(whole.split()), "%b %d, %Y %H:%M:%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


@pytest.mark.parametrize("capture", IEC104 or NONE, ids=lambda path: path and path.name)
def test_iec104_objects_are_those_of_wireshark(capture: Path) -> None:
    rows, theirs = list(decode_file("iec104", capture)), expected(capture)
    assert [row for row in rows if "error" in row] == []
    for name in "SU":
        count = next(number for key, number in theirs["apdus_by_format"].items() if key.startswith(name))
        assert sum(row["format"] == name for row in rows) == count
    objects = iter([row for row in rows if row["format"] == "I"])
    for unit in theirs["asdus"]:
        for printed in unit["objects"]:
            row = next(objects)
            head = (
                row["packet"],
                f"{row['type_name']} ({row['type_id']})",
                row["sq"],
                row["oa"],
                row["ca"],
                row["ioa"],
            )
            assert head == (unit["packet"], unit["type"], int(unit["sq"]), unit["oa"], unit["ca"], printed["ioa"])
            assert (row["negative"], row["test"]) == (unit["negative"] == "1", unit["test"] == "1")
            assert f"({row['cot']})" in unit["cot"]
            same_object(row, printed)
    assert list(objects) == []


def same_object(row: dict[str, Any], printed: dict[str, Any]) -> None:
    for name, text in printed.items():
        last = name.split(".")[-1]
        if name in IEC104_NUMBERS:
            assert row["element"] == pytest.approx(float(text), rel=1e-5, abs=1e-5), name
        elif name == "bitstring":
            assert row["element"] == int(text, 16)
        elif last in {"iv", "nt", "sb", "bl", "ov"}:
            assert row["quality"][last] == int(text)
        elif last in {"qu", "se", "ql"}:
            assert row["qualifier"][last] == int(text)
        elif name == "cp56time":
            assert row["t_ns"] == printed_ns(text)


def test_iec104_neighbouring_objects_with_time_tags() -> None:
    capture = CAPTURES / "iec104" / "sq1_time_tagged.pcapng"
    if not capture.exists():
        pytest.skip("no captures beside the project")
    rows = list(decode_file("iec104", capture))
    objects = [row for row in rows if row["format"] == "I"]
    assert len(objects) == 2600
    assert [row for row in rows if "error" in row] == []
    assert {row["sq"] for row in objects} == {1}
    assert all(row["element"] == 3100.0 + row["ioa"] - 1000 for row in objects[:10])
    assert len({row["t_ns"] // 10**12 for row in objects}) <= 2


DNP3 = sorted((CAPTURES / "dnp3").glob("*.pcap"))


@pytest.mark.parametrize("capture", DNP3 or NONE, ids=lambda path: path and path.name)
def test_dnp3_functions_and_objects_are_those_of_wireshark(capture: Path) -> None:
    rows, counts = list(decode_file("dnp3", capture)), expected(capture)["counts"]
    fragments = {(row["packet"], row["src"], row["function"], row["sequence"]) for row in rows if "sequence" in row}
    ours = Counter(function for _, _, function, _ in fragments)
    theirs = {int(name[-5:-1], 16): number for name, number in counts["dnp3.al.func"].items()}
    assert dict(ours) == theirs
    pattern = re.compile(r"\(Obj:(\d+), Var:(\d+)\) \(0x\w+\), (\d+) point")
    named = [(found, times) for name, times in counts["dnp3.al.obj"].items() if (found := pattern.search(name))]
    printed: Counter[tuple[int, int]] = Counter()
    for found, times in named:
        printed[int(found[1]), int(found[2])] += int(found[3]) * times
    read = Counter((row["group"], row["variation"]) for row in rows if row.get("index") is not None)
    assert dict(read) == dict(printed)


def test_dnp3_points_are_those_of_wireshark() -> None:
    capture = CAPTURES / "dnp3" / "bro_dnp3.pcap"
    if not capture.exists():
        pytest.skip("no captures beside the project")
    rows = [
        row for row in decode_file("dnp3", capture) if row.get("index") is not None and row["function"] in {129, 130}
    ]
    points = json.loads(Path(f"{capture}.points.json").read_text())["points"]
    for row, point in zip(rows, points, strict=True):
        found = re.search(r"Obj:(\d+), Var:(\d+)", point["obj"])
        assert found is not None
        head = (row["packet"], row["group"], row["variation"], row["index"])
        assert head == (point["packet"], int(found[1]), int(found[2]), point["index"])
        value = re.search(r"(?:Value|Count): (-?\d+)", point["text"])
        if value is not None:
            assert row["reading"] == int(value[1])
        bits = {int(name[-1]): int(bit) for name, bit in point.items() if re.search(r"q\.b\d$", name)}
        if bits:
            assert row["flags"] == sum(bit << place for place, bit in bits.items())
        if "Timestamp: " in point["text"]:
            assert row["t_ns"] == printed_ns(point["text"].split("Timestamp: ")[1])


def test_modbus_frames_are_those_of_wireshark() -> None:
    capture = CAPTURES / "modbus" / "modbus_example.pcap"
    if not capture.exists():
        pytest.skip("no captures beside the project")
    rows, theirs = {row["packet"]: row for row in decode_file("modbus", capture)}, expected(capture)
    assert [row for row in rows.values() if "error" in row] == []
    names = {re.search(r"\((\d+)\)", name)[1]: number for name, number in theirs["counts"]["modbus.func_code"].items()}  # type: ignore[index]
    assert Counter(str(row["function"]) for row in rows.values()) == names
    assert [row["exception"] for row in rows.values() if row["exception"] is not None] == [2]
    for frame in theirs["first_pdus"]:
        fields = frame["fields"]
        row, first = rows[frame["packet"]], {name: value for name, value, _ in reversed(fields)}
        if frame["proto"] == "mbtcp":
            assert (row["transaction"], row["unit"]) == (int(first["mbtcp.trans_id"]), int(first["mbtcp.unit_id"]))
            continue
        registers = [int(value) for name, value, _ in fields if name == "modbus.regval_uint16"]
        bits = [int(value) for name, value, _ in fields if name == "modbus.bitval"]
        assert registers in ([], row["registers"])
        assert bits in ([], row["bits"])
        if "modbus.request_frame" in first:
            assert row["request_packet"] == int(first["modbus.request_frame"])
        for name, key in (
            ("modbus.reference_num", "address"),
            ("modbus.bit_cnt", "count"),
            ("modbus.word_cnt", "count"),
        ):
            if name in first:
                assert row[key] == int(first[name])


def test_goose_messages_are_those_of_wireshark() -> None:
    capture = CAPTURES / "goose" / "GOOSE.pcap"
    if not capture.exists():
        pytest.skip("no captures beside the project")
    rows, theirs = list(decode_file("goose", capture)), expected(capture)
    assert len(rows) == theirs["pdus"]
    for row, frame in zip(rows, theirs["first_pdus"], strict=False):
        first = {name: value for name, value, _ in reversed(frame["fields"])}
        assert (row["packet"], row["appid"]) == (frame["packet"], int(first["goose.appid"], 16))
        names = {"gocb_ref": "gocbRef", "dataset": "datSet", "go_id": "goID"}
        assert all(row[ours] == first[f"goose.{printed}"] for ours, printed in names.items())
        numbers = {"st_num": "stNum", "sq_num": "sqNum", "conf_rev": "confRev", "test": "simulation"}
        assert all(row[ours] == int(first[f"goose.{printed}"]) for ours, printed in numbers.items())
        assert row["t_ns"] == printed_ns(first["goose.t"])
        values = [(name, value) for name, value, _ in frame["fields"] if name in {"goose.boolean", "goose.bit_string"}]
        ours = [
            ("goose.boolean", str(int(entry["value"])))
            if entry["type"] == "boolean"
            else ("goose.bit_string", f"{int(entry['value'].ljust(16, '0'), 2):04x}"[:2] + ":" + "00")
            for entry in row["entries"]
        ]
        assert ours == values


COMTRADE = sorted((CAPTURES / "comtrade").glob("*.cf[fg]"))


@pytest.mark.parametrize("recording", COMTRADE or NONE, ids=lambda path: path and path.name)
def test_comtrade_recordings_are_as_the_library_reads_them(recording: Path) -> None:
    theirs = json.loads((CAPTURES / "comtrade" / "expected.json").read_text())["files"][recording.name]
    read = read_comtrade(recording)
    known = read.configuration
    assert (known.form.lower(), str(known.revision)) == (theirs["ft"].lower(), theirs["rev"])
    assert (len(known.analogs), len(known.statuses), len(read.t_ns)) == tuple(
        theirs[name] for name in ("analog", "status", "samples")
    )
    assert read.values[:5, 0].tolist() == pytest.approx(theirs["a0"], rel=1e-6)
    assert [channel.name for channel in known.analogs] == theirs["names"]
    written = known.start_ns + (known.utc_offset_min or 0) * 60_000_000_000
    start = datetime.fromisoformat(theirs["start"]).replace(tzinfo=UTC)
    assert written // 1000 == round(start.timestamp() * 1e6)
