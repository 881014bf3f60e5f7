"""Owns patience with one connection: how long and how big a request may come in, how slowly its answer may be taken.

Reads no content.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recloser.serving.http.admission.limits import TrafficLimits
from recloser.serving.http.edge import problem

Refusal = tuple[int, str, str]

SLOW: Refusal = (408, "Request timeout", "The request did not come in within the time it has.")
BIG: Refusal = (431, "Request header fields too large", "The request line and headers are larger than allowed.")
FULL: Refusal = (503, "Too many connections", "This server has no room for another connection.")


LEAST_BYTES_PER_SECOND = 4_096
"""Of an answer that a caller must take."""


class PatientProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with bounds: headers and body must come in time, headers must be small, connections few.

    An answer must be taken, if slowly. A request that comes in one piece arms no timer. What is too slow or too big
    gets a problem document, as far as its answer has not begun, and the connection is closed.
    """

    limits: ClassVar[TrafficLimits] = TrafficLimits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection in, if there is room."""
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._in_headers, self._in_body, self._header_bytes, self._silent = True, False, 0, True
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(FULL)
            return
        self._arm(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._disarm()
        self._written()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and judge how far the request has come."""
        if self.transport.is_closing():
            return
        self._silent, begun_in_headers = False, self._in_headers
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_headers and begun_in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > self.limits.header_bytes:
                self._refuse(BIG)

    def on_message_begin(self) -> None:
        """Begin a request; the first one of a connection has had its timer since the connection was made."""
        super().on_message_begin()
        self._in_headers, self._in_body = True, False
        if self._timer is None:
            self._arm(self.limits.header_seconds)

    def on_headers_complete(self) -> None:
        """Begin the body."""
        self._disarm()
        self._in_headers, self._in_body, self._header_bytes = False, True, 0
        if sum(len(name) + len(text) for name, text in self.headers) + len(self.url) > self.limits.header_bytes:
            self._refuse(BIG)
            return
        super().on_headers_complete()
        self._arm(self.limits.body_seconds)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body in, unless the connection is being closed."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if self.transport.is_closing():
            return
        self._disarm()
        self._in_body = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Begin to watch a caller that does not take its answer."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Watch it no more."""
        self._written()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Watch a caller that has not taken all of its answer, also where the connection ends with it."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._watch_writing()

    def _watch_writing(self) -> None:
        if self._write_timer is None:
            left = self.transport.get_write_buffer_size()
            self._write_timer = self.loop.call_later(self.limits.write_seconds, self._judge_writing, left)

    def _judge_writing(self, before: int) -> None:
        """End a connection that took too little since; what it does not take cannot be sent, nor be waited for."""
        self._write_timer = None
        left = self.transport.get_write_buffer_size()
        if left and before - left < LEAST_BYTES_PER_SECOND * self.limits.write_seconds:
            self.transport.abort()
        elif left:
            self._watch_writing()

    def _written(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse((400, "Bad request", msg))

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._refuse, SLOW)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refusal: Refusal) -> None:
        """Answer unless an answer has begun, and close."""
        self._disarm()
        if self.transport is None or self.transport.is_closing():
            return
        begun = self._silent and refusal is SLOW  # nobody asked anything
        begun = begun or (self._in_body and self.cycle is not None and self.cycle.response_started)
        if not begun:
            response = problem(*refusal)
            response.headers.update({"connection": "close"})
            lines = [f"HTTP/1.1 {response.status_code} {refusal[1]}\r\n".encode()]
            lines += [name + b": " + text + b"\r\n" for name, text in response.raw_headers]
            self.transport.write(b"".join([*lines, b"\r\n", bytes(response.body)]))
        if self._in_body and self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def protocol_with(limits: TrafficLimits) -> type[PatientProtocol]:
    """Return the protocol with these limits, as uvicorn takes it."""
    members: dict[str, Any] = {"limits": limits, "__doc__": PatientProtocol.__doc__}
    return type("PatientProtocol", (PatientProtocol,), members)
