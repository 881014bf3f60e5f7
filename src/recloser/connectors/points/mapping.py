"""Owns the mapping of each protocol's quality onto the one vocabulary. Pure tables; the raw flags stay in the record.

Sources: IEC 60870-5-101:2003, 7.2.6; IEEE 1815-2012, 11.6; OPC 10000-4, 7.39; IEEE C37.118.2-2011, table 7;
IEEE 2664-2024, measurement state flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from recloser.connectors.points.quality import PointQuality as Q

IEC104 = {"iv": Q.INVALID, "nt": Q.OLD, "sb": Q.SUBSTITUTED, "bl": Q.BLOCKED, "ov": Q.OVERFLOW}
# Bits 0 to 4 are common; 5 and 6 mean something else in each kind of point (bit 7 is a state, a reserve, or the same).
DNP3_COMMON = {1: Q.RESTARTED, 2: Q.OLD, 3: Q.SUBSTITUTED, 4: Q.SUBSTITUTED}
DNP3_OWN: dict[str, dict[int, Q]] = {
    "binary": {5: Q.CHATTERING},
    "double": {5: Q.CHATTERING},
    "counter": {5: Q.ROLLED_OVER, 6: Q.ROLLED_OVER},
    "analog": {5: Q.OVERFLOW, 6: Q.INACCURATE},
    "output": {},
}
DNP3_KINDS = {1: "binary", 2: "binary", 3: "double", 4: "double", 10: "output", 11: "output"}
DNP3_KINDS |= dict.fromkeys((20, 21, 22, 23), "counter") | dict.fromkeys((30, 31, 32, 33, 40, 42), "analog")
OPCUA: dict[int, Q] = {
    0x808D_0000: Q.OFFLINE,  # BadOutOfService
    0x808A_0000: Q.OFFLINE,  # BadNotConnected
    0x808B_0000: Q.INVALID,  # BadDeviceFailure
    0x808C_0000: Q.INVALID,  # BadSensorFailure
    0x8031_0000: Q.OLD,  # BadNoCommunication
    0x8032_0000: Q.RESTARTED,  # BadWaitingForInitialData
    0x408F_0000: Q.OLD,  # UncertainNoCommunicationLastUsableValue
    0x4090_0000: Q.OLD,  # UncertainLastUsableValue
    0x4091_0000: Q.SUBSTITUTED,  # UncertainSubstituteValue
    0x4092_0000: Q.RESTARTED | Q.UNCERTAIN,  # UncertainInitialValue
    0x4093_0000: Q.INACCURATE,  # UncertainSensorNotAccurate
    0x4094_0000: Q.OVERFLOW,  # UncertainEngineeringUnitsExceeded
    0x0096_0000: Q.SUBSTITUTED,  # GoodLocalOverride
}
# What only says that the process is high or low, or that a value was calculated, says nothing against it.
STTP: dict[int, Q] = {
    0x0000_0001: Q.INVALID,  # bad data
    0x0000_0002: Q.UNCERTAIN,  # suspect data
    0x0000_0004: Q.OVERFLOW,  # over range
    0x0000_0008: Q.OVERFLOW,  # under range
    0x0000_0100: Q.BLOCKED,  # flat-line alarm
    0x0000_0200: Q.UNCERTAIN,  # comparison alarm
    0x0000_0400: Q.UNCERTAIN,  # rate-of-change alarm
    0x0000_0800: Q.INVALID,  # received as bad
    0x0000_2000: Q.INVALID,  # calculation error
    0x0000_4000: Q.UNCERTAIN,  # calculation warning
    0x0000_8000: Q.UNCERTAIN,  # reserved, of quality
    0x0001_0000: Q.TIME_INVALID,  # bad time
    0x0002_0000: Q.UNSYNCHRONISED,  # suspect time
    0x0004_0000: Q.UNSYNCHRONISED,  # late time alarm
    0x0008_0000: Q.UNSYNCHRONISED,  # future time alarm
    0x0010_0000: Q.DATA_MODIFIED,  # up-sampled
    0x0020_0000: Q.DATA_MODIFIED,  # down-sampled
    0x0040_0000: Q.INVALID,  # discarded value
    0x0080_0000: Q.UNSYNCHRONISED,  # reserved, of time
    0x1000_0000: Q.TEST,  # simulated data
    0x2000_0000: Q.INVALID,  # system error
    0x4000_0000: Q.UNCERTAIN,  # system warning
    0x8000_0000: Q.INVALID,  # measurement error
}
# A compact flag stands for any of several: the worst of them. Of 'data range' most are alarms of the process.
STTP_COMPACT = {
    0x01: Q.UNCERTAIN,  # data range
    0x02: Q.INVALID,  # data quality
    0x04: Q.TIME_INVALID,  # time quality
    0x08: Q.INVALID,  # system issue
    0x20: Q.INVALID,  # discarded value
}
LIMITED = {0x0100: Q.OVERFLOW, 0x0200: Q.OVERFLOW, 0x0300: Q.BLOCKED}


def iec104_quality(
    quality: Mapping[str, int | None], *, time_invalid: bool = False, test: bool = False, carry: bool = False
) -> Q:
    """Return the quality of an information object.

    Args:
        quality: bits iv, nt, sb, bl, ov as the decoder gives them; None where the type has none.
        time_invalid: the IV bit of its time tag.
        test: the T bit of its cause.
        carry: the CY bit of a counter.
    """
    result = Q.GOOD
    for name, flag in IEC104.items():
        if quality.get(name):
            result |= flag
    result |= Q.TIME_INVALID if time_invalid else Q.GOOD
    result |= Q.TEST if test else Q.GOOD
    return result | (Q.ROLLED_OVER if carry else Q.GOOD)


def dnp3_quality(group: int, flags: int | None, *, synchronised: bool = True) -> Q:
    """Return the quality of a point; no flags (objects without) count as good.

    Args:
        group: object group, which says what bits 5 and 6 mean.
        flags: the flag byte.
        synchronised: False for events under an unsynchronised common time (group 51 variation 2).
    """
    result = Q.GOOD if synchronised else Q.UNSYNCHRONISED
    if flags is None:
        return result
    result |= Q.GOOD if flags & 1 else Q.OFFLINE
    for place, flag in (DNP3_COMMON | DNP3_OWN.get(DNP3_KINDS.get(group, "output"), {})).items():
        if flags >> place & 1:
            result |= flag
    return result


def opcua_overflowed(status: int) -> bool:
    """Return whether a status code says that values before this one were lost in the server's queue.

    Source: OPC 10000-4, 7.39.1 (InfoType 01 is DataValue, bit 7 Overflow).
    """
    return status & 0x0C00 == 0x0400 and bool(status & 0x0080)


def opcua_quality(status: int) -> Q:
    """Return the quality of an OPC UA status code (32 bits): severity, known sub-codes, and the limit bits."""
    severity, code = status >> 30, status & 0xFFFF_0000
    result = OPCUA.get(code, Q.GOOD)
    if severity >= 2:
        result |= Q.INVALID
    elif severity == 1:
        result |= Q.UNCERTAIN
    if status & 0x0C00 == 0x0400:  # the low bits tell about a data value
        result |= LIMITED.get(status & 0x0300, Q.GOOD)
    return result


@lru_cache(maxsize=4096)
def c37118_quality(stat: int, time_quality: int = 0) -> Q:
    """Return the quality of a PMU's values by its STAT word and the frame's time quality byte.

    Data error 1 is an error or absent tagged data, 2 a test, 3 an error that must not be used. The trigger bits and the
    change of configuration say nothing about quality.
    """
    result = {0: Q.GOOD, 1: Q.INVALID, 2: Q.TEST, 3: Q.INVALID}[stat >> 14 & 3]
    result |= Q.UNSYNCHRONISED if stat & 0x2000 else Q.GOOD
    result |= Q.TIME_INVALID if stat & 0x1000 else Q.GOOD  # sorted by arrival: the stamp is the concentrator's
    result |= Q.DATA_MODIFIED if stat & 0x0200 else Q.GOOD
    clock = time_quality & 0x0F
    return result | (Q.TIME_INVALID if clock == 0x0F else Q.UNSYNCHRONISED if clock >= 0x0B else Q.GOOD)


@lru_cache(maxsize=4096)
def sttp_quality(flags: int, *, compact: bool = False) -> Q:
    """Return the quality of a value by its state flags: 32 bits, or the 8 of the compact form."""
    result = Q.GOOD
    for bit, flag in (STTP_COMPACT if compact else STTP).items():
        if flags & bit:
            result |= flag
    return result
