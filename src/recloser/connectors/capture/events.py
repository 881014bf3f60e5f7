"""Owns what a capture gives to decoders: packets, link frames, pieces of conversations, damage. Does not parse."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Packet:
    """One recorded packet.

    Attributes:
        number: its place in the file, from 1, as Wireshark counts.
        t_ns: receive time, nanoseconds since 1970 UTC.
        link: link type of the capture (the registry of libpcap).
        data: the recorded bytes.
        whole: False where the recorder cut the packet short.
    """

    number: int
    t_ns: int
    link: int
    data: bytes
    whole: bool = True


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """The payload of a link frame whose protocol is not IP, such as GOOSE and sampled values.

    Attributes:
        packet: number of the packet.
        t_ns: receive time, nanoseconds since 1970 UTC.
        ethertype: protocol of the payload, VLAN tags removed.
        source: sender's hardware address, hexadecimal with colons.
        payload: bytes after the EtherType.
    """

    packet: int
    t_ns: int
    ethertype: int
    source: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a conversation: address as text, port as number."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that one side of a conversation sent, in the order of sending.

    Attributes:
        packet: number of the packet that carried the bytes.
        t_ns: receive time of that packet, nanoseconds since 1970 UTC.
        transport: 'tcp' or 'udp'.
        source: who sent.
        target: who was meant.
        data: the bytes; a whole datagram for UDP.
        connection: counts TCP connections between the same endpoints; 0 for UDP.
        lost: bytes that are missing before `data` (a stream only); decoders start anew.
    """

    packet: int
    t_ns: int
    transport: str
    source: Endpoint
    target: Endpoint
    data: bytes
    connection: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in the capture that cannot be read; reading goes on after it where that is possible."""

    packet: int
    t_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of one direction of a TCP connection: closed, reset, or given up for a new one. Fields as of `Chunk`."""

    packet: int
    t_ns: int
    source: Endpoint
    target: Endpoint
    connection: int


Event = Chunk | Ended | LinkFrame | Damage
