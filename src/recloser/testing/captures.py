"""Owns building capture files in memory: Ethernet, IPv4, UDP and TCP packets around given bytes. No real network."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

SYN, ACK = 0x02, 0x10
MACS = bytes.fromhex("020000000002020000000001")


@dataclass(slots=True)
class CaptureBuilder:
    """Collects packets a millisecond apart, then writes them as a pcap file.

    Hosts are numbers: host 1 is 10.0.0.1.
    """

    packets: list[bytes] = field(default_factory=list)
    start_s: int = 1_700_000_000
    _next: dict[tuple[int, int, int, int], int] = field(default_factory=dict)

    def raw(self, packet: bytes) -> CaptureBuilder:
        """Add an Ethernet frame as it is."""
        self.packets.append(packet)
        return self

    def frame(self, ethertype: int, payload: bytes, vlan: int | None = None) -> CaptureBuilder:
        """Add an Ethernet frame with a payload, with a VLAN tag where one is given."""
        tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
        return self.raw(MACS + tag + ethertype.to_bytes(2) + payload)

    def ip(self, source: int, target: int, protocol: int, payload: bytes, fragment: int = 0) -> CaptureBuilder:
        """Add an IPv4 packet; `fragment` is the word of flags and offset."""
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, 64, protocol, 0)
        return self.frame(0x0800, head + bytes([10, 0, 0, source, 10, 0, 0, target]) + payload)

    def udp(self, source: tuple[int, int], target: tuple[int, int], data: bytes) -> CaptureBuilder:
        """Add a UDP datagram between (host, port) and (host, port)."""
        head = struct.pack(">HHHH", source[1], target[1], 8 + len(data), 0)
        return self.ip(source[0], target[0], 17, head + data)

    def tcp(
        self,
        source: tuple[int, int],
        target: tuple[int, int],
        data: bytes,
        at: int | None = None,
        flags: int = ACK,
        acknowledged: int = 0,
    ) -> CaptureBuilder:
        """Add a TCP segment; `at` is the place of its first byte in the stream, by default after what was sent."""
        key = (*source, *target)
        place = self._next.get(key, 1) if at is None else at
        head = struct.pack(">HHIIBBHHH", source[1], target[1], place % 2**32, acknowledged, 0x50, flags, 8192, 0, 0)
        self._next[key] = max(self._next.get(key, 0), place + len(data) + (flags & SYN) // SYN)
        return self.ip(source[0], target[0], 6, head + data)

    def content(self, link: int = 1) -> bytes:
        """Return the capture as a pcap file of this link type."""
        whole = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link)
        for index, packet in enumerate(self.packets):
            whole += struct.pack("<IIII", self.start_s, index * 1_000, len(packet), len(packet)) + packet
        return whole

    def write(self, path: Path) -> Path:
        """Write the capture; returns the path."""
        path.write_bytes(self.content())
        return path
