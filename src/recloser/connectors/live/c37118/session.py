"""Owns the rules of one C37.118 connection as a client: handshake, configuration, batches of data, patience. No I/O.

Sends commands about the transfer only (off, on, send CFG-2): nothing that acts on the plant can be built here.
Source: IEEE C37.118.2-2011, clause 6.6; the budget of errors is openPDC's (10 in 5 s).
"""

from __future__ import annotations

from collections import deque
from itertools import groupby

from recloser.connectors.c37118 import (
    DataBatch,
    Found,
    FrameType,
    Layout,
    StreamFramer,
    command_frame,
    layout_of,
    read_batch,
    read_configuration,
    read_envelope,
)
from recloser.core import InvalidInput, Unavailable

OFF, ON, SEND_CFG2 = 1, 2, 5
ERRORS, WITHIN_S = 10, 5.0
CHANGED = 0x0400


class C37118Session:
    """One connection: told what came and the time, it says what to send and what was received.

    Args:
        idcode: identity of the stream.
        answer_s: within which the configuration, and then each next frame, must come.
        now_s: monotonic seconds at the connection's start.
    """

    def __init__(self, idcode: int, answer_s: float, now_s: float) -> None:
        self._idcode, self._answer_s = idcode, answer_s
        self._framer = StreamFramer()
        self._out = [command_frame(idcode, SEND_CFG2)]  # alone: some devices read one command a segment
        self._heard_s = now_s
        self._errors: deque[float] = deque()
        self._asked = True
        self.layout: Layout | None = None
        self.damaged = 0

    def feed(self, data: bytes, now_s: float) -> list[DataBatch]:
        """Return the data in what came, neighbouring frames of one configuration together.

        Raises:
            Unavailable: too many damaged frames; the connection must be closed.
        """
        batches: list[DataBatch] = []
        found = list(self._framer.feed(data, 0))
        for is_data, items in groupby(found, self._is_data):
            if is_data and self.layout is not None:
                self._heard_s = now_s
                batches.append(read_batch([item.data for item in items], self.layout))
                if (batches[-1].stats & CHANGED).any():
                    self._ask()
                continue
            for item in items:
                self._other(item, now_s)
        return batches

    def outgoing(self, now_s: float) -> bytes:
        """Return what is to be sent now.

        Raises:
            Unavailable: nothing good came for too long.
        """
        if now_s - self._heard_s > self._answer_s:
            what = "data" if self.layout is not None else "a configuration"
            raise Unavailable("the device does not answer", expected=f"{what} within {self._answer_s} s")
        whole, self._out = b"".join(self._out), []
        return whole

    def goodbye(self) -> bytes:
        """Return what ends the transfer in order."""
        return command_frame(self._idcode, OFF)

    def _is_data(self, item: Found) -> bool:
        layout = self.layout
        if item.error is not None or layout is None or len(item.data) != layout.size:
            return False
        envelope = read_envelope(item.data)
        return envelope.type is FrameType.DATA and envelope.idcode == self._idcode

    def _other(self, item: Found, now_s: float) -> None:
        if item.error is not None:
            self._damage(item.error, now_s)
            return
        envelope = read_envelope(item.data)
        if envelope.type is FrameType.DATA:
            if envelope.idcode == self._idcode and self.layout is not None:
                self._ask()  # of another size: the configuration has changed
        elif envelope.type is FrameType.CFG2 and envelope.idcode == self._idcode:
            try:
                self.layout = layout_of(read_configuration(item.data))
            except InvalidInput as error:
                self._damage(error.explain(), now_s)
                return
            self._heard_s, self._asked = now_s, False
            self._out.append(command_frame(self._idcode, ON))

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._out.append(command_frame(self._idcode, SEND_CFG2))

    def _damage(self, reason: str, now_s: float) -> None:
        self.damaged += 1
        self._errors.append(now_s)
        while now_s - self._errors[0] > WITHIN_S:
            self._errors.popleft()
        if len(self._errors) > ERRORS:
            raise Unavailable("too many damaged frames", got=reason, expected=f"at most {ERRORS} in {WITHIN_S} s")
