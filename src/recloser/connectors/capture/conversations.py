"""Owns which TCP connections of a capture speak a protocol, and a cutter for each direction. Knows no protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from recloser.connectors.capture.cutting import Cut, Cutter, Measure
from recloser.connectors.capture.events import Chunk, Ended, Endpoint, Event
from recloser.connectors.capture.stream import Unfinished

Looks = Callable[[bytes], bool]
Key = tuple[Endpoint, Endpoint]


class Conversations:
    """Cuts the connections of one protocol; the others give nothing.

    Args:
        measure: as for `Cutter`.
        looks_like: whether a piece of a stream is frames of the protocol and nothing else.
        ports: the registered port and others that are told; a connection on one of them is taken to speak the protocol.
        wary: as for `Cutter`.
    """

    def __init__(self, measure: Measure, looks_like: Looks, ports: Collection[int], *, wary: bool = False) -> None:
        self._measure, self._looks_like, self._ports, self._wary = measure, looks_like, frozenset(ports), wary
        self._known: set[Key] = set()
        self._unfinished = Unfinished()
        self._cutters: dict[tuple[Endpoint, Endpoint, int], Cutter] = {}

    def add(self, event: Event) -> Iterator[tuple[Cut, Chunk | Ended]]:
        """Yield the frames that a piece of a stream completes, or the damage it or its end shows, and the event."""
        if isinstance(event, Ended):
            yield from ((cut, event) for cut in self._end(event))
        elif isinstance(event, Chunk) and event.transport == "tcp":
            yield from ((cut, event) for cut in self._feed(event))

    def pending(self) -> int | None:
        """Return the earliest packet of which bytes wait to be told; None where none do."""
        return self._unfinished.earliest()

    def _end(self, end: Ended) -> Iterator[Cut]:
        name = (end.source, end.target, end.connection)
        cutter = self._cutters.pop(name, None)
        if cutter is not None:
            yield from cutter.finish()
            self._unfinished.settle(name, None)

    def _feed(self, chunk: Chunk) -> Iterator[Cut]:
        key = (chunk.source, chunk.target)
        if key not in self._known:
            if self._ports.isdisjoint((chunk.source.port, chunk.target.port)) and not self._looks_like(chunk.data):
                return
            self._known |= {key, (chunk.target, chunk.source)}
        name = (*key, chunk.connection)
        cutter = self._cutters.get(name)
        if cutter is None:
            cutter = self._cutters[name] = Cutter(self._measure, wary=self._wary)
        self._unfinished.begin(name, chunk.packet)
        yield from cutter.feed(chunk.data, chunk.packet, chunk.lost)
        self._unfinished.settle(name, cutter.waiting)

    def finish(self) -> Iterator[tuple[Cut, Endpoint]]:
        """Yield what each stream ends in, where it is no whole frame, with its sender."""
        for name, cutter in self._cutters.items():
            for cut in cutter.finish():
                yield cut, name[0]
