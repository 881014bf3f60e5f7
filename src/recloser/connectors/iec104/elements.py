"""Owns the information elements of IEC 60870-5-101/104: each a length and a reading. Does not own their arrangement.

Source: IEC 60870-5-101:2003, clause 7.2.6.
"""

from __future__ import annotations

import struct
from calendar import timegm
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Parts = dict[str, Any]
SUMMER_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Element:
    """An information element: bytes it takes, and what they say.

    `read` returns parts: 'element' (the value), 'quality' (bits), 't_ns', and what else the element tells.
    """

    length: int
    read: Callable[[bytes], Parts]


def _bits(word: int, **places: int) -> dict[str, int]:
    return {name: word >> place & 1 for name, place in places.items()}


def _quality(word: int, *, overflow: bool) -> dict[str, int | None]:
    bits: dict[str, int | None] = dict(_bits(word, iv=7, nt=6, sb=5, bl=4))
    return bits | {"ov": word & 1 if overflow else None}


def _siq(raw: bytes) -> Parts:
    return {"element": raw[0] & 1, "quality": _quality(raw[0], overflow=False)}


def _diq(raw: bytes) -> Parts:
    return {"element": raw[0] & 3, "quality": _quality(raw[0], overflow=False)}


def _qds(raw: bytes) -> Parts:
    return {"quality": _quality(raw[0], overflow=True)}


def _qdp(raw: bytes) -> Parts:
    return {"quality": _quality(raw[0], overflow=False) | {"ei": raw[0] >> 3 & 1}}


def _sep(raw: bytes) -> Parts:
    return {"element": raw[0] & 3} | _qdp(raw)


def _vti(raw: bytes) -> Parts:
    low = raw[0] & 0x7F
    return {"element": low - 128 if low & 0x40 else low, "transient": raw[0] >> 7}


def _bcr(raw: bytes) -> Parts:
    count, state = struct.unpack("<iB", raw)
    quality = {"iv": state >> 7, "nt": None, "sb": None, "bl": None, "ov": None}
    return {"element": count, "quality": quality, "sequence": state & 31} | _bits(state, carry=5, adjusted=6)


def _scd(raw: bytes) -> Parts:
    state, changed = struct.unpack("<HH", raw)
    return {"element": state, "changed": changed}


def _start_bits(raw: bytes) -> Parts:
    return {"element": raw[0] & 0x3F}


def _circuit(raw: bytes) -> Parts:
    return {"element": raw[0] & 0x0F}


def _command(mask: int) -> Callable[[bytes], Parts]:
    return lambda raw: {
        "element": raw[0] & mask,
        "qualifier": {"qu": raw[0] >> 2 & 31, "se": raw[0] >> 7},
    }


def _number(form: str) -> Callable[[bytes], Parts]:
    return lambda raw: {"element": struct.unpack(form, raw)[0]}


def _normalised(raw: bytes) -> Parts:
    return {"element": struct.unpack("<h", raw)[0] / 32_768}


def _qualifier(name: str, mask: int = 0xFF, **places: int) -> Callable[[bytes], Parts]:
    return lambda raw: {"qualifier": {name: raw[0] & mask} | _bits(raw[0], **places)}


def _cause(raw: bytes) -> Parts:
    return {"element": raw[0] & 0x7F, "parameters_changed": raw[0] >> 7}


def _whole(raw: bytes) -> Parts:
    return {"element": raw[0]}


def _counters(raw: bytes) -> Parts:
    return {"element": raw[0], "qualifier": {"rqt": raw[0] & 63, "frz": raw[0] >> 6}}


def _field(name: str, form: str) -> Callable[[bytes], Parts]:
    return lambda raw: {name: struct.unpack(form, raw + b"\0" * (struct.calcsize(form) - len(raw)))[0]}


def _cp56(raw: bytes) -> Parts:
    """Return the time as UTC: the stamp names no zone, as Wireshark reads it; None where it is no date.

    SU says that the hour is that of summer time, one ahead of the station's standard time (IEC 60870-5-4, clause 6.8).
    """
    ms, minute, hour, day, month, year = struct.unpack("<HBBBBB", raw)
    marks = {"iv": minute >> 7, "genuine": minute >> 6 & 1, "su": hour >> 7}
    minute, hour, day, month, year = minute & 63, hour & 31, day & 31, month & 15, year & 127
    try:
        at = datetime(1900 + year if year >= 70 else 2000 + year, month, day, hour, minute, ms // 1000)  # noqa: DTZ001
    except ValueError:
        return {"t_ns": None, "time": marks}
    seconds = timegm(at.timetuple()) - (SUMMER_SECONDS if marks["su"] else 0)
    return {"t_ns": (seconds * 1000 + ms % 1000) * 1_000_000, "time": marks}


def _cp24(raw: bytes) -> Parts:
    """Return the milliseconds of the hour; the hour itself is not told."""
    ms, minute = struct.unpack("<HB", raw)
    return {"time": {"iv": minute >> 7, "genuine": minute >> 6 & 1, "ms_of_hour": (minute & 63) * 60_000 + ms}}


SIQ, DIQ, QDS, QDP, SEP = (Element(1, read) for read in (_siq, _diq, _qds, _qdp, _sep))
VTI, SPE, OCI = Element(1, _vti), Element(1, _start_bits), Element(1, _circuit)
# Bits in the order of the octets, as Wireshark prints them: the first octet is the highest.
BSI, BCR, SCD = Element(4, _number(">I")), Element(5, _bcr), Element(4, _scd)
NVA, SVA, R32 = Element(2, _normalised), Element(2, _number("<h")), Element(4, _number("<f"))
SCO, DCO, RCO = Element(1, _command(1)), Element(1, _command(3)), Element(1, _command(3))
QOS = Element(1, _qualifier("ql", 0x7F, se=7))
QPM = Element(1, _qualifier("kpa", 0x3F, lpc=6, pop=7))
QPA, QRP, QOI, QCC = Element(1, _whole), Element(1, _whole), Element(1, _whole), Element(1, _counters)
COI, FBP, TSC = Element(1, _cause), Element(2, _number("<H")), Element(2, _number("<H"))
CP16 = Element(2, _field("elapsed_ms", "<H"))
CP24, CP56 = Element(3, _cp24), Element(7, _cp56)
NOF, LOF, NOS = Element(2, _field("file", "<H")), Element(3, _field("length", "<I")), Element(1, _field("section", "B"))
FRQ, SRQ, SCQ, LSQ, AFQ, SOF = (Element(1, _qualifier(name)) for name in ("frq", "srq", "scq", "lsq", "afq", "sof"))
CHS = Element(1, _field("checksum", "B"))
