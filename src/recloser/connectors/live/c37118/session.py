"""Owns the rules of one C37.118 connection as a client: handshake, configuration, batches of data, patience. No I/O.

Sends commands about the transfer only (off, on, send CFG-2 or CFG-3): nothing that acts on the plant can be built here.
Source: IEEE C37.118.2-2011, clause 6.6; the budget of errors is openPDC's (10 in 5 s).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.c37118 import (
    Configuration,
    DataBatch,
    Found,
    FrameType,
    Layout,
    PieceCollector,
    StreamFramer,
    begins_frame,
    command_frame,
    frames_in_datagram,
    layout_of,
    leading_frames,
    plausible,
    read_batch,
    read_configuration,
    read_envelope,
)
from recloser.core import InvalidInput, Unavailable

OFF, ON, SEND_CFG2, SEND_CFG3 = 1, 2, 5, 6
ERRORS, WITHIN_S = 10, 5.0
CHANGED = 0x0400
KINDS = {2: (SEND_CFG2, FrameType.CFG2), 3: (SEND_CFG3, FrameType.CFG3)}


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What holds for a connection.

    Attributes:
        answer_s: within which the configuration, and then each next frame, must come.
        kind: of configuration that is asked for, 2 or 3.
        repeat_s: a command without effect is sent again after this (datagrams get lost); None for never.
        listens: commands are not sent: configuration and data come by themselves.
    """

    answer_s: float = 10.0
    kind: int = 2
    repeat_s: float | None = None
    listens: bool = False


