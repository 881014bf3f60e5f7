"""COMTRADE: every form of data, both containers, revisions, times to the nanosecond, and faults in words."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from recloser.connectors.comtrade import read_comtrade, read_configuration
from recloser.core import InvalidInput, Unavailable

SAMPLES = [(0, 0, (-3, 7), (1, 0, 1)), (1, 500, (5, None), (0, 0, 1)), (2, 1000, (9, -1), (1, 1, 0))]


def cfg(
    form: str,
    rates: str = "1\n2000,3",
    start: str = "12/01/2011,05:55:30.075011",
    revision: str = ",2013",
    tail: str = "1\n-5h30,-5h30\nB,3\n",
) -> str:
    return (
        f"STATION,DEVICE{revision}\n5,2A,3D\n1,IA,A,Line, kA,0.5,1,0,-9,9,100,1,S\n2,UN,N,Line,V,2,0,0,-9,9,1,1,P\n"
        f"1,ONE,,,0\n2,TWO,,,1\n3,THREE,,,0\n50\n{rates}\n{start}\n{start}\n{form}\n{tail}"
    )


def data(form: str) -> bytes:
    if form == "ASCII":
        lines = [
            ",".join(map(str, (n, t, *("" if a is None else a for a in analogs), *bits)))
            for n, t, analogs, bits in SAMPLES
        ]
        return "\r\n".join(lines).encode() + b"\r\n\x1a"
    code, missing = {"BINARY": ("h", -32768), "BINARY32": ("i", -(2**31)), "FLOAT32": ("f", float("nan"))}[form]
    whole = b""
    for n, t, analogs, bits in SAMPLES:
        word = sum(bit << place for place, bit in enumerate(bits))
        whole += struct.pack(f"<II2{code}H", n, t, *(missing if a is None else a for a in analogs), word)
    return whole


@pytest.mark.parametrize("form", ["ASCII", "BINARY", "BINARY32", "FLOAT32"])
@pytest.mark.parametrize("container", ["pair", "cff"])
def test_every_form_gives_the_same_recording(tmp_path: Path, form: str, container: str) -> None:
    if container == "pair":
        path = tmp_path / "a.cfg"
        path.write_text(cfg(form))
        (tmp_path / "a.DAT").write_bytes(data(form))
    else:
        path = tmp_path / "a.cff"
        head = f"--- file type: CFG ---\n{cfg(form)}--- file type: INF ---\n\n--- file type: HDR ---\n\n"
        size = "" if form == "ASCII" else f": {len(data(form))}"
        path.write_bytes(head.encode() + f"--- file type: DAT {form} {size} ---\n".encode() + data(form))
    read = read_comtrade(path)
    np.testing.assert_array_equal(read.values, [[-0.5, 14.0], [3.5, np.nan], [5.5, -2.0]])
    np.testing.assert_array_equal(read.statuses, [bits for *_, bits in SAMPLES])
    start = read.configuration.start_ns
    assert start == 1_294_811_730_075_011_000 + 330 * 60 * 10**9  # 05:55:30 at five and a half hours behind UTC
    assert (read.t_ns - start).tolist() == [0, 500_000, 1_000_000]
    assert read.notes == ()
    assert [(a.name, a.unit, a.side) for a in read.configuration.analogs] == [("IA", "kA", "S"), ("UN", "V", "P")]
    assert [s.normal for s in read.configuration.statuses] == [0, 1, 0]


def test_stamps_rule_where_no_rate_is_told_and_nanoseconds_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(cfg("BINARY", rates="0\n0,3", start="12/01/2011,05:55:30.075011042", tail="2\n"))
    (tmp_path / "a.dat").write_bytes(data("BINARY"))
    read = read_comtrade(path)
    assert read.configuration.start_ns % 10**9 == 75_011_042
    assert np.diff(read.t_ns).tolist() == [1000, 1000]  # stamps count nanoseconds here, times two


def test_missing_stamps_follow_and_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(cfg("ASCII", rates="0\n0,3", tail="1\n"))
    (tmp_path / "a.dat").write_text("1,0,1,1,0,0,0\n2,,1,1,0,0,0\n3,7,1,1,0,0,0\n")
    read = read_comtrade(path)
    assert (read.t_ns - read.configuration.start_ns).tolist() == [0, 0, 7000]
    assert "without a stamp" in read.notes[0]


def test_several_rates_and_fewer_samples_than_told(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(cfg("ASCII", rates="2\n1000,2\n100,9", tail="1\n"))
    (tmp_path / "a.dat").write_bytes(data("ASCII"))
    read = read_comtrade(path)
    assert (read.t_ns - read.configuration.start_ns).tolist() == [0, 1_000_000, 2_000_000]
    assert "tells 9 samples, the data hold 3" in read.notes[0]


def test_the_revision_of_1991_and_latin_letters(tmp_path: Path) -> None:
    text = cfg("ASCII", revision="", start="01/12/98,05:55:30.5", tail="").replace("STATION", "Söder")
    path = tmp_path / "a.cfg"
    path.write_bytes(text.encode("latin-1"))
    (tmp_path / "a.dat").write_text("1,0,99999,1,0,0,0\n")
    read = read_comtrade(path)
    assert read.configuration.station == "Söder"
    assert read.configuration.revision == 1991
    assert read.configuration.start_ns == 884_584_530_500_000_000  # 12 January 1998: the month stood first
    assert np.isnan(read.values[0, 0])


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (cfg("MORSE"), "form of data"),
        (cfg("ASCII").replace("5,2A,3D", "5,2A"), "too few fields"),
        (cfg("ASCII").replace("5,2A,3D", "5,2X,3D"), "count of channels"),
        (cfg("ASCII").replace("kA,0.5", "kA,half"), "not a number"),
        (cfg("ASCII", start="40/40/2011,05:55:30"), "date"),
        (cfg("ASCII", start="yesterday,noon"), "date"),
        ("STATION,DEVICE\n", "ends too early"),
    ],
)
def test_faults_of_a_configuration_name_the_line(spoilt: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as raised:
        read_configuration(spoilt)
    assert "line" in str(raised.value)


def test_faults_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(cfg("BINARY"))
    for beside in (path, tmp_path / "b.cfg"):
        with pytest.raises(InvalidInput, match="not there") as raised:
            read_comtrade(beside)
        assert f"{beside.stem}.cfg and {beside.stem}.dat" in raised.value.explain()
    (tmp_path / "a.dat").mkdir()
    with pytest.raises(Unavailable, match="cannot be read"):
        read_comtrade(path)
    (tmp_path / "a.dat").rmdir()
    (tmp_path / "a.dat").write_bytes(data("BINARY")[:-3])
    with pytest.raises(InvalidInput, match="inside a sample"):
        read_comtrade(path)
    path.write_text(cfg("ASCII"))
    (tmp_path / "a.dat").write_text("1,0,1,1,0,0\n")
    with pytest.raises(InvalidInput, match="does not fit"):
        read_comtrade(path)
    (tmp_path / "a.cff").write_text(f"--- file type: CFG ---\n{cfg('ASCII')}")
    with pytest.raises(InvalidInput, match="without a section"):
        read_comtrade(tmp_path / "a.cff")


@pytest.mark.parametrize(
    ("numbers", "rates", "times_us", "noticed"),
    [
        ((1, 2, 5), "1\n1000,5", [0, 1000, 4000], "2 sample number(s) are missing"),
        ((1, 2, 3), "1\n1000,3", [0, 1000, 2000], None),
        ((0, 1, 2), "1\n1000,3", [0, 1000, 2000], None),
        ((101, 102, 104), "1\n1000,4", [0, 1000, 3000], "1 sample number(s) are missing"),
        ((1, 1, 2), "1\n1000,3", [0, 1000, 2000], "do not rise"),
        ((0, 0, 0), "1\n1000,3", [0, 1000, 2000], "do not rise"),
        ((1, 3, 6), "2\n1000,2\n100,9", [0, 2000, 32_000], "3 sample number(s) are missing"),
        ((1, 2, 5), "0\n0,5", [0, 500, 1000], None),
    ],
)
@pytest.mark.parametrize("form", ["ASCII", "BINARY"])
def test_a_sample_stands_where_its_number_says(
    tmp_path: Path, form: str, numbers: tuple[int, ...], rates: str, times_us: list[int], noticed: str | None
) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(cfg(form, rates=rates, tail="1\n"))
    if form == "ASCII":
        rows = [f"{n},{place * 500},1,1,0,0,0\n" for place, n in enumerate(numbers)]
        (tmp_path / "a.dat").write_text("".join(rows))
    else:
        rows_ = [struct.pack("<II2hH", n, place * 500, 1, 1, 0) for place, n in enumerate(numbers)]
        (tmp_path / "a.dat").write_bytes(b"".join(rows_))
    read = read_comtrade(path)
    assert ((read.t_ns - read.configuration.start_ns) // 1000).tolist() == times_us
    assert any(noticed in note for note in read.notes) if noticed else not any("number" in note for note in read.notes)


def test_what_devices_write_around_the_text_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    old = cfg("ASCII", revision="", start="01/12/98,05:55:30.5", tail="").replace("TWO", "d\x85clenchement")
    path.write_bytes(old.replace("\n", "\r\n").encode("latin-1") + b"\x1a")
    (tmp_path / "a.dat").write_bytes(data("ASCII"))
    read = read_comtrade(path)
    assert [status.name for status in read.configuration.statuses] == ["ONE", "d\x85clenchement", "THREE"]
    assert len(read.t_ns) == 3
    whole = f"--- file type: CFG ---\n{cfg('ASCII')}--- file type: DAT ASCII ---\n".encode() + data("ASCII")
    path = tmp_path / "a.cff"
    path.write_bytes(b"\xef\xbb\xbf" + whole)
    assert len(read_comtrade(path).t_ns) == 3
