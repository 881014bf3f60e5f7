"""Owns the table of DNP3 objects: how each group and variation is laid out. Does not own headers or ranges.

Source: IEEE 1815-2012, annex A.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

# Letters of a layout, in the order of the bytes: F flags, B flags with the state in the top bit, D flags with two bits
# of state, S status of a command, T time (48 bits of ms), R time relative to the last common time (16 bits of ms);
# u an unsigned byte, x, y, z binary-coded decimals of 4, 8 and 16 digits, V the unit of the interval before it, W the
# number of a user; those of `struct` are the reading. '-' is an object that has no fixed form.
SIZES = {"F": 1, "B": 1, "D": 1, "S": 1, "T": 6, "R": 2, "h": 2, "H": 2, "i": 4, "I": 4, "f": 4, "d": 8}
SIZES |= {"u": 1, "x": 2, "y": 4, "z": 8, "V": 1, "W": 2}

LAYOUTS: dict[int, tuple[str, ...]] = {
    1: ("1", "B"),
    2: ("B", "BT", "BR"),
    3: ("2", "D"),
    4: ("D", "DT", "DR"),
    10: ("1", "B"),
    11: ("B", "BT"),
    12: ("C", "C", "1"),
    13: ("K", "KT"),
    20: ("FI", "FH", "FI", "FH", "I", "H", "I", "H"),
    21: ("FI", "FH", "FI", "FH", "FIT", "FHT", "FIT", "FHT", "I", "H", "I", "H"),
    22: ("FI", "FH", "FI", "FH", "FIT", "FHT", "FIT", "FHT"),
    23: ("FI", "FH", "FI", "FH", "FIT", "FHT", "FIT", "FHT"),
    30: ("Fi", "Fh", "i", "h", "Ff", "Fd"),
    31: ("Fi", "Fh", "FiT", "FhT", "i", "h", "Ff", "Fd"),
    32: ("Fi", "Fh", "FiT", "FhT", "Ff", "Fd", "FfT", "FdT"),
    33: ("Fi", "Fh", "FiT", "FhT", "Ff", "Fd", "FfT", "FdT"),
    34: ("H", "I", "f"),
    40: ("Fi", "Fh", "Ff", "Fd"),
    41: ("iS", "hS", "fS", "dS"),
    42: ("Fi", "Fh", "FiT", "FhT", "Ff", "Fd", "FfT", "FdT"),
    43: ("Si", "Sh", "SiT", "ShT", "Sf", "Sd", "SfT", "SdT"),
    50: ("T", "TI", "T", "TIV"),
    51: ("T", "T"),
    52: ("H", "H"),
    60: ("", "", "", ""),
    80: ("1",),
    101: ("x", "y", "z"),
    102: ("u",),
    120: ("-", "-", "IW", "W"),
}
STRINGS = {110, 111, 112, 113}
SIZED = {0, 70, 81, 82, 83, 85, 86, 87, 88, 90, 91, 120, 121, 122}
STATUS = 0x7F
"""Bits of a status code; the top bit is reserved, or the state of a relay command's event."""
OPERATIONS = {0: "nul", 1: "pulse on", 2: "pulse off", 3: "latch on", 4: "latch off"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How one object is laid out.

    Attributes:
        letters: see above; 'C' a relay command, 'K' an event of one, 'X' a string, 'A' a device attribute.
        bits: bits of an object that is packed with its neighbours, else 0.
        size: bytes of an object that is not packed; -1 for a device attribute, which tells its own.
    """

    letters: str
    bits: int
    size: int


def layout_of(group: int, variation: int) -> Layout | None:
    """Return the layout of an object; None where it is not known."""
    if group == 0 and variation not in {0, 254}:
        return Layout("A", 0, -1)
    if group in STRINGS:
        return Layout("X", 0, variation)
    letters = LAYOUTS.get(group, ())
    if not 1 <= variation <= len(letters):
        return None
    found = letters[variation - 1]
    if found == "-":
        return None
    if found in {"1", "2"}:
        return Layout(found, int(found), 0)
    if found == "C":
        return Layout(found, 0, 11)
    return Layout(found, 0, sum(SIZES[letter] for letter in found.replace("K", "B")))


def read_object(layout: Layout, raw: bytes, common_ms: int | None) -> dict[str, Any]:
    """Return the parts of one object that is not packed: reading, flags, t_ns and more.

    Args:
        layout: of the object.
        raw: its bytes.
        common_ms: the last common time of occurrence, ms since 1970 UTC; None where none was told.
    """
    if layout.letters == "X":
        return {"reading": raw.hex(), "text": raw.decode("latin-1") if raw.isascii() else None}
    if layout.letters == "A":
        return _attribute(raw)
    if layout.letters == "C":
        return _relay(raw)
    parts: dict[str, Any] = {}
    place = 0
    for letter in layout.letters:
        size = SIZES["B" if letter == "K" else letter]
        parts |= _piece(letter, raw[place : place + size], common_ms)
        place += size
    if layout.letters == "T":
        parts["reading"] = parts["t_ns"] // 1_000_000
    return parts


def _piece(letter: str, raw: bytes, common_ms: int | None) -> dict[str, Any]:
    if letter == "T":
        return {"t_ns": int.from_bytes(raw, "little") * 1_000_000}
    if letter == "R":
        after = int.from_bytes(raw, "little")
        return {"t_ns": None if common_ms is None else (common_ms + after) * 1_000_000, "relative_ms": after}
    if letter == "F":
        return {"flags": raw[0]}
    if letter == "B":
        return {"flags": raw[0], "reading": raw[0] >> 7}
    if letter == "D":
        return {"flags": raw[0], "reading": raw[0] >> 6}
    if letter == "S":
        return {"status": raw[0] & STATUS}
    if letter == "K":
        return {"status": raw[0] & STATUS, "reading": raw[0] >> 7}
    if letter in {"V", "W"}:
        return {"interval_unit" if letter == "V" else "user": int.from_bytes(raw, "little")}
    if letter in {"x", "y", "z"}:
        digits = raw[::-1].hex()
        return {"reading": int(digits)} if digits.isdecimal() else {"reading": None, "raw": raw.hex()}
    return {"reading": raw[0] if letter == "u" else struct.unpack("<" + letter, raw)[0]}


def _relay(raw: bytes) -> dict[str, Any]:
    code, count, on_ms, off_ms, status = struct.unpack("<BBIIB", raw)
    control = {
        "operation": OPERATIONS.get(code & 15, f"operation {code & 15}"),
        "queue": code >> 4 & 1,
        "clear": code >> 5 & 1,
        "trip_close": code >> 6,
        "count": count,
        "on_ms": on_ms,
        "off_ms": off_ms,
    }
    return {"reading": code, "control": control, "status": status & STATUS}


def attribute_size(data: bytes) -> int:
    """Return the bytes of the device attribute at the front of `data` (its kind and length tell)."""
    return 2 + data[1] if len(data) >= 2 else 2


def _attribute(raw: bytes) -> dict[str, Any]:
    """Return a device attribute: its kind (1 text, 2 and 3 integers, 4 floating point) says what the bytes are."""
    kind, value = raw[0], raw[2:]
    if kind == 1:
        return {"reading": value.decode("latin-1")}
    if kind in {2, 3} and value:
        return {"reading": int.from_bytes(value, "little", signed=kind == 3)}
    if kind == 4 and len(value) in {4, 8}:
        return {"reading": struct.unpack("<f" if len(value) == 4 else "<d", value)[0]}
    return {"reading": value.hex()}
