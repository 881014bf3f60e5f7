"""Owns the verbs of people: approve, reject, hold, resume, override, freeze."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from recloser.app import add_freeze, approve_rollout, lift_freeze, list_freezes, order_rollout
from recloser.cli.options import Instant, example, json_option, project_option, said
from recloser.cli.output import emit

as_option = click.option("--as", "name", required=True, callback=said, help="Who; goes into the audit log.")
reason_option = click.option("--reason", required=True, callback=said, help="Why; it goes into the audit log.")
actor_option = click.option("--actor", default="operator", show_default=True, callback=said, help="Who asks.")


def _sentence(document: Any) -> str:
    return str(document["sentence"])


@click.command("approve", epilog=example('recloser approve rel-3f9a12bc04de --as ann --reason "checked the peaks"'))
@click.argument("rollout")
@as_option
@reason_option
@click.option("--evidence", default="", help="Digest you have seen, or its beginning; refused if it changed since.")
@project_option
@json_option
def approve(rollout: str, name: str, reason: str, evidence: str, project: Path, as_json: bool) -> None:
    """Say yes to what a rollout (its id or its release) asks people about; bound to the evidence as it stands."""
    result = approve_rollout(project, rollout, name=name, reason=reason, evidence=evidence)
    emit(result, as_json=as_json, text=_sentence)


@click.command("reject", epilog=example('recloser reject rel-3f9a12bc04de --as ann --reason "not before the peak"'))
@click.argument("rollout")
@as_option
@reason_option
@project_option
@json_option
def reject(rollout: str, name: str, reason: str, project: Path, as_json: bool) -> None:
    """End a rollout that was not promoted yet; its traffic returns to the champion."""
    emit(order_rollout(project, "reject", rollout, name=name, reason=reason), as_json=as_json, text=_sentence)


@click.command("hold", epilog=example('recloser hold rel-3f9a12bc04de --as ann --reason "switching on feeder 7"'))
@click.argument("rollout")
@as_option
@reason_option
@project_option
@json_option
def hold(rollout: str, name: str, reason: str, project: Path, as_json: bool) -> None:
    """Stop a rollout where it stands; protections and its deadline go on."""
    emit(order_rollout(project, "hold", rollout, name=name, reason=reason), as_json=as_json, text=_sentence)


@click.command("resume", epilog=example('recloser resume rel-3f9a12bc04de --as ann --reason "feeder 7 is back"'))
@click.argument("rollout")
@as_option
@reason_option
@project_option
@json_option
def resume(rollout: str, name: str, reason: str, project: Path, as_json: bool) -> None:
    """Let a held rollout go on; the time of its phase starts anew."""
    emit(order_rollout(project, "resume", rollout, name=name, reason=reason), as_json=as_json, text=_sentence)


@click.command("override", epilog=example('recloser override rel-3f9a12bc04de --as ann --reason "feeder was split"'))
@click.argument("rollout")
@as_option
@reason_option
@project_option
@json_option
def override(rollout: str, name: str, reason: str, project: Path, as_json: bool) -> None:
    """Take a rollout's next step without its time, proof or approvals; never past a freeze or signs of harm."""
    emit(order_rollout(project, "override", rollout, name=name, reason=reason), as_json=as_json, text=_sentence)


@click.group("freeze", epilog=example('recloser freeze add --reason "storm"'))
def freeze() -> None:
    """Times in which nothing is promoted or deployed; rollbacks go on."""


@freeze.command("add", epilog=example('recloser freeze add --to 2026-12-01T06:00Z --reason "storm"'))
@click.option("--from", "start", type=Instant(), help="When it begins (default: now).")
@click.option("--to", "end", type=Instant(), help="When it ends (default: when it is lifted).")
@reason_option
@actor_option
@project_option
@json_option
def add(start: datetime | None, end: datetime | None, reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Freeze promotions and deployments."""
    emit(add_freeze(project, start=start, end=end, reason=reason, actor=actor), as_json=as_json, text=_sentence)


@freeze.command("list", epilog=example("recloser freeze list --json"))
@project_option
@json_option
def listed(project: Path, as_json: bool) -> None:
    """Freezes in force, declared ahead, and recurring."""
    emit(list_freezes(project), as_json=as_json, text=_freezes_text)


def _freezes_text(document: Any) -> str:
    lines = [f"in force: {row['reason']}, until {row['until'] or 'it is lifted'}" for row in document["in_force"]]
    lines += [f"{r['freeze']}: {r['from']} .. {r['to'] or 'lifted'}, {r['reason']}" for r in document["declared"]]
    lines += [f"recurring: {r['begins']} for {r['lasts_hours']} h, {r['reason']}" for r in document["recurring"]]
    return "\n".join(lines) or "no freezes"


@freeze.command("lift", epilog=example('recloser freeze lift freeze-3f9a12bc04de --reason "the storm is over"'))
@click.argument("key", metavar="FREEZE")
@reason_option
@actor_option
@project_option
@json_option
def lift(key: str, reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Lift a declared freeze now."""
    emit(lift_freeze(project, key, reason=reason, actor=actor), as_json=as_json, text=_sentence)


VERBS = (approve, reject, hold, resume, override, freeze)
