"""Owns the verbs about a device's points: make a registry from an existing sheet, and check one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from recloser.cli.options import example, json_option
from recloser.cli.output import emit
from recloser.connectors.points import PROTOCOLS, import_sheet, read_registry, registry_text
from recloser.core import InvalidInput

protocol_option = click.option(
    "--protocol", required=True, type=click.Choice(PROTOCOLS), help="What the device speaks."
)
existing = click.Path(path_type=Path, dir_okay=False)


@click.group("points", epilog=example("recloser points check points/rtu7.csv --protocol iec104"))
def points() -> None:
    """Registries of points: what each address of a device is called and means."""


@points.command(
    "import",
    epilog=example("recloser points import rtu7.csv --protocol iec104 --column name=SIGNAL --out points/rtu7.csv"),
)
@click.argument("sheet", type=existing)
@protocol_option
@click.option(
    "--column", "columns", multiple=True, metavar="COLUMN=HEADING", help="Where the usual words do not find it."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The registry to write.")
@click.option("--replace", is_flag=True, help="Overwrite a registry that is there.")
@json_option
def import_points(
    sheet: Path, protocol: str, columns: tuple[str, ...], out: Path, replace: bool, as_json: bool
) -> None:
    """Make a registry from a CSV with headings of its own; all of it or nothing."""
    pairs = [column.partition("=") for column in columns]
    if not all(name and sign and heading for name, sign, heading in pairs):
        raise InvalidInput("a column without its heading", got=", ".join(columns), expected="COLUMN=HEADING")
    if out.exists() and not replace:
        raise InvalidInput(
            "the registry is there already", got=str(out), next_step="Add --replace, or name another file."
        )
    imported = import_sheet(sheet, protocol, {name: heading for name, _, heading in pairs})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(registry_text(imported.registry), encoding="utf-8")
    document = {
        "registry": str(out),
        "protocol": protocol,
        "points": len(imported.registry.points),
        "used": imported.used,
        "unused": list(imported.unused),
        "notes": list(imported.notes),
    }
    emit(document, as_json=as_json, text=lambda d: f"{d['points']} points written to {d['registry']}; {_told(d)}")


def _told(document: Mapping[str, Any]) -> str:
    unused = document["unused"]
    told = f"headings left out: {', '.join(unused)}" if unused else "every heading was used"
    return "\n".join([told, *document["notes"]])


@points.command("check", epilog=example("recloser points check points/rtu7.csv --protocol iec104"))
@click.argument("registry", type=existing)
@protocol_option
@json_option
def check_points(registry: Path, protocol: str, as_json: bool) -> None:
    """Read a registry and say whether it is sound."""
    found = read_registry(registry, protocol)
    roles: dict[str, int] = {}
    for point in found.points:
        roles[point.role] = roles.get(point.role, 0) + 1
    document = {"registry": str(registry), "protocol": protocol, "points": len(found.points), "roles": roles}
    emit(document, as_json=as_json, text=lambda d: f"{d['points']} points, sound: {roles}")


VERBS = (points,)
