"""Owns a simulated STTP publisher (IEEE 2664) with the grid's loads: metadata, subscriptions, compact values.

It takes no command but those of a subscriber, and compresses no values (a publisher may): each has its whole time.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import struct
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5
from xml.sax.saxutils import escape

from recloser.connectors.capture import Cutter
from recloser.connectors.points import PointRegistry
from recloser.connectors.sttp import (
    Command,
    PacketFlag,
    Response,
    answer,
    measure_command,
    ticks_of,
    write_compact,
    write_signals,
)
from recloser.connectors.sttp.wire import Mode
from recloser.simulation.devices.feed import Feed, Moment, Now, load_points
from recloser.simulation.devices.serving import Opened, listen, spoilt

DEVICE, NODE = "RECLOSER", "urn:recloser:simulated:"
LOOK_S, PING_S, PIECE, DATA_QUALITY = 0.02, 5.0, 65_536, 0x02
VERSIONS = range(1, 4)
IDENTITY = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
COLUMNS = {
    "DeviceDetail": {
        "UniqueID": "Guid",
        "IsConcentrator": "boolean",
        "Acronym": "string",
        "Name": "string",
        "AccessID": "int",
        "ProtocolName": "string",
        "FramesPerSecond": "int",
        "CompanyAcronym": "string",
        "Longitude": "decimal",
        "Latitude": "decimal",
        "Enabled": "boolean",
        "UpdatedOn": "dateTime",
    },
    "MeasurementDetail": {
        "DeviceAcronym": "string",
        "ID": "string",
        "SignalID": "Guid",
        "PointTag": "string",
        "SignalReference": "string",
        "SignalAcronym": "string",
        "PhasorSourceIndex": "int",
        "Description": "string",
        "Internal": "boolean",
        "Enabled": "boolean",
        "UpdatedOn": "dateTime",
    },
    "PhasorDetail": {  # no row: loads are no phasors, but subscribers look for the table
        "ID": "int",
        "DeviceAcronym": "string",
        "Label": "string",
        "Type": "string",
        "Phase": "string",
        "DestinationPhasorID": "int",
        "SourceIndex": "int",
        "UpdatedOn": "dateTime",
    },
    "SchemaVersion": {"VersionNumber": "int"},
}


class SttpPublisher:
    """Publishes the loads of the grid's feeders, a signal a feeder, to everyone who subscribes to them.

    Args:
        feed: what is measured.
        rate: values of a signal a second.
    """

    def __init__(self, feed: Feed, rate: float = 1.0) -> None:
        self._now: Now = feed.now
        self._period_s = 1.0 / rate
        self._signals = tuple(uuid5(NAMESPACE_URL, NODE + area) for area in feed.areas)
        self._metadata = metadata(tuple(zip(feed.areas, self._signals, strict=True)), max(1, round(rate)))
        self.registry = PointRegistry("sttp", load_points(feed.areas, lambda _place, area: f"{area}_P"))

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen; raises as `Device.open`."""
        return await listen(host, port, self._now, self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subscriber, cutter = Subscriber(self._signals, self._metadata), Cutter(measure_command)
        loop = asyncio.get_running_loop()
        next_s, ping_s = loop.time(), loop.time() + PING_S
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    data = await reader.read(PIECE)
                if not data:
                    return
            except TimeoutError:
                data = b""
            frames: list[bytes] = []
            for cut in cutter.feed(data, 0):
                if cut.error is not None:
                    raise ConnectionError
                frames += subscriber.take(cut.data[4:])
            moment, now_s = self._now(), loop.time()
            if now_s >= next_s:
                frames += subscriber.values(moment)
                next_s = max(next_s + self._period_s, now_s)
            if now_s >= ping_s:
                frames.append(answer(Response.NO_OPERATION, Command.SUBSCRIBE))
                ping_s = now_s + PING_S
            if frames and not moment.silent:
                writer.write(b"".join(spoilt(frame) if moment.damaged else frame for frame in frames))
                await writer.drain()


class Subscriber:
    """One connection as the publisher sees it. No I/O.

    Args:
        signals: all that there are, in the order of the feed.
        metadata: XML.
    """

    def __init__(self, signals: tuple[UUID, ...], metadata: bytes) -> None:
        self._signals, self._metadata = signals, metadata
        self._modes = 0
        self._wanted: dict[int, UUID] = {}

    def take(self, command: bytes) -> list[bytes]:
        """Return the answers to a command, without the length in front of it."""
        code, data = command[0], command[1:]
        if code == Command.DEFINE_OPERATIONAL_MODES and len(data) >= 4:
            return self._define(struct.unpack_from(">I", data)[0])
        if code == Command.METADATA_REFRESH:
            packed = gzip.compress(self._metadata) if self._modes & Mode.COMPRESS_METADATA else self._metadata
            return [answer(Response.SUCCEEDED, code, packed)]
        if code == Command.SUBSCRIBE and len(data) >= 5:
            return self._subscribe(data[5:].decode("utf-8", "replace"))
        if code == Command.UNSUBSCRIBE:
            self._wanted = {}
            return [answer(Response.SUCCEEDED, code)]
        if code >= Command.CONFIRM_BUFFER_BLOCK:
            return []
        return [answer(Response.FAILED, code, b"not known to this publisher")]

    def values(self, moment: Moment) -> list[bytes]:
        """Return the data packet with the present value of each signal that is wanted."""
        if not self._wanted:
            return []
        flags, ticks = DATA_QUALITY if moment.invalid else 0, ticks_of(moment.at_ns)
        rows = b"".join(write_compact(index, ticks, flags, moment.numbers[index]) for index in self._wanted)
        head = struct.pack(">BI", PacketFlag.COMPACT, len(self._wanted))
        return [answer(Response.DATA_PACKET, Command.SUBSCRIBE, head + rows)]

    def _define(self, modes: int) -> list[bytes]:
        version = modes & 0x1F
        if version not in VERSIONS:
            reason = f"version {version} is not known, only 1 to 3".encode()
            return [answer(Response.FAILED, Command.DEFINE_OPERATIONAL_MODES, reason)]
        self._modes = modes
        return [answer(Response.SUCCEEDED, Command.DEFINE_OPERATIONAL_MODES, b"requested modes applied")]

    def _subscribe(self, words: str) -> list[bytes]:
        named = {UUID(found) for found in IDENTITY.findall(words)}
        wanted = {index: one for index, one in enumerate(self._signals) if not named or one in named}
        if not wanted:
            return [answer(Response.FAILED, Command.SUBSCRIBE, b"no signal matches the filter")]
        self._wanted = wanted
        table = write_signals(uuid4(), wanted, DEVICE)
        table = gzip.compress(table) if self._modes & Mode.COMPRESS_SIGNAL_INDEX else table
        cache = b"\0" if self._modes & 0x1F > 1 else b""
        return [
            answer(Response.SUCCEEDED, Command.SUBSCRIBE, b"subscribed"),
            answer(Response.UPDATE_SIGNAL_INDEX_CACHE, Command.SUBSCRIBE, cache + table),
        ]


def metadata(signals: tuple[tuple[str, UUID], ...], rate: int) -> bytes:
    """Return metadata as XML, with the schema that other subscribers read the types of columns from.

    Args:
        signals: area and identity of each.
        rate: frames a second that the device announces.
    """
    device = {
        "UniqueID": str(uuid5(NAMESPACE_URL, NODE)),
        "IsConcentrator": "false",
        "Acronym": DEVICE,
        "Name": "Simulated feeders",
        "AccessID": "1",
        "ProtocolName": "STTP",
        "FramesPerSecond": str(rate),
        "Enabled": "true",
    }
    rows = [("DeviceDetail", device)]
    for number, (area, identity) in enumerate(signals, 1):
        named = {"DeviceAcronym": DEVICE, "ID": f"{DEVICE}:{number}", "SignalID": str(identity)}
        told = {"PointTag": f"{area}_P", "SignalReference": f"{DEVICE}-{area}-P", "SignalAcronym": "CALC"}
        ends = {"Description": f"Load of {area}, MW", "Internal": "true", "Enabled": "true"}
        rows.append(("MeasurementDetail", named | told | ends))
    rows.append(("SchemaVersion", {"VersionNumber": "9"}))
    body = "".join(
        f"<{table}>{''.join(f'<{name}>{escape(text)}</{name}>' for name, text in cells.items())}</{table}>"
        for table, cells in rows
    )
    return f'<?xml version="1.0" standalone="yes"?><NewDataSet>{_schema()}{body}</NewDataSet>'.encode()


def _schema() -> str:
    tables = "".join(
        f'<xs:element name="{table}"><xs:complexType><xs:sequence>'
        + "".join(_column(name, kind) for name, kind in columns.items())
        + "</xs:sequence></xs:complexType></xs:element>"
        for table, columns in COLUMNS.items()
    )
    return (
        '<xs:schema id="NewDataSet" xmlns="" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        'xmlns:msdata="urn:schemas-microsoft-com:xml-msdata"><xs:element name="NewDataSet" msdata:IsDataSet="true">'
        f'<xs:complexType><xs:choice minOccurs="0" maxOccurs="unbounded">{tables}</xs:choice></xs:complexType>'
        "</xs:element></xs:schema>"
    )


def _column(name: str, kind: str) -> str:
    guid = ' msdata:DataType="System.Guid"' if kind == "Guid" else ""
    return f'<xs:element name="{name}"{guid} type="xs:{"string" if guid else kind}" minOccurs="0" />'
