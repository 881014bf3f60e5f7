"""Owns the rules of one STTP connection as a subscriber: modes, metadata, subscription, packets in order. No I/O.

Sends no control: a subscriber can only ask for metadata, subscribe, and confirm. Source: IEEE 2664-2024, clause 5.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from recloser.connectors.capture import Cutter
from recloser.connectors.live.sttp.wanted import Wanted, resolve
from recloser.connectors.points import Point
from recloser.connectors.sttp import (
    Answer,
    Command,
    PacketFlag,
    Response,
    TsscDamage,
    TsscDecoder,
    command,
    measure,
    operational_modes,
    read_answer,
    read_base_times,
    read_compact,
    read_metadata,
    read_signals,
    sentence,
    subscription,
    unpacked,
)
from recloser.core import Unavailable

TSSC_VERSION, NUMBERS = 85, 1 << 16
PASSED_OVER = {Response.DATA_START_TIME, Response.UPDATE_CIPHER_KEYS, Response.NO_OPERATION}  # keys are of datagrams


@dataclass(frozen=True, slots=True)
class SttpTiming:
    """Times in seconds, and what is asked for.

    Attributes:
        answer_s: within which the publisher must answer each question.
        silence_s: without a byte the connection is lost; publishers send an empty frame every 5 s.
        compressed: TSSC is asked for; its flags have 32 bits, those of the compact form 8.
    """

    answer_s: float = 10.0
    silence_s: float = 20.0
    compressed: bool = True


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a wanted signal: ticks (None where none are told), state flags, value."""

    point: Point
    ticks: int | None
    flags: int
    number: float


@dataclass(frozen=True, slots=True)
class Told:
    """What one frame gives.

    Attributes:
        values: of wanted signals, in their order.
        compact: flags are the 8 of the compact form.
        absent: points that the publisher does not grant, told once.
        block: a point's block of bytes came, which is no number.
    """

    values: Sequence[Value] = ()
    compact: bool = False
    absent: Sequence[Point] = ()
    block: Point | None = None


@dataclass(slots=True)
class _Table:
    """One of the two signal index caches: whose value an index is, and what its compression remembers."""

    signals: Mapping[int, UUID]
    points: dict[int, Point]
    decoder: TsscDecoder = field(default_factory=TsscDecoder)
    next_number: int = 0


