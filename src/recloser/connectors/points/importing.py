"""Owns turning point sheets (CSV with headings of their own) into a registry. Guesses headings, not values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recloser.connectors.points.registry import COLUMNS, PointRegistry, make_registry
from recloser.core import InvalidInput, Unavailable
from recloser.core.errors import unknown_name

HEADINGS: dict[str, tuple[str, ...]] = {
    "address": ("address", "addr", "nodeid", "node", "topic"),
    "name": (
        "name",
        "pointname",
        "point",
        "tag",
        "tagname",
        "signal",
        "signalname",
        "volttronpointname",
    ),
    "unit": ("unit", "units", "eu", "engunit", "engunits", "engineeringunits", "uom"),
    "scale": ("scale", "scaling", "multiplier", "factor", "gain", "slope"),
    "offset": ("offset", "intercept", "bias"),
    "low": ("low", "min", "lowlimit", "lolimit", "minimum", "lo"),
    "high": ("high", "max", "highlimit", "hilimit", "maximum", "hi"),
    "deadband": ("deadband", "db", "threshold"),
    "role": ("role", "usage"),
    "area": ("area", "feeder", "substation", "zone"),
    "stale_after_s": ("staleafters", "staleafter", "timeouts"),
    "rate_per_s": ("ratepers", "maxrate", "ratelimit", "roclimit"),
    "stuck_after_s": ("stuckafters", "stuckafter"),
}
# Addresses in several columns: put together in the protocol's form.
PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "iec104": {"ca": ("ca", "asduaddress", "commonaddress", "casdu"), "ioa": ("ioa", "objectaddress", "infoaddress")},
    "dnp3": {"kind": ("kind", "pointtype", "objecttype", "type"), "index": ("index", "pointindex", "pointnumber")},
    "modbus": {
        "unit_id": ("unitid", "slave", "slaveid", "device", "deviceid"),
        "table": ("table", "registertype", "area", "modbustype"),
        "register": ("register", "registeraddress", "startaddress", "pointaddress"),
        "form": ("datatype", "type", "format"),
    },
    "c37118": {"idcode": ("idcode", "pmuid", "id"), "channel": ("channel", "channelname")},
}
DNP3_KINDS = {"bi": "binary", "binaryinput": "binary", "ai": "analog", "analoginput": "analog", "ci": "counter"}
DNP3_KINDS |= {"bo": "output", "binaryoutput": "output", "ao": "analog_output", "analogoutput": "analog_output"}
TABLES = {"hr": "holding", "holdingregister": "holding", "ir": "input", "inputregister": "input", "coils": "coil"}
TABLES |= {"discreteinput": "discrete", "di": "discrete", "co": "coil"}
FORMS = {
    "float": "f32",
    "float32": "f32",
    "real": "f32",
    "double": "f64",
    "float64": "f64",
    "int16": "i16",
    "short": "i16",
}
FORMS |= {
    "uint16": "u16",
    "word": "u16",
    "int32": "i32",
    "uint32": "u32",
    "dword": "u32",
    "int64": "i64",
    "uint64": "u64",
}


@dataclass(frozen=True, slots=True)
class Imported:
    """A registry made from a sheet, which heading became which column, and which headings were left out."""

    registry: PointRegistry
    used: dict[str, str]
    unused: tuple[str, ...]


def import_sheet(path: Path | str, protocol: str, given: Mapping[str, str] | None = None) -> Imported:
    """Return the registry of a CSV with headings of its own.

    Args:
        path: the sheet; its delimiter is found out.
        protocol: of the device.
        given: column of the registry -> heading of the sheet, where the usual words do not find it.

    Raises:
        InvalidInput: no heading for address or name, a `given` heading that is not there, or a bad row.
        Unavailable: the file cannot be read now.
    """
    place = Path(path)
    try:
        text = place.read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise InvalidInput("no such file", got=str(path), next_step="Check the path.") from error
    except OSError as error:
        raise Unavailable("the sheet cannot be read", got=error.strerror, where=place.name) from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    headings = [heading for heading in reader.fieldnames or [] if heading]
    used, parts = _headings(headings, protocol, given or {}, place.name)
    rows = [
        (number, _row(row, protocol, used, parts))
        for number, row in enumerate(reader, 2)
        if any(filter(None, row.values()))
    ]
    registry = make_registry(rows, protocol, place.name)
    taken = set(used.values()) | set(parts.values())
    return Imported(registry, used | parts, tuple(heading for heading in headings if heading not in taken))


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z0-9]", "", heading.lower())


def _find(headings: list[str], words: tuple[str, ...]) -> str | None:
    return next((heading for word in words for heading in headings if _plain(heading) == word), None)


def _headings(
    headings: list[str], protocol: str, given: Mapping[str, str], where: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return registry column -> heading, and address part -> heading."""
    parts_known = PARTS.get(protocol, {})
    for column, heading in given.items():
        if column not in COLUMNS and column not in parts_known:
            raise unknown_name("column", column, [*COLUMNS, *parts_known], where=where)
        if heading not in headings:
            raise unknown_name("heading", heading, headings, where=where)
    found = {part: given.get(part) or _find(headings, words) for part, words in parts_known.items()}
    parts = {part: heading for part, heading in found.items() if heading is not None}
    named = {column: given.get(column) or _find(headings, words) for column, words in HEADINGS.items()}
    used = {column: heading for column, heading in named.items() if heading and heading not in parts.values()}
    whole = [part for part in parts_known if part != "form"]
    if "address" not in used and not (whole and all(part in parts for part in whole)):
        raise InvalidInput(
            "no heading for the address",
            got=", ".join(headings),
            expected="a column address" + (f", or {', '.join(whole)}" if whole else ""),
            where=where,
            next_step="Name it: --column address=HEADING.",
        )
    if "name" not in used:
        raise InvalidInput(
            "no heading for the name", got=", ".join(headings), where=where, next_step="Name it: --column name=HEADING."
        )
    return used, ({} if "address" in used else parts)


def _row(row: Mapping[str, Any], protocol: str, used: dict[str, str], parts: dict[str, str]) -> dict[str, str]:
    values = {column: (row.get(heading) or "").strip() for column, heading in used.items()}
    if parts:
        told = {part: (row.get(heading) or "").strip() for part, heading in parts.items()}
        values["address"] = _address(protocol, told)
    return {column: value for column, value in values.items() if value}


def _address(protocol: str, told: Mapping[str, str]) -> str:
    if protocol == "dnp3":
        kind = _plain(told["kind"])
        return f"{DNP3_KINDS.get(kind, kind)}:{told['index']}"
    if protocol == "modbus":
        table, form = _plain(told["table"]), _plain(told.get("form", ""))
        address = f"{told['unit_id']}:{TABLES.get(table, table)}:{told['register']}"
        return f"{address}:{FORMS.get(form, form)}" if form else address
    return ":".join(told.values())
