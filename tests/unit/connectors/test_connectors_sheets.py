"""Addresses that can be, each written one way; sheets and registries of which no row is swallowed or guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloser.connectors.live import plan_reads
from recloser.connectors.points import import_sheet, read_registry
from recloser.core import InvalidInput


@pytest.mark.parametrize(
    ("protocol", "good", "bad"),
    [
        ("iec104", "1:0", "0:0"),
        ("iec104", "65534:16777215", "65535:1"),
        ("iec104", "1:1", "1:16777216"),
        ("iec104", "2:1", "\u0661:1"),
        ("dnp3", "analog:4294967295", "analog:4294967296"),
        ("dnp3", "counter:0", "string:3"),
        ("modbus", "255:coil:65535", "256:coil:1"),
        ("modbus", "0:discrete:0", "0:discrete:65536"),
        ("modbus", "1:holding:65534:f32", "1:holding:65535:f32"),
        ("modbus", "1:input:65532:i64:swap", "1:input:65533:i64:swap"),
        ("modbus", "1:holding:65535", "1:holding:65536"),
        ("modbus", "1:coil:5", "1:coil:5:f32"),
        ("c37118", "65534:VA", "65535:VA"),
        ("c37118", "1:VA", "0:VA"),
        ("opcua", "ns=65535;s=F", "ns=65536;s=F"),
    ],
)
def test_an_address_that_cannot_be_is_refused_before_anybody_connects(
    tmp_path: Path, protocol: str, good: str, bad: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"address,name\n{good},x\n", encoding="utf-8")
    assert read_registry(path, protocol).points[0].address == good
    path.write_text(f"address,name\n\n{good},x\n{bad},y\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"address of {protocol}") as raised:
        read_registry(path, protocol)
    assert bad in raised.value.explain()
    assert "a.csv row 4" in raised.value.explain(), "the line, as an editor counts"


def test_every_modbus_address_that_can_be_makes_a_request(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("address,name\n255:holding:65532:f64,a\n0:coil:65535,b\n")
    assert [read.request(1)[-4:].hex() for read in plan_reads(read_registry(path, "modbus"))] == [
        "ffff0001",
        "fffc0004",
    ]


@pytest.mark.parametrize(
    ("protocol", "one", "other", "written"),
    [
        ("iec104", "01:0001", "1:1", "1:1"),
        ("dnp3", "analog:007", "analog:7", "analog:7"),
        ("modbus", "01:holding:0100:f32", "1:holding:100:f32", "1:holding:100:f32"),
        ("modbus", "1:holding:100:u16", "1:holding:100", "1:holding:100"),
        ("c37118", "0241:VA 01", "241:VA 01", "241:VA 01"),
        ("opcua", "ns=0;i=85", "i=85", "i=85"),
        ("opcua", "ns=02;s=F", "ns=2;s=F", "ns=2;s=F"),
    ],
)
def test_an_address_is_written_one_way_and_stands_once(
    tmp_path: Path, protocol: str, one: str, other: str, written: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"address,name\n{one},x\n")
    assert read_registry(path, protocol).points[0].address == written
    path.write_text(f"address,name\n{one},x\n{other},y\n")
    with pytest.raises(InvalidInput, match="an address that stands twice") as raised:
        read_registry(path, protocol)
    assert "rows 2 and 3" in raised.value.explain()


SPOILT = [
    ('address,name\n1:1,"A\n1:2,B\n1:3,C', "row 2", "a quote that is not closed"),
    ('address,name,unit\n1:1,A,MW\n1:2,"B,MW\n1:3,C,MW\n1:4,"D",MW\n', "row 3", "a quote that is not closed"),
    ('address,name\n1:1,"A\nB"\n', "row 2", "a line break inside"),
    ("address,name\n1:1,A,7,8\n", "row 2", "more cells than"),
    ("address,name\n\n1:1,A\n1:2,B,7\n", "row 4", "more cells than"),
    ("address,name,name\n1:1,A,B\n", "a.csv", "heading that stands twice"),
]


@pytest.mark.parametrize(("text", "place", "words"), SPOILT)
def test_no_row_is_swallowed(tmp_path: Path, text: str, place: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    for read in (read_registry, import_sheet):
        with pytest.raises(InvalidInput, match=words) as raised:
            read(path, "iec104")
        assert place in raised.value.explain()


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system_and_empty_cells_beyond_the_headings_are_nothing(tmp_path: Path, ends: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(ends.join(["address,name,unit,", '1:1,"A ""1"", left",MW,,', "", "1:2,B,MW", ",,,"]).encode())
    for points in (read_registry(path, "iec104").points, import_sheet(path, "iec104").registry.points):
        assert [(point.address, point.name) for point in points] == [("1:1", 'A "1", left'), ("1:2", "B")]


@pytest.mark.parametrize(
    ("encoding", "notes"),
    [("utf-8", ()), ("utf-8-sig", ()), ("utf-16", ()), ("cp1252", ("Read as Windows-1252: it is not UTF-8.",))],
)
def test_names_keep_their_letters_in_any_usual_encoding(tmp_path: Path, encoding: str, notes: tuple[str, ...]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("Address;Name\n1:1;Größe €\n1:2;Gräße €\n".encode(encoding))
    imported = import_sheet(path, "iec104")
    assert [point.name for point in imported.registry.points] == ["Größe €", "Gräße €"]
    assert imported.notes == notes


@pytest.mark.parametrize(
    ("content", "words"), [(b"PK\x03\x04\x14\0", "a workbook"), (b"Address,Name\n1:1,\x81\n", "unknown encoding")]
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        import_sheet(path, "iec104")


@pytest.mark.parametrize(
    ("table", "form", "address"),
    [
        ("Holding Registers", "UINT32", "1:holding:9:u32"),
        ("Input Registers", "BOOL", "1:input:9"),
        ("Coils", "BOOL", "1:coil:9"),
        ("Discrete Inputs", "Bit", "1:discrete:9"),
        ("Discrete Input", "", "1:discrete:9"),
        ("HR", "WORD", "1:holding:9"),
    ],
)
def test_words_of_modbus_sheets(tmp_path: Path, table: str, form: str, address: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"Slave ID,Register Type,Register,Data Type,Name\n1,{table},9,{form},P\n")
    assert import_sheet(path, "modbus").registry.points[0].address == address


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Analog Inputs", "analog"),
        ("Binary Counter", "counter"),
        ("Counters", "counter"),
        ("Frozen Counter", "frozen"),
        ("Double-bit Binary Input", "double"),
        ("Double Bit Inputs", "double"),
        ("Binary Output Status", "output"),
        ("Analog Output Status", "analog_output"),
    ],
)
def test_words_of_dnp3_sheets(tmp_path: Path, kind: str, expected: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"Point Type,Index,Name\n{kind},9,P\n")
    assert import_sheet(path, "dnp3").registry.points[0].address == f"{expected}:9"
