"""Owns turning point sheets (CSV with headings of their own) into a registry. Guesses headings, not values."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recloser.connectors.points.registry import COLUMNS, PointRegistry, make_registry
from recloser.connectors.points.sheet import read_sheet
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
# Words in the singular: an 's' at the end of one in the sheet counts for nothing.
DNP3_KINDS = {"bi": "binary", "binaryinput": "binary", "ai": "analog", "analoginput": "analog", "ci": "counter"}
DNP3_KINDS |= {"bo": "output", "binaryoutput": "output", "ao": "analog_output", "analogoutput": "analog_output"}
DNP3_KINDS |= {"dbi": "double", "doublebitinput": "double", "doublebitbinaryinput": "double", "doublebit": "double"}
DNP3_KINDS |= {"binarycounter": "counter", "counterinput": "counter", "runningcounter": "counter"}
DNP3_KINDS |= {"fc": "frozen", "frozencounter": "frozen", "binaryoutputstatu": "output"}
DNP3_KINDS |= {"analogoutputstatu": "analog_output"}
TABLES = {"hr": "holding", "holdingregister": "holding", "ir": "input", "inputregister": "input"}
TABLES |= {"discreteinput": "discrete", "di": "discrete", "co": "coil"}
BITS = {"bool": "", "boolean": "", "bit": ""}  # forms of coils and discrete inputs, which need none
FORMS = {
    "float": "f32",
    "float32": "f32",
    "real": "f32",
    "double": "f64",
    "float64": "f64",
    "int16": "i16",
    "short": "i16",
    "bool": "u16",  # in a register: its number, usually 0 or 1
    "boolean": "u16",
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
    """A registry made from a sheet.

    Attributes:
        registry: all its points.
        used: column of the registry, or part of the address -> heading.
        unused: headings that were left out.
        notes: what was assumed about the file.
    """

    registry: PointRegistry
    used: dict[str, str]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()


def import_sheet(path: Path | str, protocol: str, given: Mapping[str, str] | None = None) -> Imported:
    """Return the registry of a CSV with headings of its own.

    Args:
        path: the sheet; its delimiter is found out, and its encoding: UTF-8, UTF-16 with its mark, else Windows-1252.
        protocol: of the device.
        given: column of the registry -> heading of the sheet, where the usual words do not find it.

    Raises:
        InvalidInput: no CSV, no heading for address or name, a `given` heading that is not there, or a bad row.
        Unavailable: the file cannot be read now.
    """
    place = Path(path)
    try:
        raw = place.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput("no such file", got=str(path), next_step="Check the path.") from error
    except OSError as error:
        raise Unavailable("the sheet cannot be read", got=error.strerror, where=place.name) from error
    text, notes = _decoded(raw, place.name)
    sheet = read_sheet(text, place.name, max(",;\t", key=re.split(r"[\r\n]", text, maxsplit=1)[0].count))
    headings = [heading for heading in sheet.headings if heading]
    used, parts = _headings(headings, protocol, given or {}, place.name)
    rows = [(number, _row(row, protocol, used, parts)) for number, row in sheet.rows]
    registry = make_registry(rows, protocol, place.name)
    taken = set(used.values()) | set(parts.values())
    return Imported(registry, used | parts, tuple(heading for heading in headings if heading not in taken), notes)


def _decoded(raw: bytes, where: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a sheet, and what was assumed about it."""
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InvalidInput("a workbook, no CSV", where=where, next_step="Save the sheet as CSV UTF-8.")
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    tried = {"utf-16": ()} if marked else {"utf-8-sig": (), "cp1252": ("Read as Windows-1252: it is not UTF-8.",)}
    for encoding, notes in tried.items():
        try:
            return raw.decode(encoding), notes
        except UnicodeDecodeError:
            continue
    raise InvalidInput(
        "text of an unknown encoding", expected="UTF-8 or Windows-1252", where=where, next_step="Save it as CSV UTF-8."
    )


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
        kind = _plain(told["kind"]).removesuffix("s")
        return f"{DNP3_KINDS.get(kind, kind)}:{told['index']}"
    if protocol == "modbus":
        table = _plain(told["table"]).removesuffix("s")
        table, form = TABLES.get(table, table), _plain(told.get("form", ""))
        form = (BITS if table in {"coil", "discrete"} else FORMS).get(form, form)
        return f"{told['unit_id']}:{table}:{told['register']}" + (f":{form}" if form else "")
    return ":".join(told.values())
