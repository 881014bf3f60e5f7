"""Owns the rules of one DNP3 connection as its master: polls, confirmations, unsolicited responses, patience. No I/O.

Asks to read classes and to report by itself, and confirms; no command, no write and no setting of a clock can be built
here. Source: IEEE 1815-2012, clauses 4, 5, 9.
"""

from __future__ import annotations

from dataclasses import dataclass

from recloser.connectors.capture import Cutter
from recloser.connectors.dnp3 import Fragment, LinkFrame, Transport, link_frame, measure, read_fragment, read_link
from recloser.core import Unavailable

CONFIRM, READ, ENABLE_UNSOLICITED, RESPONSE, UNSOLICITED_RESPONSE = 0, 1, 20, 129, 130
EVENTS = bytes([60, 2, 6, 60, 3, 6, 60, 4, 6])
EVERYTHING = EVENTS + bytes([60, 1, 6])
FIRST_AND_LAST, CONFIRM_WANTED, UNSOLICITED = 0xC0, 0x20, 0x10
USER_DATA, LINK_STATUS, ACKNOWLEDGE = 0xC4, 0x8B, 0x80  # control bytes of a master
RESET_LINK, TEST_LINK, CONFIRMED_DATA, ASK_LINK_STATUS = 0, 2, 3, 9
RESTARTED, OVERFLOWN = 0x8000, 0x0008
SPOILT_POLLS = 2  # for everything, in a row, that hold what cannot be read: then another one would be of no use


@dataclass(frozen=True, slots=True)
class Dnp3Timing:
    """Times in seconds.

    Attributes:
        answer_s: within which a request must be answered.
        poll_s: between two polls for events.
        integrity_s: everything is asked for again after this; 0 for only on connect, after a restart of the device and
            when its buffer of events was full.
        unsolicited: ask the device to report events by itself.
    """

    answer_s: float = 10.0
    poll_s: float = 5.0
    integrity_s: float = 3600.0
    unsolicited: bool = True


