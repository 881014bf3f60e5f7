"""Owns the rules of one IEC 104 connection as its controlling station: numbers, acknowledgements, timers. No I/O.

Sends STARTDT, general interrogations, S and TESTFR units only: no command can be built here.
Source: IEC 60870-5-104:2006, clause 5; times by its table 4.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from recloser.connectors.capture import Cutter
from recloser.connectors.iec104 import Asdu, measure, read_asdu
from recloser.core import Unavailable

STARTDT_ACT, STARTDT_CON, TESTFR_ACT, TESTFR_CON = 0x07, 0x0B, 0x43, 0x83
INTERROGATION, ACTIVATION, STATION = 100, 6, 20
NUMBERS = 1 << 15


@dataclass(frozen=True, slots=True)
class Iec104Timing:
    """Times in seconds, and units.

    Attributes:
        answer_s: t1, within which the peer must answer.
        acknowledge_s: t2, after which we acknowledge (below t1).
        idle_s: t3, after which we test.
        unacknowledged: w, units after which we acknowledge at once.
        interrogate_s: general interrogation again after this; 0 for only on connect.
    """

    answer_s: float = 15.0
    acknowledge_s: float = 10.0
    idle_s: float = 20.0
    unacknowledged: int = 8
    interrogate_s: float = 0.0


class Iec104Session:
    """One connection: told what came and the time, it says what to send and what was received.

    Args:
        stations: common addresses to interrogate.
        timing: times.
        now_s: monotonic seconds at the connection's start.
    """

    def __init__(self, stations: Sequence[int], timing: Iec104Timing, now_s: float) -> None:
        self._stations, self._timing = tuple(stations), timing
        self._cutter = Cutter(measure)
        self._out = [_control(STARTDT_ACT)]
        self._waiting_since: float | None = now_s  # for the answer to STARTDT or TESTFR
        self._heard_s, self._first_unacknowledged_s = now_s, now_s
        self._received = self._acknowledged = self._sent = self._sent_acknowledged = 0
        self._acknowledgeable = 0
        self._interrogated_s: float | None = None
        self.started = False

    def feed(self, data: bytes, now_s: float) -> list[Asdu]:
        """Return the data units in what came, also such as cannot be read (`error`); call `taken` once they are safe.

        Raises:
            Unavailable: the peer broke the rules; the connection must be closed.
        """
        self._heard_s = now_s
        units: list[Asdu] = []
        for cut in self._cutter.feed(data, 0):
            if cut.error is not None:
                raise Unavailable("bytes that are no unit", got=cut.error, next_step="The connection is made again.")
            first, send, receive = cut.data[2], *struct.unpack_from("<HH", cut.data, 2)
            if first & 3 == 3:
                self._answered(first)
                continue
            self._acknowledge_ours(receive >> 1)
            if not first & 1:
                units.append(self._number(send >> 1, cut.data[6:], now_s))
        return units

    def taken(self) -> None:
        """Say that all units returned so far are safe: they may be acknowledged."""
        self._acknowledgeable = self._received

    def outgoing(self, now_s: float) -> bytes:
        """Return what is to be sent now.

        Raises:
            Unavailable: the peer did not answer in time.
        """
        if self._waiting_since is not None and now_s - self._waiting_since > self._timing.answer_s:
            raise Unavailable("the device does not answer", expected=f"an answer within {self._timing.answer_s} s")
        if self.started and self._due(now_s):
            self._interrogated_s = now_s
            self._out += [self._interrogation(station) for station in self._stations]
        if self._waiting_since is None and now_s - self._heard_s > self._timing.idle_s:
            self._out.append(_control(TESTFR_ACT))
            self._waiting_since = now_s
        pending = (self._acknowledgeable - self._acknowledged) % NUMBERS
        late = pending and now_s - self._first_unacknowledged_s > self._timing.acknowledge_s
        if pending >= self._timing.unacknowledged or late:
            self._out.append(b"\x68\x04\x01\x00" + struct.pack("<H", self._acknowledgeable << 1))
            self._acknowledged = self._acknowledgeable
        whole, self._out = b"".join(self._out), []
        return whole

    def _due(self, now_s: float) -> bool:
        if self._interrogated_s is None:
            return True
        again = self._timing.interrogate_s
        return bool(again) and now_s - self._interrogated_s >= again

    def _answered(self, function: int) -> None:
        if function == TESTFR_ACT:
            self._out.append(_control(TESTFR_CON))
        elif function == STARTDT_CON:
            self.started, self._waiting_since = True, None
        elif function == TESTFR_CON:
            self._waiting_since = None
        elif function in {STARTDT_ACT, 0x13, 0x23}:
            raise Unavailable("the device stopped the transfer, or plays the controlling station", got=hex(function))

    def _number(self, sequence: int, body: bytes, now_s: float) -> Asdu:
        if sequence != self._received:
            raise Unavailable("a unit is missing", got=f"number {sequence}", expected=f"number {self._received}")
        asdu = read_asdu(body)
        if asdu is None:
            raise Unavailable(
                "a unit too short for its head", got=body.hex(), next_step="The connection is made again."
            )
        if self._acknowledged == self._received:
            self._first_unacknowledged_s = now_s
        self._received = (self._received + 1) % NUMBERS
        return asdu

    def _acknowledge_ours(self, number: int) -> None:
        if (number - self._sent_acknowledged) % NUMBERS > (self._sent - self._sent_acknowledged) % NUMBERS:
            raise Unavailable("an acknowledgement of what was not sent", got=number, expected=f"at most {self._sent}")
        self._sent_acknowledged = number

    def _interrogation(self, station: int) -> bytes:
        body = struct.pack("<BBBBH3xB", INTERROGATION, 1, ACTIVATION, 0, station, STATION)
        head = struct.pack("<HH", self._sent << 1, self._acknowledgeable << 1)
        self._acknowledged = self._acknowledgeable
        self._sent = (self._sent + 1) % NUMBERS
        return bytes([0x68, len(body) + 4]) + head + body


def _control(function: int) -> bytes:
    return bytes([0x68, 4, function, 0, 0, 0])
