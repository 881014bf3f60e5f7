"""Owns DNP3 link frames: header, blocks, check words. Does not own what the frames carry.

Source: IEEE 1815-2012, clause 9.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

START = b"\x05\x64"
HEADER, BLOCK = 10, 16
PRIMARY = {0: "RESET_LINK_STATES", 2: "TEST_LINK_STATES", 3: "CONFIRMED_USER_DATA", 4: "UNCONFIRMED_USER_DATA"}
PRIMARY |= {1: "RESET_USER_PROCESS", 9: "REQUEST_LINK_STATUS"}
SECONDARY = {0: "ACK", 1: "NACK", 11: "LINK_STATUS", 14: "NOT_FUNCTIONING", 15: "NOT_SUPPORTED"}


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        rest = value
        for _ in range(8):
            rest = rest >> 1 ^ 0xA6BC if rest & 1 else rest >> 1
        table.append(rest)
    return tuple(table)


TABLE = _table()


def crc(data: bytes | bytearray) -> int:
    """Return the check word over a header or block."""
    rest = 0
    for byte in data:
        rest = rest >> 8 ^ TABLE[(rest ^ byte) & 0xFF]
    return rest ^ 0xFFFF


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """A link frame.

    Attributes:
        source: address of the sender.
        target: address of the receiver.
        primary: whether the sender began the transaction.
        function: link function code.
        data: user data, check words removed.
        error: which check word is wrong, or None.
    """

    source: int
    target: int
    primary: bool
    function: int
    data: bytes
    error: str | None = None

    @property
    def name(self) -> str:
        """Return the name of the link function."""
        return (PRIMARY if self.primary else SECONDARY).get(self.function, f"function {self.function}")

    @property
    def carries(self) -> bool:
        """Return whether it carries user data."""
        return self.primary and self.function in {3, 4}


def frame_length(data: bytes | bytearray) -> int:
    """Return the bytes of the frame whose first three are given."""
    user = data[2] - 5
    return HEADER + user + (user + BLOCK - 1) // BLOCK * 2


def measure(data: bytearray) -> int:
    """Return the length of the frame at the front of a stream, as `Cutter` asks for it."""
    if data[:2] != START[: len(data)]:
        place = data.find(START)
        if place < 0:
            return -(len(data) - (data[-1] == START[0])) or -1
        return -place
    if len(data) < HEADER:
        return 0
    return frame_length(data) if data[2] >= 5 and _header_good(data) else -2


def _header_good(data: bytes | bytearray) -> bool:
    return crc(data[:8]) == data[8] | data[9] << 8


def looks_like(data: bytes) -> bool:
    """Return whether the bytes begin with a good header, so that a connection on any port is known."""
    return len(data) >= HEADER and data[:2] == START and data[2] >= 5 and _header_good(data)


def read_link(data: bytes) -> LinkFrame:
    """Return the frame of bytes that `measure` has measured.

    Raises:
        struct.error: fewer bytes than a header.
    """
    _, length, control, target, source, _ = struct.unpack_from("<HBBHHH", data)
    user, place, left, error = b"", HEADER, length - 5, None
    while left > 0:
        block = data[place : place + min(BLOCK, left)]
        check = data[place + len(block) : place + len(block) + 2]
        if crc(block).to_bytes(2, "little") != check:
            error = f"wrong check word of block {(place - HEADER) // (BLOCK + 2) + 1}"
        user += block
        place, left = place + len(block) + 2, left - len(block)
    return LinkFrame(source, target, bool(control & 0x40), control & 0x0F, user, error)


def link_frame(source: int, target: int, data: bytes, control: int = 0x44) -> bytes:
    """Return a link frame with its check words: for simulated devices and tests."""
    head = START + struct.pack("<BBHH", len(data) + 5, control, target, source)
    whole = head + crc(head).to_bytes(2, "little")
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        whole += block + crc(block).to_bytes(2, "little")
    return whole
