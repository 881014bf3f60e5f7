"""IEC 104 and DNP3 objects of all types, made anew from a seed, value by value beside tshark where it is installed.

One object a packet, so that tshark's columns are that object's. The bytes are random, so that every bit is tried; what
Wireshark is known to read wrongly is left out (docs/rooms/connectors.md).
"""

from __future__ import annotations

import calendar
import random
import shutil
import struct
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file
from recloser.connectors.dnp3 import link_frame
from recloser.testing import CaptureBuilder

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed (Debian: apt-get install tshark)"
)
Fields = dict[str, str]
LENGTHS_104 = {
    1: 1,
    2: 4,
    3: 1,
    4: 4,
    5: 2,
    6: 5,
    7: 5,
    8: 8,
    9: 3,
    10: 6,
    11: 3,
    12: 6,
    13: 5,
    14: 8,
    15: 5,
    16: 8,
    21: 2,
    30: 8,
    31: 8,
    32: 9,
    33: 12,
    34: 10,
    35: 10,
    36: 12,
    37: 12,
    45: 1,
    46: 1,
    47: 1,
    48: 3,
    49: 3,
    50: 5,
    51: 4,
    58: 8,
    59: 8,
    60: 8,
    61: 10,
    62: 10,
    63: 12,
    64: 11,
    70: 1,
    100: 1,
    101: 1,
    103: 7,
    110: 3,
    111: 3,
    112: 5,
}
TIMED_104 = {*range(30, 38), *range(58, 65), 103}
VALUES_104 = ("siq.spi", "diq.dpi", "vti.v", "bitstring", "scalval", "bcr.count", "sco.on", "dco.on", "rco.up", "coi_r")
VALUES_104 += ("qcc",)
FLOATS_104 = ("float", "normval")
HEAD_104 = {"typeid": "type_id", "sq": "sq", "causetx": "cot", "nega": "negative", "test": "test", "oa": "oa"}
HEAD_104 |= {"addr": "ca", "ioa": "ioa"}
QUALITY_104 = [f"{kind}.{bit}" for kind in ("siq", "diq", "qds") for bit in ("iv", "nt", "sb", "bl")] + ["qds.ov"]
TIMES_104 = ("cp56time", "cp56time.iv", "cp56time.gen", "cp56time.su", "cp24time", "cp24time.iv")
FORMS_DNP3 = {
    (1, 2): "F",
    (2, 1): "F",
    (2, 2): "FT",
    (2, 3): "FR",
    (3, 2): "p",
    (4, 1): "F",
    (4, 2): "FT",
    (10, 2): "F",
    (11, 1): "F",
    (11, 2): "FT",
    (13, 1): "F",
    (13, 2): "FT",
    **{(20, v): form for v, form in enumerate(("FI", "FH", "FI", "FH", "I", "H", "I", "H"), 1)},
    **{(21, v): form for v, form in enumerate(("FI", "FH", "FI", "FH", "FIT", "FHT", "FIT", "FHT", "I", "H"), 1)},
    **{(g, v): f for g in (22, 23) for v, f in enumerate(("FI", "FH", "FI", "FH", "FIT", "FHT", "FIT", "FHT"), 1)},
    **{(30, v): form for v, form in enumerate(("Fi", "Fh", "i", "h", "Ff", "Fd"), 1)},
    **{(g, v): f for g in (32, 42) for v, f in enumerate(("Fi", "Fh", "FiT", "FhT", "Ff", "Fd", "FfT", "FdT"), 1)},
    **{(40, v): form for v, form in enumerate(("Fi", "Fh", "Ff", "Fd"), 1)},
    **{(41, v): form for v, form in enumerate(("iS", "hS", "fS", "dS"), 1)},
    **{(43, v): form for v, form in {2: "Sh", 4: "ShT", 5: "Sf", 6: "Sd", 7: "SfT", 8: "SdT"}.items()},
}
SIZES = {"F": 1, "S": 1, "p": 1, "T": 6, "R": 2, "I": 4, "H": 2, "i": 4, "h": 2, "f": 4, "d": 8}
VALUES_DNP3 = ("biq.b7", "boq.b7", "bocs", "2bit", "ana.int", "anaout.int", "cnt")
FLOATS_DNP3 = ("ana.float", "ana.double", "anaout.float", "anaout.double")