class Dnp3Session:
    """One connection: told what came and the time, it says what to send and what was received.

    Args:
        master: our address.
        outstation: the device's.
        timing: times.
        now_s: monotonic seconds at the connection's start.
    """

    def __init__(self, master: int, outstation: int, timing: Dnp3Timing, now_s: float) -> None:
        self._master, self._outstation, self._timing = master, outstation, timing
        self._cutter, self._transport = Cutter(measure), Transport()
        self._out: list[bytes] = []
        self._confirms: list[bytes] = []
        self._sequence = self._segment = 0
        self._asked: tuple[int, float] | None = None  # sequence of the request under way, and when
        self._everything_due, self._events_due = now_s, now_s
        self._report_wanted = timing.unsolicited
        self._trouble = 0
        self._asked_everything_s = now_s
        self._polling_everything = False  # by the request under way
        self._spoilt = False  # what has come of its answer
        self._spoilt_polls = 0
        self.started = False

    def feed(self, data: bytes, now_s: float) -> list[Fragment]:
        """Return the responses in what came; call `taken` once they are safe.

        Raises:
            Unavailable: the connection is of no use any more and must be closed.
        """
        fragments: list[Fragment] = []
        for cut in self._cutter.feed(data, 0):
            if cut.error is not None:
                raise Unavailable("bytes that are no frame", got=cut.error, next_step="The connection is made again.")
            frame = read_link(cut.data)
            if frame.error is not None:
                raise Unavailable("a damaged frame", got=frame.error, next_step="The connection is made again.")
            if frame.target == self._master and frame.source == self._outstation:
                fragments += self._frame(frame, now_s)
        return fragments

    def taken(self) -> None:
        """Say that all responses returned so far are safe: they may be confirmed."""
        self._out += self._confirms
        self._confirms = []

    def outgoing(self, now_s: float) -> bytes:
        """Return what is to be sent now.

        Raises:
            Unavailable: the device did not answer in time.
        """
        if self._asked is not None and now_s - self._asked[1] > self._timing.answer_s:
            raise Unavailable("the device does not answer", expected=f"an answer within {self._timing.answer_s} s")
        if self._asked is None:
            self._ask(now_s)
        whole, self._out = b"".join(self._out), []
        return whole

    def _ask(self, now_s: float) -> None:
        if now_s >= self._everything_due:
            self._everything_due = now_s + (self._timing.integrity_s or float("inf"))
            self._asked_everything_s = now_s
            self._events_due = now_s + self._timing.poll_s
            self._request(READ, EVERYTHING, now_s)
        elif self._report_wanted:
            self._report_wanted = False
            self._request(ENABLE_UNSOLICITED, EVENTS, now_s)
        elif now_s >= self._events_due:
            self._events_due = now_s + self._timing.poll_s
            self._request(READ, EVENTS, now_s)

    def _request(self, function: int, objects: bytes, now_s: float) -> None:
        self._polling_everything, self._spoilt = objects == EVERYTHING, False
        self._sequence = (self._sequence + 1) % 16
        self._asked = self._sequence, now_s
        self._out.append(self._framed(bytes([FIRST_AND_LAST | self._sequence, function]) + objects))

    def _framed(self, fragment: bytes) -> bytes:
        """Return a short fragment in one transport segment and one link frame."""
        segment = bytes([FIRST_AND_LAST | self._segment]) + fragment
        self._segment = (self._segment + 1) % 64
        return link_frame(self._master, self._outstation, segment, USER_DATA)

    def _frame(self, frame: LinkFrame, now_s: float) -> list[Fragment]:
        if not frame.primary:
            return []
        if frame.function in {RESET_LINK, TEST_LINK, CONFIRMED_DATA}:
            self._out.append(link_frame(self._master, self._outstation, b"", ACKNOWLEDGE))
        elif frame.function == ASK_LINK_STATUS:
            self._out.append(link_frame(self._master, self._outstation, b"", LINK_STATUS))
        if not frame.carries or not frame.data:
            return []
        whole = self._transport.add(frame.source, frame.data)
        if isinstance(whole, str):
            raise Unavailable("a segment that fits nowhere", got=whole, next_step="The connection is made again.")
        return [] if whole is None else self._fragment(read_fragment(whole), now_s)

    def _fragment(self, fragment: Fragment, now_s: float) -> list[Fragment]:
        sequence = fragment.control & 15
        if fragment.function == UNSOLICITED_RESPONSE:
            self._confirm(sequence | UNSOLICITED)
        elif fragment.function == RESPONSE and self._asked is not None and sequence == self._asked[0]:
            if fragment.control & CONFIRM_WANTED:
                self._confirm(sequence)
            if fragment.control & 0x40:  # the last of this response
                self._asked, self.started = None, True
            else:
                self._sequence = (sequence + 1) % 16
                self._asked = self._sequence, now_s
        else:
            return []
        if fragment.error is not None:
            raise Unavailable("a response that cannot be read", got=fragment.error)
        self._heed(fragment.indications or 0, now_s)
        self._mind(fragment, now_s)
        return [fragment]

    def _heed(self, indications: int, now_s: float) -> None:
        """Ask for everything again when the device begins to say that it restarted or lost events."""
        trouble = indications & (RESTARTED | OVERFLOWN)
        if trouble & ~self._trouble and self.started:
            self._everything_due = now_s
            self._report_wanted = self._timing.unsolicited
        self._trouble = trouble

    def _mind(self, fragment: Fragment, now_s: float) -> None:
        """Ask for everything again where an object cannot be read: what followed it is lost once it is confirmed.

        No more than `SPOILT_POLLS` in a row whose own answers hold such objects, and no faster than events are polled.
        """
        unread = bool(unreadable(fragment))
        if fragment.function == RESPONSE and self._polling_everything:
            self._spoilt |= unread
            if self._asked is not None:
                return  # the answer goes on
            self._spoilt_polls = self._spoilt_polls + 1 if self._spoilt else 0
            unread = self._spoilt
        if unread and self._spoilt_polls < SPOILT_POLLS:
            self._everything_due = min(self._everything_due, max(now_s, self._asked_everything_s + self._timing.poll_s))

    def _confirm(self, sequence: int) -> None:
        self._confirms.append(self._framed(bytes([FIRST_AND_LAST | sequence, CONFIRM])))


def unreadable(fragment: Fragment) -> list[str]:
    """Return why objects of a response cannot be read, and with them what follows in it."""
    return [point.error for point in fragment.points if point.error is not None]