class C37118Session:
    """One connection: told what came and the time, it says what to send and what was received.

    Args:
        idcode: identity of the stream.
        rules: of the connection.
        now_s: monotonic seconds at the connection's start.
    """

    def __init__(self, idcode: int, rules: SessionRules, now_s: float) -> None:
        self._idcode, self._rules = idcode, rules
        self._framer, self._pieces = StreamFramer(), PieceCollector()
        self._send_configuration, self._wanted = KINDS[rules.kind]
        self._out: list[bytes] = []
        self._rest = b""
        self._changing: NDArray[np.bool_] | None = None
        self._heard_s = self._said_s = now_s
        self._errors: deque[float] = deque()
        self._asked = self._waits_for_data = False
        self.layout: Layout | None = None
        self.damaged = self.configurations = 0
        self._ask()  # alone: some devices read one command a segment

    def feed(self, data: bytes, now_s: float) -> list[DataBatch]:
        """Return the data in the next bytes of a stream, neighbouring frames of one configuration together.

        Raises:
            Unavailable: too many damaged frames; the connection must be closed.
        """
        whole, self._rest = self._rest + data, b""
        layout = self.layout
        if layout is None or not self._framer.empty:
            return self._search(whole, now_s)
        size = leading_frames(whole, layout) * layout.size
        batches = [read_batch(whole[:size], layout)] if size else []  # the usual case: data after data
        for batch in batches:
            if not batch.crc_ok.all():
                return self._search(whole, now_s)
            self._took(batch, now_s)
        if begins_frame(whole[size:], layout):
            self._rest = whole[size:]
            return batches
        return batches + self._search(whole[size:], now_s)

    def _search(self, data: bytes, now_s: float) -> list[DataBatch]:
        """Take bytes among which there may be anything, frame by frame."""
        batches = self._take(self._framer.feed(data, 0), now_s)
        left = self._framer.waiting
        if self.layout is not None and left and begins_frame(left, self.layout):
            self._rest = self._framer.release()
        return batches

    def feed_datagrams(self, datagrams: Sequence[bytes], now_s: float) -> list[DataBatch]:
        """Return the data in some datagrams, each of whole frames; what is no C37.118 is passed over.

        Raises:
            Unavailable: too many damaged frames.
        """
        layout = self.layout
        plain = [Found(0, data) for data in datagrams] if layout is not None else []
        if plain and all(self._is_data(item) for item in plain):  # the usual case: the check words are in the batch
            return self._take(plain, now_s)
        return self._take((found for data in datagrams for found in frames_in_datagram(data, 0)), now_s)

    def outgoing(self, now_s: float) -> list[bytes]:
        """Return the frames that are to be sent now, each alone in its datagram.

        Raises:
            Unavailable: nothing good came for too long.
        """
        if now_s - self._heard_s > self._rules.answer_s:
            what = "data" if self.layout is not None else "a configuration"
            raise Unavailable("the device does not answer", expected=f"{what} within {self._rules.answer_s} s")
        again = self._rules.repeat_s
        if again is not None and not self._out and now_s - self._said_s >= again:
            if self._asked:
                self._out.append(command_frame(self._idcode, self._send_configuration))
            elif self._waits_for_data:
                self._out.append(command_frame(self._idcode, ON))
        if self._out:
            self._said_s = now_s
        out, self._out = self._out, []
        return [] if self._rules.listens else out

    def goodbye(self) -> bytes:
        """Return what ends the transfer in order; nothing where commands are not sent."""
        return b"" if self._rules.listens else command_frame(self._idcode, OFF)

    def _take(self, found: Iterable[Found], now_s: float) -> list[DataBatch]:
        batches: list[DataBatch] = []
        for is_data, items in groupby(found, self._is_data):
            if not is_data or self.layout is None:
                for item in items:
                    self._other(item, now_s)
                continue
            batch = read_batch([item.data for item in items], self.layout)
            good = batch.crc_ok
            if not good.all():
                for _ in range(int((~good).sum())):
                    self._damage("wrong check word", now_s)
                batch = batch.rows(good)
            if len(batch.t_ns):
                batches.append(batch)
                self._took(batch, now_s)
        return batches

    def _took(self, batch: DataBatch, now_s: float) -> None:
        """Take note of good data; a change that a PMU announces (for a minute) is asked about once."""
        self._heard_s, self._waits_for_data = now_s, False
        changes = (batch.stats & CHANGED) != 0
        if self._changing is not None and (changes.any(axis=0) & ~self._changing).any():
            self._ask()
        self._changing = changes[-1]

    def _is_data(self, item: Found) -> bool:
        layout = self.layout
        if item.error is not None or layout is None or len(item.data) != layout.size or not plausible(item.data):
            return False
        envelope = read_envelope(item.data)
        whole = envelope.size == len(item.data)
        return whole and envelope.type is FrameType.DATA and envelope.idcode == self._idcode

    def _other(self, item: Found, now_s: float) -> None:
        if item.error is not None:
            self._damage(item.error, now_s)
            return
        envelope = read_envelope(item.data)
        if envelope.idcode != self._idcode:
            return
        if envelope.type is FrameType.DATA:
            if self.layout is not None:
                self._ask()  # of another size: the configuration has changed
        elif envelope.type is self._wanted or (
            self._rules.listens and envelope.type in {FrameType.CFG2, FrameType.CFG3}
        ):
            self._configure(item.data, envelope.type, now_s)

    def _configure(self, frame: bytes, kind: FrameType, now_s: float) -> None:
        try:
            found: Configuration | None = (
                self._pieces.add(frame) if kind is FrameType.CFG3 else read_configuration(frame)
            )
        except InvalidInput as error:
            self._damage(error.explain(), now_s)
            return
        self._heard_s = now_s
        if found is None:
            return
        if self.layout is None or found != self.layout.configuration:
            first = self.layout is None
            self.layout = layout_of(found)
            self.configurations += 1
            self._changing = np.zeros(len(found.pmus), bool) if first else None
        self._asked, self._waits_for_data = False, True
        self._out = [command_frame(self._idcode, ON)]
        self._said_s = now_s

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._out.append(command_frame(self._idcode, self._send_configuration))

    def _damage(self, reason: str, now_s: float) -> None:
        self.damaged += 1
        self._errors.append(now_s)
        while now_s - self._errors[0] > WITHIN_S:
            self._errors.popleft()
        if len(self._errors) > ERRORS:
            raise Unavailable("too many damaged frames", got=reason, expected=f"at most {ERRORS} in {WITHIN_S} s")
