"""Owns following C37.118 conversations: which configuration belongs to which data. Does not own sockets or rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from recloser.connectors.c37118.configuration import Configuration
from recloser.connectors.c37118.data import DataFrame, read_data
from recloser.connectors.c37118.frame import CHECK, PREFIX, Envelope, FrameType, read_envelope
from recloser.connectors.c37118.framer import Found, StreamFramer, frames_in_datagram
from recloser.connectors.c37118.layout import Layout, layout_of
from recloser.connectors.c37118.reading import PieceCollector, read_configuration, text
from recloser.connectors.capture import Chunk, Ended, Endpoint, Unfinished, shown
from recloser.core import InvalidInput

REMEMBERED = 2_048  # configurations, and pieces of them; the longest unused is forgotten
KEYS = 7  # under which a configuration is found
Ends = tuple[Endpoint, Endpoint]
"""Who sends the data of a stream, and to whom."""


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
    """The configurations of all streams seen: by conversation, and wider, for data sent another way than theirs."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Layout] = OrderedDict()

    def keep(self, sender: Endpoint, target: Endpoint, configuration: Configuration) -> None:
        """Remember a configuration; a CFG-1 (what a device could send) never replaces a CFG-2 or CFG-3."""
        layout = layout_of(configuration)
        conversation = (sender, target, configuration.idcode)
        for key in (conversation, *_wider(*conversation, layout.size), *_of_any_identity(sender, target)):
            present = self._known.get(key)
            if configuration.kind == 1 and present is not None and present.configuration.kind != 1:
                continue
            self._known[key] = layout
            self._known.move_to_end(key)
        while len(self._known) > REMEMBERED * KEYS:
            self._known.popitem(last=False)

    def of(self, sender: Endpoint, target: Endpoint, idcode: int, size: int = 0) -> Layout | None:
        """Return the layout of a stream: that told in this conversation, else one told wider, best one that fits.

        A sender whose data bear another identity than its configuration is understood if the size of the frame fits.
        """
        conversation = (sender, target, idcode)
        own = self._known.get(conversation)
        if own is not None and own.configuration.kind != 1:
            self._known.move_to_end(conversation)
            return own
        told = [own, *map(self._known.get, _wider(*conversation, size))]
        known = [layout for layout in told if layout is not None]
        if known:
            return min(known, key=lambda layout: (layout.size != size, layout.configuration.kind == 1))
        latest = map(self._known.get, _of_any_identity(sender, target))
        return next((layout for layout in latest if layout is not None and layout.size == size), None)


def _wider(sender: Endpoint, target: Endpoint, idcode: int, size: int) -> tuple[Hashable, ...]:
    """Return the keys of a stream beyond its conversation, the narrowest first, last that of frames of this size."""
    return (sender.host, target.host, idcode), (sender, idcode), (sender.host, idcode), ((sender.host, idcode), size)


def _of_any_identity(sender: Endpoint, target: Endpoint) -> tuple[Hashable, ...]:
    return (sender, target), (sender,)


class Observer:
    """Turns pieces of conversations into observations; keeps the state that belongs to each."""

    def __init__(self) -> None:
        self.configurations = Configurations()
        self._unfinished = Unfinished()
        self._framers: OrderedDict[tuple[Endpoint, Endpoint, int], StreamFramer] = OrderedDict()
        self._pieces: OrderedDict[tuple[Endpoint, Endpoint, int], PieceCollector] = OrderedDict()

    def add(self, event: Chunk | Ended) -> Iterator[Observation]:
        """Yield the frames that a piece of a conversation completes, or what a stream ends with."""
        key = (event.source, event.target, event.connection)
        if isinstance(event, Ended):
            framer = self._framers.pop(key, None)
            found = iter(()) if framer is None else framer.finish()
        elif event.transport == "udp":
            framer, found = None, iter(frames_in_datagram(event.data, event.packet))
        else:
            framer = self._framers.setdefault(key, StreamFramer())
            found = framer.feed(event.data, event.packet, event.lost)
            self._unfinished.begin(key, event.packet)
        for item in found:
            yield self._observe(item, event.source, event.target)
        if framer is not None and not framer.holds:
            self._unfinished.settle(key, framer.unfinished)

    def pending(self) -> int | None:
        """Return the earliest packet that an observation made later may name; None where nothing waits."""
        return self._unfinished.earliest()

    def finish(self) -> Iterator[Observation]:
        """Yield what the streams end with, where it is no whole frame."""
        for key, framer in self._framers.items():
            for item in framer.finish():
                yield self._observe(item, key[0], key[1])

    def _observe(self, item: Found, sender: Endpoint, target: Endpoint) -> Observation:
        if not item.framed:
            error = f"{item.error}: {shown(item.data)}" if item.data else item.error
            return Observation(item.packet, None, crc_ok=False, error=error)
        envelope = read_envelope(item.data)
        ends = (target, sender) if envelope.type is FrameType.CMD else (sender, target)
        if item.error is not None:
            return Observation(item.packet, envelope, False, self._time(envelope, ends), error=item.error)
        try:
            return self._understand(item, envelope, ends)
        except InvalidInput as error:
            return Observation(item.packet, envelope, True, self._time(envelope, ends), error=error.explain())

    def _understand(self, item: Found, envelope: Envelope, ends: Ends) -> Observation:
        frame, payload = item.data, item.data[PREFIX.size : -CHECK]
        if envelope.type in {FrameType.CFG1, FrameType.CFG2, FrameType.CFG3}:
            configuration = self._configuration(frame, envelope, ends)
            t_ns = self._time(envelope, ends)
            return Observation(item.packet, envelope, True, t_ns, configuration=configuration)
        known = self.configurations.of(*ends, envelope.idcode, envelope.size)
        t_ns = None if known is None else envelope.t_ns(known.configuration.time_base)
        if envelope.type is FrameType.CMD:
            if len(payload) < 2:
                raise InvalidInput("a command frame without a command")
            number = int.from_bytes(payload[:2])
            return Observation(item.packet, envelope, True, t_ns, command=number, extended=payload[2:])
        if envelope.type is FrameType.HEADER:
            return Observation(item.packet, envelope, True, t_ns, header=text(payload))
        data = None if known is None else read_data(frame, known)
        return Observation(item.packet, envelope, True, t_ns, data=data)

    def _configuration(self, frame: bytes, envelope: Envelope, ends: Ends) -> Configuration | None:
        if envelope.type is FrameType.CFG3:
            key = (*ends, envelope.idcode)
            collector = self._pieces.setdefault(key, PieceCollector())
            if len(self._pieces) > REMEMBERED:
                self._pieces.popitem(last=False)
            configuration = collector.add(frame)
        else:
            configuration = read_configuration(frame)
        if configuration is not None:
            self.configurations.keep(*ends, configuration)
        return configuration

    def _time(self, envelope: Envelope, ends: Ends) -> int | None:
        known = self.configurations.of(*ends, envelope.idcode, envelope.size)
        return None if known is None else envelope.t_ns(known.configuration.time_base)