class SttpSession:
    """One connection: told what came and the time, it says what to send and what was received.

    Args:
        points: what is wanted.
        timing: times.
        now_s: monotonic seconds at the connection's start.
    """

    def __init__(self, points: Sequence[Point], timing: SttpTiming, now_s: float) -> None:
        self._points, self._timing = tuple(points), timing
        self._cutter = Cutter(measure)
        self._out = [operational_modes(compressed=timing.compressed), command(Command.METADATA_REFRESH)]
        self._heard_s = now_s
        self._waiting: tuple[float, str] | None = (now_s, "metadata")
        self._tables: dict[int, _Table] = {}
        self._base = (0, 0)
        self._granted = False
        self.wanted: Wanted | None = None
        self.packets = self.values = self.foreign = self.notices = 0

    @property
    def started(self) -> bool:
        """Return whether the subscription is granted and its signals are known."""
        return self._granted and bool(self._tables)

    def feed(self, data: bytes, now_s: float) -> list[Told]:
        """Return what the frames in these bytes tell.

        Raises:
            Unavailable: the publisher refused, broke the rules, or changed what the points are; or a packet is missing.
        """
        self._heard_s = now_s
        found: list[Told] = []
        for cut in self._cutter.feed(data, 0):
            if cut.error is not None:
                raise Unavailable("bytes that are no frame", got=cut.error, next_step="The connection is made again.")
            try:
                told = self._take(read_answer(cut.data), now_s)
            except (ValueError, TsscDamage, struct.error) as error:
                raise Unavailable("a frame that cannot be read", got=str(error)) from error
            found += [told] if told is not None else []
        return found

    def taken(self) -> None:
        """Note that what was fed is durable; the protocol acknowledges no values."""

    def outgoing(self, now_s: float) -> bytes:
        """Return what is to be sent now.

        Raises:
            Unavailable: the publisher did not answer in time, or is silent.
        """
        if self._waiting is not None and now_s - self._waiting[0] > self._timing.answer_s:
            limit = f"it within {self._timing.answer_s} s"
            raise Unavailable(f"the publisher does not send {self._waiting[1]}", expected=limit)
        if now_s - self._heard_s > self._timing.silence_s:
            raise Unavailable("the publisher is silent", expected=f"a frame within {self._timing.silence_s} s")
        whole, self._out = b"".join(self._out), []
        return whole

    def _take(self, frame: Answer, now_s: float) -> Told | None:
        code = frame.code
        if code == Response.DATA_PACKET:
            return self._packet(frame.data)
        if code == Response.UPDATE_SIGNAL_INDEX_CACHE:
            return self._signals(frame.data)
        if code == Response.UPDATE_BASE_TIMES:
            self._base = read_base_times(frame.data)
            self._out.append(command(Command.CONFIRM_UPDATE_BASE_TIMES))
        elif code == Response.BUFFER_BLOCK:
            return self._block(frame.data)
        elif code == Response.CONFIGURATION_CHANGED:
            if self._waiting is None:
                self._out.append(command(Command.METADATA_REFRESH))
                self._waiting = (now_s, "metadata")
        elif code == Response.PROCESSING_COMPLETE:
            raise Unavailable("the publisher ended the stream", got=sentence(frame.data))
        elif code in {Response.SUCCEEDED, Response.FAILED}:
            self._answered(frame, now_s)
        elif code == Response.NOTIFY:
            self.notices += 1
        elif code not in PASSED_OVER and not 0xE0 <= code <= 0xEF:
            raise Unavailable("an answer that STTP does not know", got=hex(code))
        return None

    def _answered(self, frame: Answer, now_s: float) -> None:
        failed = frame.code == Response.FAILED
        if frame.command == Command.METADATA_REFRESH:
            if failed and self.wanted is not None:
                self._waiting = None  # asked again because the configuration changed
                return
            signals = [] if failed else read_metadata(unpacked(frame.data))
            wanted = resolve(self._points, signals, refused=sentence(frame.data) if failed else None)
            self._subscribe(wanted, now_s)
        elif failed:
            asked = Command(frame.command).name if frame.command in set(Command) else hex(frame.command)
            raise Unavailable(f"the publisher refused: {asked.lower()}", got=sentence(frame.data))
        elif frame.command == Command.SUBSCRIBE:
            self._granted = True
            self._waiting = None if self._tables else (now_s, "its table of signals")

    def _subscribe(self, wanted: Wanted, now_s: float) -> None:
        before, self.wanted = self.wanted, wanted
        self._waiting = None
        if before is None:
            self._out.append(subscription(wanted.expression))
            self._waiting = (now_s, "an answer to the subscription")
        elif before.points != wanted.points:
            raise Unavailable("the publisher's signals changed", next_step="The connection is made again.")

    def _signals(self, data: bytes) -> Told:
        if self.wanted is None or not data:
            raise ValueError("a table of signals that nobody asked for")
        signals = read_signals(unpacked(data[1:])).signals
        points = {index: self.wanted.points[one] for index, one in signals.items() if one in self.wanted.points}
        self._tables[1 if data[0] else 0] = _Table(signals, points)
        self._out.append(command(Command.CONFIRM_UPDATE_SIGNAL_INDEX_CACHE))
        if self._granted:
            self._waiting = None
        granted = {point.name for point in points.values()}
        return Told(absent=[point for point in self._points if point.name not in granted])

    def _packet(self, data: bytes) -> Told:
        flags, count = struct.unpack_from(">BI", data)
        table = self._tables.get(1 if flags & PacketFlag.CACHE_INDEX else 0)
        if table is None:
            raise ValueError("values without a table of signals")
        found: list[tuple[int, int | None, int, float]]
        if compact := not flags & PacketFlag.COMPRESSED:
            found = [(one.index, one.ticks, one.flags, one.value) for one in read_compact(data[5:], count, self._base)]
        else:
            found = list(self._compressed(table, data[5:], count))
        values: list[Value] = []
        for index, ticks, state, number in found:
            point = table.points.get(index)
            if point is not None:
                values.append(Value(point, ticks, state, number))
            elif index in table.signals:
                self.foreign += 1
            else:
                raise ValueError(f"a value of signal {index}, which the table of signals has not")
        self.packets += 1
        self.values += len(values)
        return Told(values, compact)

    def _compressed(self, table: _Table, data: bytes, count: int) -> Sequence[tuple[int, int, int, float]]:
        version, number = struct.unpack_from(">BH", data)
        if version != TSSC_VERSION:
            raise ValueError(f"version {version} of TSSC, where {TSSC_VERSION} is known")
        if number == 0:
            table.decoder, table.next_number = TsscDecoder(), 0
        if number != table.next_number:
            got, awaited = f"number {number}", f"number {table.next_number}"
            raise Unavailable("a packet is missing", got=got, expected=awaited)
        table.next_number = number + 1 if number + 1 < NUMBERS else 1  # 0 begins anew
        return table.decoder.decode(data[3:], count)

    def _block(self, data: bytes) -> Told | None:
        """Confirm a block of bytes, or it comes again and again; that it is not kept is told."""
        if len(data) < 9:
            raise ValueError("a block that is cut off")
        if data[4] & 1:
            self._out.append(command(Command.CONFIRM_BUFFER_BLOCK, data[:4]))
        table = self._tables.get(1 if data[4] & PacketFlag.CACHE_INDEX else 0)
        point = None if table is None else table.points.get(struct.unpack_from(">I", data, 5)[0])
        return None if point is None else Told(block=point)
