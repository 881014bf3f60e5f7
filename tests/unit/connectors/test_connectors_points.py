"""One record, one quality vocabulary, registries of points: what each protocol's bits become, what a sheet must say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.points import (
    Point,
    PointReading,
    PointRegistry,
    c37118_quality,
    dnp3_quality,
    iec104_quality,
    import_sheet,
    opcua_quality,
    read_registry,
    registry_text,
    sample_quality,
    worded,
)
from recloser.connectors.points import PointQuality as Q
from recloser.core import InvalidInput, Quality, Unavailable


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (iec104_quality({"iv": 0, "nt": 0, "sb": 0, "bl": 0, "ov": None}), Q.GOOD),
        (
            iec104_quality({"iv": 1, "nt": 1, "sb": 1, "bl": 1, "ov": 1}),
            Q.INVALID | Q.OLD | Q.SUBSTITUTED | Q.BLOCKED | Q.OVERFLOW,
        ),
        (iec104_quality({}, time_invalid=True, test=True, carry=True), Q.TIME_INVALID | Q.TEST | Q.ROLLED_OVER),
        (dnp3_quality(30, 0x01), Q.GOOD),
        (dnp3_quality(30, 0x00), Q.OFFLINE),
        (dnp3_quality(30, 0x63), Q.RESTARTED | Q.OVERFLOW | Q.INACCURATE),
        (dnp3_quality(2, 0xA1), Q.CHATTERING),
        (dnp3_quality(22, 0x65), Q.OLD | Q.ROLLED_OVER),
        (dnp3_quality(1, 0x19), Q.SUBSTITUTED),
        (dnp3_quality(1, None), Q.GOOD),
        (dnp3_quality(2, 0x01, synchronised=False), Q.UNSYNCHRONISED),
        (opcua_quality(0), Q.GOOD),
        (opcua_quality(0x808D0000), Q.OFFLINE | Q.INVALID),
        (opcua_quality(0x40910000), Q.SUBSTITUTED | Q.UNCERTAIN),
        (opcua_quality(0x80000000), Q.INVALID),
        (opcua_quality(0x00000500), Q.OVERFLOW),
        (opcua_quality(0x00000700), Q.BLOCKED),
        (c37118_quality(0x0000), Q.GOOD),
        (c37118_quality(0x0C0F), Q.GOOD),
        (c37118_quality(0x4000), Q.INVALID),
        (c37118_quality(0x8000), Q.TEST),
        (c37118_quality(0xF200), Q.INVALID | Q.UNSYNCHRONISED | Q.TIME_INVALID | Q.DATA_MODIFIED),
        (c37118_quality(0, 0x0F), Q.TIME_INVALID),
        (c37118_quality(0, 0x0B), Q.UNSYNCHRONISED),
        (c37118_quality(0, 0x04), Q.GOOD),
    ],
)
def test_each_protocols_bits_become_the_one_vocabulary(got: Q, expected: Q) -> None:
    assert got == expected, worded(got)


@given(bits=st.integers(0, 2**17 - 1))
def test_whatever_is_unusable_is_excluded_from_training(bits: int) -> None:
    sample = sample_quality(bits)
    assert (sample == Quality.GOOD) == (bits == 0)
    if bits & Q.UNUSABLE:
        assert sample & Quality.UNUSABLE
    assert (worded(bits) == "GOOD") == (bits == 0)


def test_a_reading_is_about_the_sources_time_where_that_can_be_trusted() -> None:
    good = PointReading("rtu", "P", 100, 200, 1.0, "MW")
    assert (good.at_ns, good.usable) == (100, True)
    assert PointReading("rtu", "P", 100, 200, 1.0, "MW", Q.TIME_INVALID).at_ns == 200
    assert PointReading("rtu", "P", None, 200, 1.0, "MW").at_ns == 200
    assert not PointReading("rtu", "P", 100, 200, None, "MW").usable
    assert not PointReading("rtu", "P", 100, 200, 1.0, "MW", Q.OFFLINE).usable


SHEET = """address,name,unit,scale,low,high,deadband,role,area,stale_after_s
10:1300,feeder_p,kW,0.1,-10,5000,5,load,F01,60
10:1301,breaker,state,,,,,status,F01,
"""


def test_a_registry_is_read_from_csv_and_toml_alike(tmp_path: Path) -> None:
    sheet, toml = tmp_path / "a.csv", tmp_path / "a.toml"
    sheet.write_text(SHEET)
    toml.write_text(
        '[[point]]\naddress = "10:1300"\nname = "feeder_p"\nunit = "kW"\nscale = 0.1\nlow = -10\nhigh = 5000\n'
        'deadband = 5\nrole = "load"\narea = "F01"\nstale_after_s = 60\n'
        '[[point]]\naddress = "10:1301"\nname = "breaker"\nunit = "state"\nrole = "status"\narea = "F01"\n'
    )
    read = read_registry(sheet, "iec104")
    assert read == read_registry(toml, "iec104")
    assert read.by_address()["10:1300"] == Point(
        "10:1300", "feeder_p", "kW", 0.1, 0.0, -10.0, 5000.0, 5.0, "load", "F01", 60.0
    )


@given(
    points=st.lists(
        st.builds(
            Point,
            st.integers(0, 0xFFFFFF).map(lambda n: f"7:{n}"),
            st.text("abc_é ,\"'", min_size=1, max_size=8).map(str.strip).filter(bool),
            st.sampled_from(["MW", "kV", "", "Mvar"]),
            st.floats(0.001, 1e6),
            st.floats(-1e6, 1e6),
        ),
        min_size=1,
        max_size=5,
        unique_by=(lambda point: point.address, lambda point: point.name),
    )
)
def test_a_registry_written_is_read_back_the_same(
    points: list[Point], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("points") / "a.csv"
    registry = PointRegistry("iec104", tuple(points))
    path.write_text(registry_text(registry))
    assert read_registry(path, "iec104") == registry


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("deadband", "deadbnad", "Did you mean 'deadband'"),
        ("10:1300", "1300", "COMMON_ADDRESS:OBJECT_ADDRESS"),
        ("feeder_p", "", "without name"),
        ("breaker", "feeder_p", "rows 2 and 3"),
        ("10:1301", "10:1300", "address that stands twice"),
        ("kW,0.1", "kw,0.1", "Did you mean 'kW'"),
        ("kW,0.1", "kV,0.1", "load that is no power"),
        ("kW,0.1", "kW,0", "scale of zero"),
        ("-10,5000", "5000,-10", "wrong way round"),
        ("5,load", "-5,load", "negative"),
        ("load", "lod", "Did you mean 'load'"),
        ("0.1", "0;1", "not a number"),
        ("0.1", "nan", "not a number"),
    ],
)
def test_a_registry_that_is_not_sound_is_refused_in_words(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(SHEET.replace(old, new, 1))
    with pytest.raises(InvalidInput) as raised:
        read_registry(path, "iec104")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("protocol", "good", "bad"),
    [
        ("dnp3", "analog:7", "analogue:7"),
        ("modbus", "1:holding:100:f32:swap", "1:holding:100:f16"),
        ("c37118", "241:VA PHASE", "VA"),
        ("opcua", "ns=2;s=Feeder.P", "Feeder.P"),
        ("mqtt", "site/feeder/p", "site/+/p"),
    ],
)
def test_addresses_have_the_form_of_their_protocol(tmp_path: Path, protocol: str, good: str, bad: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"address,name\n{good},x\n")
    assert read_registry(path, protocol).points[0].address == good
    path.write_text(f"address,name\n{bad},x\n")
    with pytest.raises(InvalidInput, match=f"not an address of {protocol}"):
        read_registry(path, protocol)


@pytest.mark.parametrize(
    ("protocol", "text", "address"),
    [
        ("iec104", "Signal Name;CA;IOA;Eng. Units\nP;3;1300;MW\n", "3:1300"),
        ("dnp3", "Point Name,Point Type,Index,Units\nP,AI,7,MW\n", "analog:7"),
        (
            "modbus",
            "Tag\tSlave ID\tRegister Type\tRegister\tData Type\nP\t1\tHolding Register\t100\tFloat\n",
            "1:holding:100:f32",
        ),
        ("modbus", "Tag,Slave,Table,Register\nP,1,coil,9\n", "1:coil:9"),
        ("c37118", "name,PMU ID,Channel Name\nP,241,VALPM\n", "241:VALPM"),
        ("opcua", "Tag Name,Node Id\nP,ns=2;s=F.P\n", "ns=2;s=F.P"),
    ],
)
def test_sheets_of_others_become_registries(tmp_path: Path, protocol: str, text: str, address: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(text)
    imported = import_sheet(path, protocol)
    assert imported.registry.points[0].address == address
    assert imported.registry.points[0].name == "P"
    assert imported.unused == ()


def test_headings_that_no_word_finds_are_named_and_others_told(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("Bezeichnung,Adresse,Bemerkung\nP,3:1300,x\n")
    with pytest.raises(InvalidInput, match="no heading for the address"):
        import_sheet(path, "iec104")
    with pytest.raises(InvalidInput, match="no heading for the name"):
        import_sheet(path, "iec104", {"address": "Adresse"})
    with pytest.raises(InvalidInput, match="Did you mean 'Adresse'"):
        import_sheet(path, "iec104", {"address": "Adrese"})
    with pytest.raises(InvalidInput, match="unknown column"):
        import_sheet(path, "iec104", {"adress": "Adresse"})
    imported = import_sheet(path, "iec104", {"address": "Adresse", "name": "Bezeichnung"})
    assert imported.unused == ("Bemerkung",)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        read_registry(tmp_path / "none.csv", "iec104")
    with pytest.raises(InvalidInput, match="no such file"):
        import_sheet(tmp_path / "none.csv", "iec104")
    with pytest.raises(Unavailable):
        read_registry(tmp_path, "iec104")
    with pytest.raises(Unavailable):
        import_sheet(tmp_path, "iec104")
    for name, text, words in (
        ("a.toml", "[[point]", "not TOML"),
        ("a.toml", "[[pointt]]\n", "unknown table"),
        ("a.toml", "point = 3\n", "no tables"),
        ("a.csv", "address,name\n", "without points"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidInput, match=words):
            read_registry(tmp_path / name, "iec104")
    with pytest.raises(InvalidInput, match="unknown protocol"):
        read_registry(tmp_path / "a.csv", "morse")
