"""Owns following C37.118 conversations: which configuration belongs to which data. Does not own sockets or rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from recloser.connectors.c37118.configuration import Configuration
from recloser.connectors.c37118.data import DataFrame, read_data
from recloser.connectors.c37118.frame import CHECK, PREFIX, Envelope, FrameType, read_envelope
from recloser.connectors.c37118.framer import Found, StreamFramer, frames_in_datagram
from recloser.connectors.c37118.layout import Layout, layout_of
from recloser.connectors.c37118.reading import PieceCollector, read_configuration, text
from recloser.connectors.capture import Chunk, Endpoint, shown
from recloser.core import InvalidInput

REMEMBERED = 4_096  # configurations and streams; the longest unused is forgotten


@dataclass(frozen=True, slots=True)
class Observation:
    """One frame as it was understood.

    Attributes:
        packet: the packet that completed it.
        envelope: its shared words; None for bytes that have no form.
        crc_ok: whether its check word is right.
        t_ns: nanoseconds since 1970 UTC; None while no time base is known.
        configuration: of a configuration frame.
        data: of a data frame whose configuration is known.
        header: text of a HEADER frame.
        command: number of a CMD frame.
        extended: what follows the number of a CMD frame.
        error: what is wrong, or None.
    """

    packet: int
    envelope: Envelope | None
    crc_ok: bool
    t_ns: int | None = None
    configuration: Configuration | None = None
    data: DataFrame | None = None
    header: str | None = None
    command: int | None = None
    extended: bytes = b""
    error: str | None = None


class Configurations:
    """The configurations of all streams seen: by sender and stream, and by sender's host for data sent another way."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, int], Layout] = OrderedDict()
        self._latest: dict[Endpoint, Layout] = {}

    def keep(self, sender: Endpoint, configuration: Configuration) -> None:
        """Remember a configuration; a CFG-1 (what a device could send) never replaces a CFG-2 or CFG-3."""
        layout = layout_of(configuration)
        for port in (sender.port, -1):
            key = (sender.host, port, configuration.idcode)
            present = self._known.get(key)
            if configuration.kind == 1 and present is not None and present.configuration.kind != 1:
                continue
            self._known[key] = layout
            self._known.move_to_end(key)
            self._latest[sender] = layout
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        while len(self._latest) > REMEMBERED:
            del self._latest[next(iter(self._latest))]

    def of(self, sender: Endpoint, idcode: int, size: int = 0) -> Layout | None:
        """Return the layout of a stream of this sender, on whatever port it was told.

        A sender whose data bear another identity than its configuration is understood if the size of the frame fits.
        """
        for port in (sender.port, -1):
            found = self._known.get((sender.host, port, idcode))
            if found is not None:
                return found
        latest = self._latest.get(sender)
        return latest if latest is not None and latest.size == size else None


class Observer:
    """Turns pieces of conversations into observations; keeps the state that belongs to each."""

    def __init__(self) -> None:
        self.configurations = Configurations()
        self._framers: OrderedDict[tuple[Endpoint, Endpoint, int], StreamFramer] = OrderedDict()
        self._pieces: OrderedDict[tuple[Endpoint, int], PieceCollector] = OrderedDict()

    def add(self, chunk: Chunk) -> Iterator[Observation]:
        """Yield the frames that this piece completes."""
        if chunk.transport == "udp":
            found: Iterator[Found] = iter(frames_in_datagram(chunk.data, chunk.packet))
        else:
            key = (chunk.source, chunk.target, chunk.connection)
            framer = self._framers.setdefault(key, StreamFramer())
            found = framer.feed(chunk.data, chunk.packet, chunk.lost)
        for item in found:
            yield self._observe(item, chunk.source, chunk.target)

    def finish(self) -> Iterator[Observation]:
        """Yield what the streams end with, where it is no whole frame."""
        for key, framer in self._framers.items():
            for item in framer.finish():
                yield self._observe(item, key[0], key[1])

    def _observe(self, item: Found, sender: Endpoint, target: Endpoint) -> Observation:
        if not item.framed:
            return Observation(item.packet, None, crc_ok=False, error=f"{item.error}: {shown(item.data)}")
        envelope = read_envelope(item.data)
        owner = target if envelope.type is FrameType.CMD else sender
        if item.error is not None:
            return Observation(item.packet, envelope, False, self._time(envelope, owner), error=item.error)
        try:
            return self._understand(item, envelope, owner)
        except InvalidInput as error:
            return Observation(item.packet, envelope, True, self._time(envelope, owner), error=error.explain())

    def _understand(self, item: Found, envelope: Envelope, owner: Endpoint) -> Observation:
        frame, payload = item.data, item.data[PREFIX.size : -CHECK]
        if envelope.type in {FrameType.CFG1, FrameType.CFG2, FrameType.CFG3}:
            configuration = self._configuration(frame, envelope, owner)
            t_ns = self._time(envelope, owner)
            return Observation(item.packet, envelope, True, t_ns, configuration=configuration)
        t_ns = self._time(envelope, owner)
        if envelope.type is FrameType.CMD:
            if len(payload) < 2:
                raise InvalidInput("a command frame without a command")
            number = int.from_bytes(payload[:2])
            return Observation(item.packet, envelope, True, t_ns, command=number, extended=payload[2:])
        if envelope.type is FrameType.HEADER:
            return Observation(item.packet, envelope, True, t_ns, header=text(payload))
        known = self.configurations.of(owner, envelope.idcode, envelope.size)
        data = None if known is None else read_data(frame, known)
        return Observation(item.packet, envelope, True, t_ns, data=data)

    def _configuration(self, frame: bytes, envelope: Envelope, owner: Endpoint) -> Configuration | None:
        if envelope.type is FrameType.CFG3:
            key = (owner, envelope.idcode)
            collector = self._pieces.setdefault(key, PieceCollector())
            if len(self._pieces) > REMEMBERED:
                self._pieces.popitem(last=False)
            configuration = collector.add(frame)
        else:
            configuration = read_configuration(frame)
        if configuration is not None:
            self.configurations.keep(owner, configuration)
        return configuration

    def _time(self, envelope: Envelope, owner: Endpoint) -> int | None:
        known = self.configurations.of(owner, envelope.idcode, envelope.size)
        return None if known is None else envelope.t_ns(known.configuration.time_base)
