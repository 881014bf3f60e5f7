"""Owns the two capture file formats, pcap and pcapng, gzip too, as a stream of packets. Does not look into packets."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from recloser.connectors.capture.events import Damage, Packet
from recloser.core import InvalidInput, Unavailable

MICROSECONDS, NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
COUNTED = {9, 0x0BAD, 0x4000_0BAD}
"""Blocks that are no packets and yet have a number of theirs in Wireshark: journal entries, custom blocks."""
GZIP = b"\x1f\x8b\x08"
BYTE_ORDER = 0x1A2B3C4D
LARGEST = 64 << 20  # bytes of one record: more is damage, not a packet


def read_packets(path: Path | str) -> Iterator[Packet | Damage]:
    """Yield the packets of a pcap or pcapng file, also one packed by gzip; a file cut short ends with a Damage.

    Raises:
        InvalidInput: no such file, or neither format.
        Unavailable: the file cannot be read now.
    """
    place = Path(path)
    if not place.is_file():
        raise InvalidInput("no such file", got=str(path), expected="a capture file", next_step="Check the path.")
    number = 0
    try:
        with place.open("rb") as file:
            for packet in _packets(file, place.name):
                number = packet.number if isinstance(packet, Packet) else packet.packet
                yield packet
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if not number:
            raise InvalidInput(
                "not a capture file",
                got="gzip that cannot be unpacked",
                expected="pcap or pcapng",
                where=place.name,
                next_step="Copy the file again from where it was recorded.",
            ) from error
        yield Damage(number + 1, 0, "the compressed file is damaged or cut short from here on")
    except OSError as error:
        raise Unavailable(
            "the capture cannot be read", got=error.strerror, where=place.name, next_step="Check the path and rights."
        ) from error


def _packets(file: BinaryIO, name: str) -> Iterator[Packet | Damage]:
    start = file.read(4)
    if start[:3] == GZIP:
        file.seek(0)
        file = cast("BinaryIO", gzip.GzipFile(fileobj=file))
        start = file.read(4)
    if start == struct.pack("<I", SECTION):
        return _pcapng(file)
    if _classic_order(start) is not None:
        return _pcap(file, start)
    raise InvalidInput(
        "not a capture file",
        got=start.hex(" "),
        expected="pcap or pcapng",
        where=name,
        next_step="Save the capture as .pcap or .pcapng; unpack it first if it is compressed otherwise than by gzip.",
    )


def _classic_order(start: bytes) -> str | None:
    for order in "<>":
        if len(start) == 4 and struct.unpack(order + "I", start)[0] in {MICROSECONDS, NANOSECONDS}:
            return order
    return None


def _pcap(file: BinaryIO, start: bytes) -> Iterator[Packet | Damage]:
    order = _classic_order(start)
    header = file.read(20)
    if order is None or len(header) < 20:
        yield Damage(1, 0, "the file ends inside its header")
        return
    unit = 1 if struct.unpack(order + "I", start)[0] == NANOSECONDS else 1_000
    link = struct.unpack(order + "I", header[16:20])[0] & 0x0FFFFFFF  # the top bits tell the length of check sums
    record, number = struct.Struct(order + "IIII"), 0
    while head := file.read(16):
        number += 1
        if len(head) < 16:
            yield Damage(number, 0, "the file ends inside a packet's header")
            return
        seconds, fraction, kept, length = record.unpack(head)
        t_ns = seconds * 1_000_000_000 + fraction * unit
        if kept > LARGEST:
            yield Damage(number, t_ns, f"a packet of {kept} bytes: the file is damaged from here on")
            return
        data = file.read(kept)
        if len(data) < kept:
            yield Damage(number, t_ns, "the file ends inside a packet")
            return
        yield Packet(number, t_ns, link, data, whole=kept >= length)


@dataclass(slots=True)
class _Section:
    """What the blocks of a pcapng section need: byte order and interfaces as (link, ticks per second, offset s)."""

    order: str
    interfaces: list[tuple[int, int, int]] = field(default_factory=list)

    def add_interface(self, body: bytes) -> None:
        link = struct.unpack(self.order + "H", body[:2])[0]
        ticks, offset = 1_000_000, 0
        place = 8
        while place + 4 <= len(body):
            code, length = struct.unpack_from(self.order + "HH", body, place)
            value = body[place + 4 : place + 4 + length]
            if code == 9 and length >= 1:
                ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** min(value[0], 30)
            elif code == 14 and length >= 8:
                offset = struct.unpack(self.order + "q", value[:8])[0]
            elif code == 0:
                break
            place += 4 + (length + 3) // 4 * 4
        self.interfaces.append((link, ticks, offset))

    def packet(self, kind: int, body: bytes, number: int) -> Packet | Damage:
        if kind == SIMPLE_PACKET:
            length = struct.unpack_from(self.order + "I", body)[0]
            link = self.interfaces[0][0]
            return Packet(number, 0, link, body[4 : 4 + length], whole=len(body) - 4 >= length)
        if kind == ENHANCED_PACKET:
            at, high, low, kept, length = struct.unpack_from(self.order + "IIIII", body)
        else:
            at, _, high, low, kept, length = struct.unpack_from(self.order + "HHIIII", body)
        link, ticks, offset = self.interfaces[at]
        t_ns = ((high << 32) | low) * 1_000_000_000 // ticks + offset * 1_000_000_000
        data = body[20 : 20 + kept]
        if len(data) < kept:
            return Damage(number, t_ns, "a packet is longer than its block")
        return Packet(number, t_ns, link, data, whole=kept >= length)


def _pcapng(file: BinaryIO) -> Iterator[Packet | Damage]:
    file.seek(0)
    section, number = _Section("<"), 0
    while head := file.read(8):
        body = _block(file, head, section)
        if isinstance(body, str):
            yield Damage(number + 1, 0, body)
            return
        kind = struct.unpack(section.order + "I", head[:4])[0]
        try:
            if kind == INTERFACE:
                section.add_interface(body)
            elif kind in {OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET}:
                number += 1
                yield section.packet(kind, body, number)
            number += kind in COUNTED
        except (struct.error, IndexError):
            yield Damage(max(number, 1), 0, f"a block of kind {kind} that cannot be read")


def _block(file: BinaryIO, head: bytes, section: _Section) -> bytes | str:
    """Return the body of the block that begins with `head`, or why it cannot be read; a section header is applied."""
    if len(head) < 8:
        return "the file ends inside a block's header"
    rest = b""
    if head[:4] == struct.pack("<I", SECTION):
        rest = file.read(4)
        orders = [order for order in "<>" if rest == struct.pack(order + "I", BYTE_ORDER)]
        if not orders:
            return "a section of unknown byte order"
        section.order, section.interfaces = orders[0], []
    length = struct.unpack(section.order + "I", head[4:])[0]
    if not 12 + len(rest) <= length <= LARGEST:
        return f"a block of {length} bytes: the file is damaged from here on"
    body = rest + file.read(length - 8 - len(rest))
    return body[:-4] if len(body) == length - 8 else "the file ends inside a block"
