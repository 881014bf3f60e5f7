"""Owns the stream of events: the seam, and a bounded buffer of them in memory. Does not write server-sent events."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from recloser.core import InvalidInput, Refused


@dataclass(frozen=True, slots=True)
class Event:
    """Something a client may want to hear of.

    Attributes:
        id: rises from event to event.
        kind: 'forecast', 'recall', 'route', ... or 'gap': events were missed, read the current state again.
        data: JSON-ready.
    """

    id: int
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


class EventSource(Protocol):
    """Gives events to any number of listeners.

    Every event after `after` comes once and in order; what is no longer known comes as one event of kind 'gap'.
    A slow listener costs no memory beyond the source's own bound.
    """

    def stream(self, after: int | None) -> AsyncGenerator[Event, None]:
        """Yield the events with a higher id than `after`, then new ones; None: new ones only. Ends with the source."""
        ...


class EventBuffer:
    """Keeps the last `capacity` events; `publish` and `close` may be called from any thread.

    Args:
        capacity: number of events that can be resumed from.
        first_id: id of the first event; a stream that left off before it is told of a gap.
    """

    def __init__(self, capacity: int = 1024, first_id: int = 1) -> None:
        if capacity < 1 or first_id < 1:
            raise InvalidInput("an event buffer that can hold nothing", got=(capacity, first_id), expected=">= 1")
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=capacity)
        self._newest = first_id - 1
        self._forgotten = first_id - 1
        self._closed = False
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def publish(self, kind: str, data: Mapping[str, Any], event_id: int | None = None) -> Event:
        """Add an event and wake the listeners; its id is the next one, or the one given, which may leave some out.

        Raises:
            Refused: the buffer is closed.
            InvalidInput: an id that does not rise.
        """
        with self._lock:
            if self._closed:
                raise Refused("the event buffer is closed", got=kind)
            if event_id is not None and event_id <= self._newest:
                raise InvalidInput("an event id that does not rise", got=event_id, expected=f"> {self._newest}")
            event = Event(self._newest + 1 if event_id is None else event_id, kind, dict(data))
            self._newest = event.id
            if len(self._events) == self._events.maxlen:
                self._forgotten = self._events[0].id
            self._events.append(event)
            self._wake()
        return event

    def close(self) -> None:
        """End every stream once it has delivered what there is; a server can then stop without waiting."""
        with self._lock:
            self._closed = True
            self._wake()

    def _wake(self) -> None:
        for listener, loop in self._listeners.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(listener.set)

    async def stream(self, after: int | None) -> AsyncGenerator[Event, None]:
        """Yield events after the id `after`, or from now on; see `EventSource`."""
        woken = asyncio.Event()
        with self._lock:
            self._listeners[woken] = asyncio.get_running_loop()
            cursor = self._newest if after is None else after
        try:
            while True:
                woken.clear()
                with self._lock:
                    due, cursor, closed = *self._due(cursor), self._closed
                for event in due:
                    yield event
                if closed and not due:
                    return
                if not due:
                    await woken.wait()
        finally:
            with self._lock:
                self._listeners.pop(woken, None)

    def _due(self, cursor: int) -> tuple[list[Event], int]:
        """Return the events after the cursor, led by a 'gap' where some are lost, and the new cursor."""
        newest, kept = self._newest, [event for event in self._events if event.id > cursor]
        if cursor > newest or cursor < self._forgotten:
            before = newest if not kept else kept[0].id - 1
            kept = [Event(before, "gap"), *kept]
        return kept, newest
