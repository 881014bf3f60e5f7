"""Owns malformed frames by the million: seeds, mutations, and feeding them to decoders. Judges nothing but survival."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from recloser.connectors.c37118 import (
    AnalogChannel,
    Configuration,
    DigitalWord,
    FrameType,
    Location,
    PhasorChannel,
    PmuConfiguration,
    command_frame,
    configuration_frames,
    data_frame,
    header_frame,
    layout_of,
    seal,
)
from recloser.connectors.capture import Chunk, Endpoint, Event, LinkFrame
from recloser.connectors.decoding import DECODERS, RowDecoder, plain
from recloser.connectors.dnp3 import link_frame

DEVICE, CENTRE = "10.0.0.1", "10.0.0.2"
PORTS = {"c37118": 4712, "iec104": 2404, "dnp3": 20_000, "modbus": 502}
ETHERTYPES = {"goose": 0x88B8, "sv": 0x88BA}
TELLING = (0, 1, 2, 0x7F, 0x80, 0x81, 0xAA, 0xFE, 0xFF)
FRAMES_A_DECODER = 500  # then a new one: state is exercised, and a fault is found with a short history
MOST_ROWS = 70_000


@dataclass(frozen=True, slots=True)
class Fault:
    """A frame that a decoder did not survive, with what it raised."""

    protocol: str
    frame: bytes
    reason: str


def seeds(protocol: str) -> list[bytes]:
    """Return good frames of a protocol that reach every part of its decoder."""
    return {
        "c37118": _c37118,
        "iec104": _iec104,
        "dnp3": _dnp3,
        "modbus": _modbus,
        "goose": _goose,
        "sv": _sampled,
    }[protocol]()


def _c37118() -> list[bytes]:
    place = Location("00" * 16, 1.0, 2.0, None, "P", 1, 2)
    frames = [command_frame(7, 8, extended=b"ab"), header_frame(7, "text")]
    for form in (0, 1, 15):
        pmu = PmuConfiguration(
            "S",
            7,
            form,
            (PhasorChannel("P", "V", 1e-3), PhasorChannel("Q", "A", 1e-3)),
            (AnalogChannel("A", 2.0),),
            (DigitalWord(tuple("abcdefghijklmnop"), 0, 1),),
            50,
            1,
            place,
        )
        for kind in (2, 3, 1):
            known = Configuration(7, 1_000_000, (pmu, pmu), 50, kind)
            frames += configuration_frames(known, piece=300)
        frames.append(data_frame(known, [1] * len(layout_of(known).fields), (1, 2)))
    return frames


def _iec104() -> list[bytes]:
    bodies = [b"\x01\x02\x03\x00\x01\x00" + b"\1\0\0\1\2\0\0\0", b"\x24\x82\x03\x00\x01\x00\1\0\0" + bytes(24)]
    bodies += [bytes([kind, 1, 6, 0, 1, 0, 1, 0, 0]) + bytes(size) for kind, size in ((45, 1), (100, 1), (103, 7))]
    bodies += [bytes([kind, 1, 3, 0, 1, 0, 1, 0, 0]) + bytes(size) for kind, size in ((37, 12), (38, 10), (200, 4))]
    units = [bytes([0x68, len(body) + 4, 0, 0, 0, 0]) + body for body in bodies]
    return [*units, bytes.fromhex("680407000000"), bytes.fromhex("680401000200")]


def _dnp3() -> list[bytes]:
    objects = [
        b"\x01\x01\x00\x00\x09\xff\x03",
        b"\x33\x01\x07\x01" + bytes(6) + b"\x02\x03\x28\x01\x00\x01\x00\x81\x01\x00",
        b"\x1e\x05\x01\x00\x00\x01\x00" + bytes(10),
        b"\x0c\x01\x17\x01\x01" + bytes(11),
        b"\x46\x02\x5b\x01\x03\x00xyz\x6e\x04\x00\x01\x01abcd",
        b"\x00\xf2\x00\x00\x00\x01\x02hi\x3c\x02\x06\x50\x01\x00\x07\x07\x00",
        b"\x1e\x00\x06\x14\x00\x09\x02\x00\x00\x00",
    ]
    fragments = [b"\xc0\x81\x00\x00" + item for item in objects] + [b"\xc0\x01" + item for item in objects]
    return [link_frame(4, 3, bytes([head]) + item) for item in fragments for head in (0xC0, 0x40, 0x81)]


def _modbus() -> list[bytes]:
    bodies = [bytes([code]) + struct.pack(">HH", 1, 2) for code in (1, 2, 3, 4, 5, 6, 15, 16, 22, 24)]
    bodies += [b"\x01\x01\x05", b"\x03\x02\0\1", b"\x10\0\1\0\1\2\0\1", b"\x17\0\1\0\1\0\2\0\1\2\0\1", b"\x83\x02"]
    bodies += [b"\x2b\x0e\x01\x00", b"\x08\0\0\0\0", b"\x18\0\4\0\1\0\1", b"\x14\x00", b"\x0f\0\1\0\4\1\5", b"\x07"]
    return [struct.pack(">HHHB", 1, 0, len(body) + 1, 1) + body for body in bodies]


def _node(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def _goose() -> list[bytes]:
    entries = _node(0x83, b"\1") + _node(0x84, b"\3\xa8") + _node(0x87, b"\x08" + bytes(4)) + _node(0x91, bytes(8))
    entries += _node(0xA2, _node(0x85, b"\1") + _node(0x8A, b"x"))
    fields = _node(0x80, b"g") + _node(0x84, bytes(8)) + _node(0x85, b"\1") + _node(0x8A, b"\5") + _node(0xAB, entries)
    body = _node(0x61, fields)
    return [struct.pack(">HHHH", 1, len(body) + 8, 0, 0) + body]


def _sampled() -> list[bytes]:
    unit = _node(0x30, _node(0x80, b"M") + _node(0x82, b"\0\1") + _node(0x83, b"\0\0\0\1") + _node(0x87, bytes(16)))
    body = _node(0x60, _node(0x80, b"\2") + _node(0xA2, unit + unit))
    return [struct.pack(">HHHH", 1, len(body) + 8, 0, 0) + body]


def mutated(frame: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return the frame with one to four changes: bits, bytes, length, order, pieces of other frames."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(data)) if data else 0
        match rng.randrange(8):
            case 0 | 1 if data:
                data[place] ^= 1 << rng.randrange(8)
            case 2 | 3 if data:
                data[place] = rng.choice(TELLING)
            case 4:
                del data[place:]
            case 5:
                data[place:place] = data[place : place + rng.randrange(1, 9)]
            case 6:
                data += rng.choice(others)[: rng.randrange(1, 60)]
            case _:
                del data[place : place + rng.randrange(1, 5)]
    return bytes(data)


def sealed(protocol: str, frame: bytes) -> bytes:
    """Return the frame with right length and check words, so that what is inside is reached."""
    if protocol == "c37118" and len(frame) > 16:
        kind = FrameType(min(frame[1] >> 4 & 7, 5))
        return seal(kind, 7, (1, 2), frame[14:-2])
    if protocol == "dnp3" and len(frame) > 12:
        return link_frame(4, 3, frame[10:-2][:250])
    if protocol == "iec104" and 6 < len(frame) < 255:
        return bytes([0x68, len(frame) - 2, 0, 0]) + frame[4:]
    if protocol == "modbus" and 7 < len(frame) < 260:
        return struct.pack(">HHH", 1, 0, len(frame) - 6) + frame[6:]
    if protocol in ETHERTYPES and len(frame) > 8:
        return frame[:2] + len(frame).to_bytes(2) + frame[4:]
    return frame


def event_of(protocol: str, frame: bytes, number: int) -> Event:
    """Return the frame as an event of a capture, from and to the device, over TCP and UDP in turn."""
    if protocol in ETHERTYPES:
        return LinkFrame(number, 0, ETHERTYPES[protocol], "02:00:00:00:00:01", frame)
    ends = Endpoint(DEVICE, PORTS[protocol]), Endpoint(CENTRE, 50_000)
    source, target = ends if number % 3 else ends[::-1]
    transport = "tcp" if number % 2 or protocol == "iec104" else "udp"
    return Chunk(number, 0, transport, source, target, frame, 1, 7 if number % 31 == 0 else 0)


def check(decoder: RowDecoder, event: Event) -> int:
    """Feed one event; return the number of rows it gave.

    Raises:
        RuntimeError: a row without its packet, or rows without end.
        ValueError: a row that JSON cannot hold.
    """
    count = 0
    for row in decoder.add(event):
        count += 1
        if not isinstance(row["packet"], int) or count > MOST_ROWS:
            raise RuntimeError(f"row {count} of packet {row['packet']}")
        if count < 5:
            json.dumps(plain(row), allow_nan=False)
    return count


def fuzz(protocol: str, frames: int, seed: int) -> Iterator[Fault]:
    """Feed `frames` malformed frames to a protocol's decoder; yield what it did not survive.

    Args:
        protocol: as for `decode_file`.
        frames: how many.
        seed: of the random numbers; the same seed gives the same frames.
    """
    rng, good = random.Random(f"{protocol} {seed}"), seeds(protocol)
    decoder = DECODERS[protocol]()
    for number in range(1, frames + 1):
        if number % FRAMES_A_DECODER == 0:
            yield from _survived(protocol, b"", partial(list, decoder.finish()))
            decoder = DECODERS[protocol]()
            for place, frame in enumerate(good):
                check(decoder, event_of(protocol, frame, place))
        frame = mutated(rng.choice(good), good, rng)
        if rng.random() < 0.6:
            frame = sealed(protocol, frame)
        event = event_of(protocol, frame, number)
        yield from _survived(protocol, frame, partial(check, decoder, event))


def _survived(protocol: str, frame: bytes, act: Callable[[], object]) -> Iterator[Fault]:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the finding
        yield Fault(protocol, frame, f"{type(error).__name__}: {error}")
