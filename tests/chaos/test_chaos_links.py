"""Links and the collector killed at any time: what a peer that is not ours was told has arrived is stored once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from recloser.app.links.state import LinkFolders, read_collector, read_link
from recloser.app.links.telling import link_families, links_document
from recloser.app.processes.supervisor import stop
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.core import LOAD, Quality
from recloser.store import ReadingTable, Store

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

DEVICE = """host = "127.0.0.1"
port = {port}
answer_seconds = 1.5
"""
BATCH = 12  # more than the link acknowledges at once: a killed link has stored some that it did not acknowledge
POINTS = "address,name,unit,role,area\n10:1300,P,MW,load,F01\n10:1301,Q,Mvar,other,\n"


class Station:
    """A station of hat-drivers that keeps its events, each with a time of its own, until they are acknowledged."""

    def __init__(self, port: int) -> None:
        self.port, self.sent, self.acknowledged, self.connections = port, 0, 0, 0
        self.stopped = False
        self.base = datetime.now(UTC)

    async def run(self) -> None:
        from hat.drivers import iec104, net

        server = await iec104.listen(self._connected, net.TcpAddress("127.0.0.1", self.port))
        while not self.stopped:  # noqa: ASYNC110 - told by another thread of the test
            await asyncio.sleep(0.05)
        await server.async_close()

    async def _connected(self, connection: Any) -> None:
        self.connections += 1
        connection.async_group.spawn(self._answer, connection)

    async def _answer(self, connection: Any) -> None:
        from hat.drivers import iec104

        told = False
        with suppress(ConnectionError):
            while True:
                messages = await connection.receive()
                if not told:  # the transfer has begun
                    connection.async_group.spawn(self._tell, connection)
                    told = True
                for message in messages:
                    for cause in ("ACTIVATION_CONFIRMATION", "ACTIVATION_TERMINATION"):
                        await connection.send([message._replace(cause=iec104.CommandResCause[cause])])

    async def _tell(self, connection: Any) -> None:
        with suppress(ConnectionError):
            while not self.stopped:
                first, number = self.acknowledged + 1, self.acknowledged
                for number in range(first, first + BATCH):
                    self.sent = max(self.sent, number)  # before: it may arrive though its sending is cut short
                    await connection.send([self._event(number)], wait_ack=number == first + BATCH - 1)
                self.acknowledged = number
                await asyncio.sleep(0.02)

    def _event(self, number: int) -> Any:
        from hat.drivers import iec104

        at = int((self.base.timestamp() + number * 0.001) * 1000)
        stamp = datetime.fromtimestamp(at / 1000, UTC)
        tag = iec104.Time(
            size=iec104.TimeSize.SEVEN,
            milliseconds=stamp.second * 1000 + stamp.microsecond // 1000,
            invalid=False,
            substituted=False,
            minutes=stamp.minute,
            summer_time=False,
            hours=stamp.hour,
            day_of_week=stamp.isoweekday(),
            day_of_month=stamp.day,
            months=stamp.month,
            years=stamp.year % 100,
        )
        quality = iec104.MeasurementQuality(False, False, False, False, False)
        data = iec104.FloatingData(iec104.FloatingValue(float(number)), quality)
        return iec104.DataMsg(False, 0, 10, 1300, data, tag, iec104.DataResCause.SPONTANEOUS)


@pytest.fixture
def project(tmp_path: Path, free_port: int, link_kit: SimpleNamespace) -> tuple[Path, int]:
    device = DEVICE.format(port=free_port)
    return link_kit.project(tmp_path / "grid", "rtu7", "iec104", device, POINTS), free_port


@pytest.fixture
def station(project: tuple[Path, int]) -> Iterator[Station]:
    import threading

    pytest.importorskip("hat.drivers.iec104", reason="needs hat-drivers as the peer")
    found = Station(project[1])
    thread = threading.Thread(target=lambda: asyncio.run(found.run()), daemon=True)
    thread.start()
    yield found
    found.stopped = True
    thread.join(30)


def samples(store: Store) -> pl.DataFrame:
    return store.read(["F01"], [LOAD], as_of=datetime.now(UTC)).frame.filter(pl.col("value").is_not_null())


def numbers(folder: Path) -> list[float]:
    rows = ReadingTable(Layout(folder).links).read("rtu7", ["P"], kind="reading")
    return sorted(rows.filter(pl.col("quality") == 0)["number"].to_list())


def test_links_and_collector_killed_at_any_time_lose_and_double_nothing(
    project: tuple[Path, int], station: Station, link_kit: SimpleNamespace
) -> None:
    folder, rng = project[0], random.Random(11)
    processes = link_kit.processes(folder, "rtu7")
    try:
        processes.wait(lambda: station.acknowledged > 20, "the first events")
        for _ in range(5):
            processes.kill(rng.choice(processes.children))
            before = station.acknowledged
            processes.wait(lambda seen=before: station.acknowledged > seen + 8, "events after a kill")
            processes.run(rng.uniform(0.1, 1.5))
        for child in processes.children:
            processes.kill(child)
        before = station.acknowledged
        processes.wait(lambda: station.acknowledged > before + 8, "events after both were killed")
        station.stopped = True
        processes.wait(lambda: len(numbers(folder)) >= station.acknowledged, "all that was acknowledged")
    finally:
        stop(processes.children)
    found = numbers(folder)
    assert found == [float(number) for number in range(1, len(found) + 1)], "one is lost or doubled"
    assert station.acknowledged <= len(found) <= station.sent
    gaps = ReadingTable(Layout(folder).links).read("rtu7", kind="gap")
    assert gaps.height >= 2, "an interrupted wire is a recorded gap"


def told_readings(folders: LinkFolders) -> int:
    link = read_link(folders, "rtu7")
    return 0 if link is None else link.readings


def test_readings_become_a_series_and_the_links_are_told_of(
    project: tuple[Path, int], station: Station, link_kit: SimpleNamespace
) -> None:
    folder = project[0]
    layout, loaded = Layout(folder), load_project(folder)
    folders, processes = LinkFolders(layout.links), link_kit.processes(folder, "rtu7")
    store = Store.open(layout.store, loaded.resolution)
    try:
        processes.wait(lambda: station.acknowledged > 20, "the first events")
        processes.wait(lambda: samples(store).height > 0, "the first closed minute with a value")
        processes.wait(lambda: told_readings(folders) >= 20, "the link to tell of them")  # it tells once a second
        link, collector = read_link(folders, "rtu7"), read_collector(folders)
        assert link is not None
        assert collector is not None
        assert (link.state, link.connects, link.gaps) == ("up", 1, 0)
        assert collector.trouble == ""
        now = datetime.now(UTC)
        row = links_document(loaded.links.devices, folders, now)[0]
        assert (row["state"], row["trouble"]) == ("up", "")
        families = link_families(loaded.links.devices, folders, now)
        figures = {one.name: one.samples[0].number for one in families if one.samples}
        assert figures["recloser_link_up"] == 1
        assert figures["recloser_link_readings_total"] >= 20
    finally:
        stop(processes.children)
    sample = samples(store).row(0, named=True)
    rows = ReadingTable(layout.links).read("rtu7", ["P"], kind="reading")
    assert 0 < sample["value"] <= rows["number"].max()
    assert Quality(sample["quality"]) & ~Quality.ESTIMATED == 0, "the first minute began before the first reading"
    states = ReadingTable(layout.links).read("rtu7", kind="link")["origin"].to_list()
    assert states[:2] == ["connecting", "up"]
    assert read_link(folders, "rtu7").state == "stopped"  # type: ignore[union-attr]
