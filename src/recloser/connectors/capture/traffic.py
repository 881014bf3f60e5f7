"""Owns the way from packets to conversations: UDP datagrams and ordered TCP bytes. Does not own their meaning."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from recloser.connectors.capture.connections import Connections, Route
from recloser.connectors.capture.events import Chunk, Damage, Endpoint, Event, LinkFrame, Packet
from recloser.connectors.capture.file import read_packets
from recloser.connectors.capture.internet import Datagram, Internet
from recloser.connectors.capture.link import IPV4, IPV6, open_link
from recloser.connectors.capture.tcp import Segment
from recloser.connectors.capture.tunnel import inside

TCP, UDP = 6, 17
MOST_TUNNELS = 4


class Traffic:
    """Follows all conversations of a capture.

    Memory is bounded by the number of conversations and, in each, by the segments that wait for a missing one.
    """

    def __init__(self) -> None:
        self._internet = Internet()
        self._connections: dict[Route, Connections] = {}
        self._late: set[Connections] = set()  # those of which segments wait

    def add(self, packet: Packet, depth: int = 0) -> Iterator[Event]:
        """Yield what the packet brings: pieces of conversations, or a link frame that is not IP.

        Args:
            packet: as recorded, or what a tunnel carried.
            depth: tunnels around it.
        """
        opened = open_link(packet.link, packet.data)
        if opened is None:
            yield Damage(
                packet.number, packet.t_ns, f"link type {packet.link} is not known, or the packet is too short"
            )
            return
        ethertype, source, payload = opened
        if ethertype not in {IPV4, IPV6}:
            yield LinkFrame(packet.number, packet.t_ns, ethertype, source, payload)
            return
        datagram = self._internet.open(ethertype, payload, packet.number)
        yield from map(_in_pieces, self._internet.take_lost())
        if datagram is None:
            return
        carried = inside(datagram) if depth < MOST_TUNNELS else None
        if carried is not None:
            yield from self.add(replace(packet, link=carried[0], data=carried[1]), depth + 1)
        elif datagram.protocol == UDP:
            yield from _udp(packet, datagram)
        elif datagram.protocol == TCP:
            yield from self._tcp(packet, datagram)

    def pending(self) -> int | None:
        """Return the earliest packet of which something may be told yet; None where nothing waits."""
        waiting = [self._internet.pending(), *(connections.oldest for connections in self._late)]
        return min((packet for packet in waiting if packet is not None), default=None)

    def finish(self) -> Iterator[Event]:
        """Yield what still waits for bytes that never came."""
        yield from map(_in_pieces, self._internet.take_lost(at_end=True))
        for connections in self._connections.values():
            yield from connections.finish()

    def _tcp(self, packet: Packet, datagram: Datagram) -> Iterator[Event]:
        payload = datagram.payload
        if len(payload) < 20:
            return
        sport, dport, sequence, acknowledged, offset, flags = struct.unpack_from(">HHIIBB", payload)
        route = Endpoint(datagram.source, sport), Endpoint(datagram.target, dport)
        segment = Segment(packet.number, packet.t_ns, sequence, flags, payload[max(20, (offset >> 4) * 4) :])
        connections = self._connections.get(route) or self._connections.get((route[1], route[0]))
        if connections is None:
            connections = self._connections[route] = Connections(route)
        yield from connections.add(route, segment, acknowledged)
        if connections.oldest is None:
            self._late.discard(connections)
        else:
            self._late.add(connections)


def _in_pieces(packet: int) -> Damage:
    return Damage(packet, 0, "a datagram in pieces, of which not all are here")


def _udp(packet: Packet, datagram: Datagram) -> Iterator[Event]:
    payload = datagram.payload
    if len(payload) < 8:
        return
    sport, dport, length = struct.unpack_from(">HHH", payload)
    data = payload[8 : length if length >= 8 else None]
    if data:
        source, target = Endpoint(datagram.source, sport), Endpoint(datagram.target, dport)
        yield Chunk(packet.number, packet.t_ns, "udp", source, target, data)


def read_traffic(path: Path | str, traffic: Traffic | None = None) -> Iterator[Event]:
    """Yield everything in a capture file, in the order in which it is known; damage does not end the reading.

    Args:
        path: the capture file.
        traffic: what follows its conversations; a new one unless given.

    Raises:
        InvalidInput: neither pcap nor pcapng.
        Unavailable: the file cannot be read now.
    """
    traffic = traffic or Traffic()
    for packet in read_packets(path):
        if isinstance(packet, Damage):
            yield packet
        else:
            yield from traffic.add(packet)
    yield from traffic.finish()
