"""Owns the verbs of people: approve, reject, hold, resume, override, freeze, agreement."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from recloser.app import add_freeze, approve_rollout, lift_freeze, list_freezes, order_rollout, told_agreement
from recloser.cli.options import Instant, actor_option, example, json_option, project_option, reason_option, said
from recloser.cli.output import emit, sentence
from recloser.core import format_utc

as_option = click.option("--as", "name", required=True, callback=said, help="Who; goes into the audit log.")


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
    emit(result, as_json=as_json, text=sentence)


def _order(kind: str, why: str, what: str) -> click.Command:
    """Return the verb that gives a rollout an order; `why` stands in its example."""

    @click.command(kind, help=what, epilog=example(f'recloser {kind} rel-3f9a12bc04de --as ann --reason "{why}"'))
    @click.argument("rollout")
    @as_option
    @reason_option
    @project_option
    @json_option
    def order(rollout: str, name: str, reason: str, project: Path, as_json: bool) -> None:
        emit(order_rollout(project, kind, rollout, name=name, reason=reason), as_json=as_json, text=sentence)

    return order


reject = _order(
    "reject", "not before the peak", "End a rollout that was not promoted yet; its traffic returns to the champion."
)
hold = _order("hold", "switching on feeder 7", "Stop a rollout where it stands; protections and its deadline go on.")
resume = _order("resume", "feeder 7 is back", "Let a held rollout go on; the time of its phase starts anew.")
override = _order(
    "override",
    "feeder was split",
    "Take a rollout's next step without its time, proof or approvals; never past a freeze or signs of harm.",
)


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
    emit(add_freeze(project, start=start, end=end, reason=reason, actor=actor), as_json=as_json, text=sentence)


@freeze.command("list", epilog=example("recloser freeze list --json"))
@project_option
@json_option
def listed(project: Path, as_json: bool) -> None:
    """Freezes in force, declared ahead, and recurring."""
    emit(list_freezes(project), as_json=as_json, text=_freezes_text)


def _freezes_text(document: Any) -> str:
    lines = [f"in force: {row['reason']}, until {_time(row['until'], 'it is lifted')}" for row in document["in_force"]]
    lines += [
        f"{r['freeze']}: {_time(r['from'], '')} .. {_time(r['to'], 'lifted')}, {r['reason']}"
        for r in document["declared"]
    ]
    lines += [f"recurring: {r['begins']} for {r['lasts_hours']} h, {r['reason']}" for r in document["recurring"]]
    return "\n".join(lines) or "no freezes"


def _time(at: datetime | None, without: str) -> str:
    return without if at is None else format_utc(at)


@freeze.command("lift", epilog=example('recloser freeze lift freeze-3f9a12bc04de --reason "the storm is over"'))
@click.argument("key", metavar="FREEZE")
@reason_option
@actor_option
@project_option
@json_option
def lift(key: str, reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Lift a declared freeze now."""
    emit(lift_freeze(project, key, reason=reason, actor=actor), as_json=as_json, text=sentence)


@click.command("agreement", epilog=example("recloser agreement --since 2026-01-01 --json"))
@click.option("--since", type=Instant(), help="Only what was decided from then on (default: all).")
@project_option
@json_option
def agreement(since: datetime | None, project: Path, as_json: bool) -> None:
    """Tell how often people followed the advice, each person, and why not."""
    emit(told_agreement(project, since=since), as_json=as_json, text=_agreement_text)


def _agreement_text(document: Any) -> str:
    lines = [document["sentence"]]
    lines += [f"  {row['name']}: {row['followed']} of {row['advised']}" for row in document["by_person"]]
    lines += [f"  against: {r['kind']} {r['release']}: {r['reason']}" for r in document["reasons_against"]]
    return "\n".join(lines)


VERBS = (approve, reject, hold, resume, override, freeze, agreement)
