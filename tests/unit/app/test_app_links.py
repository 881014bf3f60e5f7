"""Devices in a project: settings and their errors, the sink, series out of readings, the collector, what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app import Platform, check_installation, project_status
from recloser.app.links.collecting import Collector
from recloser.app.links.linking import SpoolOutput, spool_policy
from recloser.app.links.series import SeriesKeeper, series_of
from recloser.app.links.sink import TableSink
from recloser.app.links.state import LinkFolders, LinkReport, write_report
from recloser.app.links.telling import link_families, links_document
from recloser.app.processes.supervisor import commands
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project, parse_project
from recloser.app.project.tables.links import LinksSection
from recloser.connectors.cleaning import Cleaner
from recloser.connectors.live import LinkEvent, LinkState
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry, nanoseconds
from recloser.connectors.spool import Batch, Gap, Spool
from recloser.core import LOAD, InvalidInput, Quality, Unavailable, VirtualClock
from recloser.store import READING_SCHEMA, ReadingTable, Store
from recloser.testing import QUICK, empty_project

S = 1_000_000_000
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
T0 = nanoseconds(NOW)
HEAD = '[project]\nareas = ["F01", "F02"]\ntime_zone = "UTC"\nresolution_minutes = 1\n'
DEVICE = '[[links.devices]]\nname = "rtu"\nprotocol = "iec104"\nhost = "h"\npoints = "rtu.csv"\n'
POINTS = "address,name,unit,role,area,high\n1:1,P,kW,load,F01,90000\n1:2,Q,kW,load,F01,\n1:3,V,kV,voltage,F01,\n"


def at(
    second: float, number: float | None, point: str = "P", quality: PointQuality = PointQuality.GOOD
) -> PointReading:
    t_ns = T0 + int(second * S)
    return PointReading("rtu", point, t_ns, t_ns + S // 10, number, "kW", quality, origin="test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = empty_project(tmp_path / "grid", ("F01", "F02"), QUICK + "\n[links]\nsettle_seconds = 5\n" + DEVICE)
    text = (folder / "recloser.toml").read_text(encoding="utf-8")
    (folder / "recloser.toml").write_text(text.replace("[project]\n", "[project]\nresolution_minutes = 1\n", 1))
    (folder / "rtu.csv").write_text(POINTS, encoding="utf-8")
    return folder


def spool_of(folder: Path, clock: VirtualClock, device: str = "rtu") -> Spool:
    place = LinkFolders(Layout(folder).links).spool(device)
    links = load_project(folder).links.model_copy(update={"store_seconds": 0.001})
    return Spool(place, replace(spool_policy(links), segment_s=0.0), clock, lambda: 0.0)


def loads(folder: Path, area: str = "F01") -> list[tuple[float | None, Quality]]:
    store = Store.open(Layout(folder).store, timedelta(minutes=1))
    latest = store.read([area], [LOAD], as_of=NOW + timedelta(days=9)).latest()
    return [(row["value"], Quality(row["quality"])) for row in latest.iter_rows(named=True)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (DEVICE.replace('"iec104"', '"iec-104"'), "bad value"),
        (DEVICE.replace('host = "h"\n', ""), "without host"),
        (DEVICE + 'url = "opc.tcp://h"\n', "'url' means nothing to iec104"),
        (DEVICE + DEVICE, "two devices of one name"),
        (DEVICE + 'tls_certificate = "c.pem"\n', "TLS needs"),
        (DEVICE + 'tls_ca = "ca"\ntls_key = "k.pem"\n', "TLS needs"),
        (DEVICE.replace("iec104", "c37118"), "without idcode"),
        (DEVICE.replace("iec104", "opcua") + 'url = "u"\ntls_ca = "ca"\n', "TLS is not known for opcua"),
        (DEVICE.replace("iec104", "opcua"), "without url"),
        (DEVICE + "pionts = 1\n", "unknown key"),
        ('[links]\nquantities = { load = "load" }\n', "must end in its unit"),
        ("[links]\nfirst_wait_seconds = 90\n", "longer than the longest"),
    ],
)
def test_what_a_device_s_table_may_not_say(text: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        parse_project(HEAD + text, "recloser.toml")


def test_registered_ports_stand_where_none_is_told() -> None:
    device = parse_project(HEAD + DEVICE, "x").links.devices[0]
    assert device.address == ("h", 2404)
    assert device.model_copy(update={"tls_ca": "ca.pem"}).address == ("h", 19998)
    assert device.model_copy(update={"port": 5}).address == ("h", 5)


def test_each_device_gets_a_process_and_all_of_them_a_collector(tmp_path: Path) -> None:
    found = commands(tmp_path, "127.0.0.1", 80, None, ["a", "b"])
    assert sorted(found) == ["collector", "console", "controller", "gateway", "link a", "link b", "watchman"]
    assert found["link b"][-1] == "b"
    assert "collector" not in commands(tmp_path, "127.0.0.1", 80, None)
    assert sorted(commands(tmp_path, "127.0.0.1", 80, NOW, ["a"])) == ["console", "gateway"]


@pytest.mark.parametrize(
    ("point", "what"),
    [
        (Point("1", "X", "MW", role="load", area="F99"), "F99"),
        (Point("1", "X", "m/s", role="weather", area="F01"), "a speed unit for temperature_c"),
    ],
)
def test_points_that_make_no_series_are_refused(point: Point, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        series_of({"rtu": PointRegistry("iec104", (point,))}, LinksSection(), ["F01"])


def test_powers_of_an_area_are_summed_and_temperatures_are_not() -> None:
    load = [Point(str(n), str(n), "MW", role="load", area="F01") for n in range(2)]
    found = series_of({"a": PointRegistry("iec104", tuple(load))}, LinksSection(), ["F01"])
    assert [member.point.name for member in found["F01", LOAD]] == ["0", "1"]
    warm = tuple(replace(point, unit="degC", role="weather") for point in load)
    with pytest.raises(InvalidInput, match="cannot be summed"):
        series_of({"a": PointRegistry("iec104", warm)}, LinksSection(), ["F01"])


class Failing(ReadingTable):
    """A table on a disk that fails before or after a commit, when told to."""

    fails = ""

    def append(self, rows: pl.DataFrame, source: str, sequence: int) -> bool:
        if self.fails == "before":
            raise Unavailable("the disk is full")
        done = super().append(rows, source, sequence)
        if self.fails == "after":
            raise Unavailable("the process ended")
        return done


@pytest.mark.parametrize("fails", ["before", "after"])
def test_a_commit_that_failed_is_repeated_without_loss_or_doubling(tmp_path: Path, fails: str) -> None:
    table = Failing(tmp_path)
    sink = TableSink(table, "rtu", lambda: Cleaner({"P": Point("1:1", "P", "kW")}))
    batches = [Batch(n, (at(n, float(n)), at(n + 0.5, float(n)))) for n in range(1, 4)]
    sink.store("spool:x", batches[:1])
    table.fails = fails
    with pytest.raises(Unavailable):
        sink.store("spool:x", batches[1:])
    table.fails = ""
    if sink.committed("spool:x") < 3:
        sink.store("spool:x", batches[1:])
    rows = table.read("rtu", kind="reading")
    assert rows["number"].to_list() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert table.read("rtu").height == 6


def test_a_new_process_knows_what_was_said_before(tmp_path: Path) -> None:
    table = ReadingTable(tmp_path)
    make: Callable[[], Cleaner] = lambda: Cleaner({"P": Point("1:1", "P", "kW")})  # noqa: E731
    TableSink(table, "rtu", make).store("spool:x", [Batch(1, (at(1, 1.0), at(2, 2.0)))])
    again = TableSink(table, "rtu", make)
    again.store("spool:x", [Batch(2, (at(1, 1.0), at(2, 2.0), at(3, 3.0))), Gap(3, "rtu", T0, T0 + S, "link down", 7)])
    assert dict(again.counts) == {"readings": 1, "repeated": 2, "flagged": 0, "gaps": 1}
    assert table.read("rtu")["kind"].to_list() == ["gap", "reading", "repeated", "reading", "confirmed", "reading"]
    assert table.read("rtu", kind="gap").select("end_ns", "dropped").row(0) == (T0 + S, 7)


def test_readings_become_a_series_by_the_interval(folder: Path) -> None:
    clock = VirtualClock(NOW)
    spool, collector = spool_of(folder, clock), Collector(folder, load_project(folder), clock)
    spool.accept([at(0, 1000.0), at(0, 500.0, "Q"), at(30, 3000.0), at(70, 99_000.0)])
    spool.seal_due()
    assert collector.round() == []
    assert loads(folder) == []  # no interval is over
    clock.advance_to(clock.now() + timedelta(minutes=2, seconds=6))
    collector.round()
    first, second = loads(folder)
    assert first == (2.5, Quality.GOOD)
    assert second == (None, Quality.MISSING | Quality.OUT_OF_RANGE), "the number beyond its limit ends what held"
    report = collector.report([])
    assert (report.readings, report.flagged, report.samples) == ({"rtu": 4}, {"rtu": 1}, 2)
    spool.close()


def test_late_readings_correct_and_gaps_end_what_held(folder: Path) -> None:
    clock = VirtualClock(NOW)
    spool, collector = spool_of(folder, clock), Collector(folder, load_project(folder), clock)
    spool.accept([at(0, 1000.0), at(0, 0.0, "Q")])
    spool.tell_gap("rtu", T0 + 60 * S, T0 + 200 * S, "link down")
    spool.seal_due()
    clock.advance_to(clock.now() + timedelta(minutes=3, seconds=6))
    collector.round()
    assert [value for value, _ in loads(folder)] == [1.0, None, None]
    late = at(90, 5000.0)
    spool.accept([late, at(90, 0.0, "Q")])
    spool.seal_due()
    collector.round()
    assert [value for value, _ in loads(folder)] == [1.0, 5.0, 5.0]
    assert loads(folder)[1][1] == Quality.ESTIMATED, "half of the minute is covered"
    store = Store.open(Layout(folder).store, timedelta(minutes=1))
    assert store.revisions("F01", LOAD, NOW + timedelta(minutes=1)).height == 2
    spool.close()


def test_a_collector_that_lost_its_cursor_makes_the_same_series(folder: Path) -> None:
    clock = VirtualClock(NOW)
    spool = spool_of(folder, clock)
    for minute in range(5):
        spool.accept([at(60 * minute, 1000.0 * minute), at(60 * minute, 0.0, "Q")])
    spool.seal_due()
    clock.advance_to(clock.now() + timedelta(minutes=5, seconds=6))
    Collector(folder, load_project(folder), clock).round()
    before = loads(folder)
    version = Store.open(Layout(folder).store, timedelta(minutes=1)).version()
    LinkFolders(Layout(folder).links).cursor.unlink()
    clock.advance_to(clock.now() + timedelta(seconds=10))
    Collector(folder, load_project(folder), clock).round()
    assert [value for value, _ in before] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert loads(folder) == before
    assert Store.open(Layout(folder).store, timedelta(minutes=1)).version() == version
    spool.close()


class Stubborn(Store):
    """A store that takes nothing while it is told to."""

    away = True

    def append(self, frame: pl.DataFrame, source: str, sequence: int | None = None) -> Any:
        if self.away:
            raise Unavailable("the store is away")
        return super().append(frame, source, sequence)


def test_series_that_could_not_be_written_are_made_later(folder: Path, tmp_path: Path) -> None:
    table, links = ReadingTable(tmp_path / "t"), load_project(folder).links
    sink = TableSink(table, "rtu", lambda: Cleaner({}))
    member = series_of(
        {"rtu": PointRegistry("iec104", (Point("1", "P", "kW", role="load", area="F01"),))}, links, ["F01"]
    )
    store = Stubborn.open(tmp_path / "store", timedelta(minutes=1))
    assert isinstance(store, Stubborn)
    keeper = SeriesKeeper(table, store, member, links, tmp_path / "cursor.json")
    sink.store("spool:x", [Batch(1, (at(0, 7000.0),))])
    step, later = timedelta(minutes=1), NOW + timedelta(seconds=66)
    with pytest.raises(Unavailable):
        keeper.tick(later, step, sink.earliest_ns, {"spool:x": 1})
    store.away = False
    keeper.tick(later, step, None, {"spool:x": 1})
    assert keeper.samples == 1
    assert store.read(["F01"], [LOAD], as_of=later).frame["value"].to_list() == [7.0]


def test_the_spool_of_a_device_that_is_named_no_more_is_emptied(folder: Path) -> None:
    clock = VirtualClock(NOW)
    gone = spool_of(folder, clock, "gone")
    gone.accept([PointReading("gone", "X", T0, T0, 1.0, "MW")])
    collector = Collector(folder, load_project(folder), clock)
    gone.close()
    collector.round()
    table = ReadingTable(Layout(folder).links)
    assert table.read("gone", kind="reading")["number"].to_list() == [1.0]
    assert table.scan().collect_schema() == READING_SCHEMA


def test_a_full_spool_is_counted_and_the_link_told(tmp_path: Path) -> None:
    links = LinksSection(spool_mb=1)
    spool = Spool(tmp_path / "s", spool_policy(links), VirtualClock(NOW), lambda: 0.0)
    said: list[str] = []
    output = SpoolOutput(spool, said.append)
    many = [at(n, float(n)) for n in range(4000)]

    def fill() -> None:
        while True:
            output.accept(many)

    with pytest.raises(Unavailable, match="spool is full"):
        fill()
    assert output.refused == 1
    output.tell_link(LinkEvent("rtu", LinkState.DOWN, T0, "the spool is full"))
    assert said == ["link rtu: down: the spool is full"]
    spool.close()


def report(state: str = "up", beat_ns: int = T0) -> LinkReport:
    return LinkReport("rtu", "iec104", 1, state, T0 - 9 * S, "connected", 2, 1, 1, 50, T0 - 4 * S, beat_ns, 10, 0, 0)


def test_states_are_told_to_people_and_prometheus(folder: Path) -> None:
    devices, folders = load_project(folder).links.devices, LinkFolders(Layout(folder).links)
    assert links_document(devices, folders, NOW)[0]["state"] == "unknown"
    folders.state("rtu").parent.mkdir(parents=True)
    write_report(folders.state("rtu"), report())
    row = links_document(devices, folders, NOW)[0]
    assert (row["state"], row["latest"], row["silence_s"]) == ("up", "2026-01-01T11:59:56Z", 4.0)
    figures = {one.name: one.samples for one in link_families(devices, folders, NOW)}
    assert figures["recloser_link_up"][0].labels == {"device": "rtu", "protocol": "iec104"}
    assert [figures[f"recloser_link_{name}"][0].number for name in ("up", "readings_total", "silence_seconds")] == [
        1,
        50,
        4,
    ]
    assert figures["recloser_link_stored_total"] == []
    later = NOW + timedelta(seconds=11)
    assert links_document(devices, folders, later)[0]["state"] == "silent"
    write_report(folders.state("rtu"), report("stopped"))
    assert links_document(devices, folders, later)[0]["state"] == "stopped"


def test_status_and_doctor_tell_of_links(folder: Path) -> None:
    document = project_status(folder)
    assert document["links"][0]["device"] == "rtu"
    assert any(line.startswith("0 of 1 links are up") for line in document["sentences"])
    checks = {check["name"]: check for check in check_installation(folder)["checks"]}
    assert (checks["links"]["state"], checks["links"]["detail"]) == ("ok", "1 devices, 1 series")
    (folder / "rtu.csv").write_text(POINTS.replace("F01", "F77"), encoding="utf-8")
    checks = {check["name"]: check for check in check_installation(folder)["checks"]}
    assert checks["links"]["state"] == "FAIL"
    assert "F77" in checks["links"]["detail"]


def test_doctor_warns_of_a_certificate_that_ends(folder: Path) -> None:
    from recloser.testing.certificates import Authority

    authority = Authority(folder, "grid-ca")
    certificate, key = authority.issue("us", timedelta(days=5))
    text = (folder / "recloser.toml").read_text(encoding="utf-8")
    tls = f'tls_ca = "grid-ca.pem"\ntls_certificate = "{certificate.name}"\ntls_key = "{key.name}"\n'
    (folder / "recloser.toml").write_text(text + tls, encoding="utf-8")
    with Platform.open(folder) as platform:
        assert platform.project.links.devices[0].address[1] == 19998
    checks = {check["name"]: check for check in check_installation(folder)["checks"]}
    assert checks["links"]["state"] == "note"
    assert "4 days left" in checks["links"]["detail"] or "5 days left" in checks["links"]["detail"]
