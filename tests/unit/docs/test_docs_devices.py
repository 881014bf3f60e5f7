"""Every example of the page about devices works: the simulated device, its registry, the block of the project file."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app.clock import SystemClock
from recloser.app.links.opening import client_of
from recloser.app.links.simulating import DeviceOptions, device_of
from recloser.app.project.tables.links import DeviceSection, LinksSection
from recloser.cli.field.devices import simulate
from recloser.connectors.live import Link, LinkEvent
from recloser.connectors.points import PointReading, registry_text
from recloser.core import VirtualClock

PAGE = Path(__file__).parents[3] / "docs" / "devices.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```\n\n```toml\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
EXTRAS = {"mqtt": "paho.mqtt", "sparkplug": "paho.mqtt", "opcua": "asyncua"}


class Heard:
    """A link's output that keeps readings and events in memory."""

    def __init__(self) -> None:
        self.readings: list[PointReading] = []
        self.events: list[LinkEvent] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        self.readings += readings
        return len(self.readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        assert "before its birth" in reason, (source, start_ns, end_ns, reason)
        return 0

    def tell_link(self, event: LinkEvent) -> None:
        self.events.append(event)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_protocol_has_an_example() -> None:
    assert [shlex.split(command)[2] for command, _ in BLOCKS] == [
        "iec104",
        "dnp3",
        "modbus",
        "c37118",
        "sttp",
        "mqtt",
        "sparkplug",
        "opcua",
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("command", "block"), BLOCKS, ids=[shlex.split(command)[2] for command, _ in BLOCKS])
def test_an_example_gives_readings_of_every_point(
    command: str, block: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words = shlex.split(command)
    assert words[:2] == ["recloser", "simulate"]
    given = simulate.make_context("simulate", words[2:]).params
    protocol = given["protocol"]
    if protocol in EXTRAS:
        pytest.importorskip(EXTRAS[protocol], reason=f"needs the extra {protocol}")
    broker = request.getfixturevalue("mosquitto") if protocol in {"mqtt", "sparkplug"} else None
    device = device_of(DeviceOptions(protocol, feeders=given["feeders"], rate=given["rate"] or 1.0))
    raw = tomllib.loads(block)["links"]["devices"][0]
    section = LinksSection.model_validate({"devices": (raw,)}).devices[0]
    assert section.points == str(given["points_out"])
    assert str(given["port"]) in (str(section.port), section.url.split(":")[-1].strip("/") if section.url else "")
    registry = tmp_path / section.points
    registry.parent.mkdir(parents=True)
    registry.write_text(registry_text(device.registry), encoding="utf-8")
    output = Heard()

    async def main() -> None:
        port = broker.port if broker is not None else free_port()
        changed: dict[str, object] = {"port": port} if section.url is None else {"url": f"opc.tcp://127.0.0.1:{port}/"}
        client = client_of(tmp_path, section.model_copy(update=changed), SystemClock())
        async with await device.open("127.0.0.1", port):
            link = Link(section.name, client, output, VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)))
            task = asyncio.create_task(link.run())
            wanted = {point.name for point in device.registry.points}
            async with asyncio.timeout(30):
                while {r.point for r in output.readings if r.usable} != wanted:  # noqa: ASYNC110 - no event to wait for
                    await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_keys_on_the_page_are_a_device_s() -> None:
    for block in re.findall(r"^```text\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE):
        raw = tomllib.loads(block)
        if "links" in raw:
            LinksSection.model_validate(raw["links"])
        assert "links" in raw or raw.keys() <= DeviceSection.model_fields.keys()


def test_the_registry_on_the_page_is_sound(tmp_path: Path) -> None:
    from recloser.connectors.points import read_registry

    (table,) = re.findall(r"^```csv\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "r.csv").write_text(table, encoding="utf-8")
    assert read_registry(tmp_path / "r.csv", "iec104").points[0].rate_per_s == 5.0
