"""Owns the form of each protocol's addresses, the ranges of their numbers, and which two texts are one address."""

from __future__ import annotations

import re

from recloser.core import InvalidInput

REGISTERS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "f32": 2, "f64": 4}
"""How many registers of Modbus a number of each type takes."""
REGISTER = rf"(?P<register>\d{{1,19}})(:(?P<type>{'|'.join(REGISTERS)})(:swap)?)?"
ADDRESSES: dict[str, tuple[str, str]] = {
    "iec104": (
        r"(?P<common_address>\d{1,19}):(?P<object_address>\d{1,19})",
        "COMMON_ADDRESS:OBJECT_ADDRESS such as 10:1300",
    ),
    "dnp3": (
        r"(binary|double|counter|frozen|analog|output|analog_output):(?P<index>\d{1,19})",
        "KIND:INDEX such as analog:7",
    ),
    "modbus": (
        rf"(?P<unit>\d{{1,19}}):((coil|discrete):(?P<bit>\d{{1,19}})|(holding|input):{REGISTER})",
        "UNIT:TABLE:ADDRESS such as 1:coil:9, for registers with :TYPE such as 1:holding:100:f32",
    ),
    "c37118": (r"(?P<idcode>\d{1,19}):.+", "IDCODE:CHANNEL such as 241:VA"),
    "sttp": (r"[^;{}'\s][^;{}']*", "a signal's UUID or point tag such as SHELBY_FREQ"),
    "opcua": (r"(ns=(?P<namespace>\d{1,19});)?[isgb]=.+", "a node id such as ns=2;s=Feeder1.P"),
    "mqtt": (r"[^#+]+", "a topic without wildcards"),
    "sparkplug": (r"[^/+#|]+/[^/+#|]+(/[^/+#|]+)?\|.+", "GROUP/EDGE_NODE[/DEVICE]|METRIC such as Grid/Bay3|Feeder1/P"),
}
PROTOCOLS = tuple(ADDRESSES)
RANGES: dict[str, tuple[int, int]] = {
    "common_address": (1, 65_534),  # 0 is not used, 65535 is all stations (IEC 60870-5-101, 7.2.4)
    "object_address": (0, 0xFFFFFF),
    "index": (0, 0xFFFFFFFF),
    "unit": (0, 255),
    "bit": (0, 0xFFFF),
    "register": (0, 0xFFFF),
    "idcode": (1, 65_534),  # IEEE C37.118.2, table 2
    "namespace": (0, 0xFFFF),
}


def canonical_address(protocol: str, address: str, where: str) -> str:
    """Return the one way to write an address: numbers without leading zeros, nothing that is meant anyway.

    Args:
        protocol: one of PROTOCOLS.
        address: as written.
        where: it stands, for errors.

    Raises:
        InvalidInput: it has not the protocol's form, or a number is out of range.
    """
    pattern, form = ADDRESSES[protocol]
    found = re.fullmatch(pattern, address, re.ASCII)
    if found is None:
        raise InvalidInput(
            f"not an address of {protocol}", got=address, expected=form, where=where, next_step="Correct the address."
        )
    told = address
    for name, text in sorted(found.groupdict().items(), key=lambda item: -found.start(item[0])):
        if text is None or name not in RANGES:
            continue
        low, high = RANGES[name]
        if name == "register":
            high -= REGISTERS[found["type"] or "u16"] - 1
        if not low <= int(text) <= high:
            raise InvalidInput(
                f"an address of {protocol} that cannot be: its {name.replace('_', ' ')}",
                got=address,
                expected=f"{low} .. {high}",
                where=where,
                next_step="Correct the address.",
            )
        told = told[: found.start(name)] + str(int(text)) + told[found.end(name) :]
    if protocol == "modbus":
        return told.removesuffix(":u16")
    return told.removeprefix("ns=0;") if protocol == "opcua" else told