def columns(path: Path, protocol: str, names: list[str]) -> dict[int, Fields]:
    """Return what tshark reads of each packet of the protocol, by short name; absent fields left out."""
    words = ["tshark", "-r", str(path), "-Y", protocol.split(".", maxsplit=1)[0], "-T", "fields", "-e", "frame.number"]
    words += [word for name in names for word in ("-e", f"{protocol}.{name}")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"})
    read = {}
    for line in done.stdout.splitlines():
        number, *cells = line.split("\t")
        read[int(number)] = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
    return read


def number(text: str) -> int:
    return {"True": 1, "False": 0}[text] if text in {"True", "False"} else int(text, 0)


def nanoseconds(text: str) -> int:
    """Return 'Nov 23, 2023 22:42:58.296000000 UTC' as ns since 1970."""
    day, fraction = text.removesuffix(" UTC").rsplit(".", 1)
    at = datetime.strptime(" ".join(day.split()), "%b %d, %Y %H:%M:%S")  # noqa: DTZ007 - it is UTC
    return calendar.timegm(at.timetuple()) * 1_000_000_000 + int(fraction)


def same_number(ours: float | None, text: str) -> bool:
    theirs = float(text)
    if ours is None:
        return theirs != theirs or theirs in {float("inf"), -float("inf")}  # noqa: PLR0124 - that is how NaN is known
    return abs(ours - theirs) <= 1e-5 * abs(theirs) or ours != ours  # noqa: PLR0124


def stamp(noise: random.Random) -> bytes:
    """Return a CP56Time2a of a real date, with all its marks at random."""
    minute = noise.randrange(60) | noise.choice([0, 0x40, 0x80])
    hour, day = noise.randrange(24) | noise.choice([0, 0x80]), noise.randint(1, 28) | noise.randrange(8) << 5
    return struct.pack(
        "<HBBBBB", noise.randrange(60_000), minute, hour, day, noise.randint(1, 12), noise.randrange(100)
    )


def test_iec104_objects_of_every_type_and_bit(tmp_path: Path) -> None:
    noise, capture = random.Random(104), CaptureBuilder()
    for type_id, length in LENGTHS_104.items():
        for sequence in (0, 0x80) * 4:
            tail = stamp(noise) if type_id in TIMED_104 else b""
            body = bytes([type_id, 1 | sequence]) + noise.randbytes(4) + noise.randbytes(3)
            body += noise.randbytes(length - len(tail)) + tail
            capture.tcp((1, 2404), (2, 50_000), bytes([0x68, len(body) + 4, 0, 0, 0, 0]) + body)
    path = capture.write(tmp_path / "a.pcap")
    names = [*HEAD_104, *VALUES_104, *FLOATS_104, *QUALITY_104, *TIMES_104]
    theirs = columns(path, "iec60870_asdu", names)
    ours = list(decode_file("iec104", path))
    assert [row["packet"] for row in ours] == list(theirs) == list(range(1, len(LENGTHS_104) * 8 + 1))
    for row in ours:
        check_104(row, theirs[row["packet"]])


def check_104(row: dict[str, Any], told: Fields) -> None:
    assert {ours: number(told[theirs]) for theirs, ours in HEAD_104.items()} == {k: row[k] for k in HEAD_104.values()}
    assert [row["element"]] * sum(name in told for name in VALUES_104) == [
        number(told[name]) for name in VALUES_104 if name in told
    ]
    assert all(same_number(row["element"], told[name]) for name in FLOATS_104 if name in told)
    bits = {name.split(".")[1]: number(told[name]) for name in QUALITY_104 if name in told}
    assert {bit: row["quality"][bit] for bit in bits} == bits
    if "cp56time" in told:
        assert row["t_ns"] == nanoseconds(told["cp56time"])
        marks = [number(told[f"cp56time.{bit}"]) for bit in ("iv", "gen", "su")]
        assert marks == [row["time"][bit] for bit in ("iv", "genuine", "su")]
    if "cp24time" in told:
        assert row["time"]["ms_of_hour"] == round(float(told["cp24time"].split(maxsplit=1)[0]) * 1000)
        assert row["time"]["iv"] == number(told["cp24time.iv"])


def test_dnp3_objects_of_every_form_and_bit(tmp_path: Path) -> None:
    noise, capture = random.Random(1815), CaptureBuilder()
    for (group, variation), form in FORMS_DNP3.items():
        for head in (b"\x17\x01\x07", b"\x28\x01\0\x07\x01") * 3:
            raw = noise.randbytes(sum(SIZES[letter] for letter in form))
            if form.endswith("T"):
                raw = raw[:-6] + (1_700_000_000_000 + noise.randrange(10**9)).to_bytes(6, "little")
            fragment = bytes([0xC0, 0xC0, 129, 0, 0, group, variation]) + head + raw
            capture.udp((1, 20_000), (2, 20_000), link_frame(10, 1, fragment))
    path = capture.write(tmp_path / "a.pcap")
    names = ["obj", "index", *VALUES_DNP3, *FLOATS_DNP3, "timestamp", "reltimestamp", "ctrlstatus", "biq.b6"]
    theirs = columns(path, "dnp3.al", names)
    ours = list(decode_file("dnp3", path))
    assert [row["packet"] for row in ours] == list(theirs) == list(range(1, len(FORMS_DNP3) * 6 + 1))
    for row in ours:
        told = theirs[row["packet"]]
        assert "error" not in row
        assert (row["group"] << 8 | row["variation"], row["index"]) == (number(told["obj"]), number(told["index"]))
        found = [number(told[name]) for name in VALUES_DNP3 if name in told]
        reading = row["reading"] >> 1 if row["group"] in {3, 4} else row["reading"]  # of two bits the higher
        assert found == [reading] * len(found)
        assert all(same_number(row["reading"], told[name]) for name in FLOATS_DNP3 if name in told)
        assert found or any(name in told for name in FLOATS_DNP3)
        assert row["t_ns"] == (nanoseconds(told["timestamp"]) if "timestamp" in told else None)
        if "reltimestamp" in told:
            assert row["relative_ms"] == round(float(told["reltimestamp"].split(maxsplit=1)[0]) * 1000)
        if row["group"] in {3, 4}:
            assert number(told["biq.b6"]) == row["reading"] & 1
        if "ctrlstatus" in told:
            assert row["status"] == number(told["ctrlstatus"])
