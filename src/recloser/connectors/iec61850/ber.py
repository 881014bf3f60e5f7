"""Owns the part of ASN.1 BER that the station bus uses: tags, definite lengths, plain values. Nothing above.

Source: ISO/IEC 8825-1.
"""

from __future__ import annotations

from dataclasses import dataclass


class Unreadable(Exception):
    """Bytes that are no BER, or not what a field must be; the text says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """A tag and its content; `tag` is the number of a one-byte tag as it stands, such as 0x80."""

    tag: int
    content: bytes

    def integer(self, *, signed: bool = True) -> int:
        """Return the content as an integer.

        Raises:
            Unreadable: empty.
        """
        if not self.content:
            raise Unreadable(f"tag 0x{self.tag:02x}: an integer without bytes")
        return int.from_bytes(self.content, signed=signed)

    def text(self) -> str:
        """Return the content as text: UTF-8 where it is that, else Latin-1."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError:
            return self.content.decode("latin-1")

    def boolean(self) -> bool:
        """Return the content as a truth value."""
        return any(self.content)


def read_nodes(data: bytes) -> list[Node]:
    """Return the nodes that stand in `data` one after another.

    Raises:
        Unreadable: a length beyond the end, an indefinite length, or a tag of several bytes.
    """
    nodes, place = [], 0
    while place < len(data):
        tag = data[place]
        if tag & 0x1F == 0x1F:
            raise Unreadable(f"a tag of several bytes: 0x{tag:02x}")
        length, start = _length(data, place + 1)
        content = data[start : start + length]
        if len(content) < length:
            raise Unreadable(f"tag 0x{tag:02x} tells {length} bytes, {len(content)} are there")
        nodes.append(Node(tag, content))
        place = start + length
    return nodes


def _length(data: bytes, place: int) -> tuple[int, int]:
    """Return the length told at `place`, and where the content begins."""
    if place >= len(data):
        raise Unreadable("a tag without a length")
    first = data[place]
    if first < 0x80:
        return first, place + 1
    size = first & 0x7F
    if not 1 <= size <= 4 or place + 1 + size > len(data):
        raise Unreadable(f"a length of form 0x{first:02x}")
    return int.from_bytes(data[place + 1 : place + 1 + size]), place + 1 + size
