"""Owns the acts of people about a rollout as verbs: approve, reject, hold, resume, override. Decides nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.people.proposers import proposers_of
from recloser.app.people.timing import live_in, time_base
from recloser.app.platform import Platform
from recloser.core import InvalidInput, Refused, unknown_name
from recloser.ledger import RolloutRecord
from recloser.rollout import CommandKind, Order


def approve_rollout(folder: Path, rollout: str, *, name: str, reason: str, evidence: str = "") -> dict[str, Any]:
    """Approve what a rollout asks people about; the next tick of the controller counts it.

    Args:
        folder: project.
        rollout: its id or its release.
        name: who approves, as in `[rollout.approval] roles`.
        reason: why.
        evidence: the digest that the person has seen, or its beginning; empty takes the present one.

    Returns:
        {"rollout", "release", "kind", "name", "role", "case", "state", "sentence"}.

    Raises:
        InvalidInput: no such rollout, or nobody of that name has a role.
        Refused: it does not await approval, the evidence changed, or the person proposed it.
    """
    with Platform.open(folder) as platform:
        loop = ControlLoop(platform, LoopOptions())
        return approve_in(loop, rollout, name=name, reason=reason, evidence=evidence)


def approve_in(loop: ControlLoop, rollout: str, *, name: str, reason: str, evidence: str) -> dict[str, Any]:
    """Approve in an open project; see `approve_rollout`."""
    platform = loop.platform
    approval = platform.project.rollout.approval
    role = role_of(platform, name, required=True)
    name = approval.person(name) or name
    subject = _known(platform, rollout)
    order = Order(CommandKind.RESUME, name, reason, role, rollout)
    lasts = timedelta(hours=approval.expires_hours)
    proposers = proposers_of(platform, subject.release)
    asked = loop.controller.approve(order, case=evidence, lasts=lasts, proposers=proposers)
    return {
        "rollout": asked.key,
        "release": asked.release,
        "kind": "approve",
        "name": name,
        "role": role,
        "case": asked.case,
        "state": str(asked.state),
        "sentence": f"{name} approves {asked.release} on evidence {asked.case[:12]}; counted at the next tick.",
    }


def order_rollout(folder: Path, kind: str, rollout: str, *, name: str, reason: str) -> dict[str, Any]:
    """Reject, hold, resume or override a rollout.

    Hold and resume are open to anybody who operates the project; a rejection needs a person with a role where roles
    are set up, an override one of `[rollout.approval] override`.

    Returns:
        As `approve_rollout`; `case` is empty.

    Raises:
        InvalidInput: no such rollout, or nobody of that name has a role.
        Refused: its state forbids it, or what nobody may override does.
    """
    with Platform.open(folder) as platform:
        live_in(platform, time_base(platform))
        return order_in(ControlLoop(platform, LoopOptions()), kind, rollout, name=name, reason=reason)


def order_in(loop: ControlLoop, kind: str, rollout: str, *, name: str, reason: str) -> dict[str, Any]:
    """Carry out an order in an open project; see `order_rollout`."""
    platform, command = loop.platform, CommandKind(kind)
    role = role_of(platform, name, required=command is CommandKind.OVERRIDE or _wants_role(platform, command))
    if command is CommandKind.OVERRIDE:
        role = _overrider(platform, name)
    name = platform.project.rollout.approval.person(name) or name
    _known(platform, rollout)
    source = loop.evidence if command is CommandKind.OVERRIDE else None
    outcome = loop.controller.order(Order(command, name, reason, role, rollout), source)
    subject, action = outcome.rollout, outcome.action
    assert subject is not None
    assert action is not None
    return {
        "rollout": subject.key,
        "release": subject.release,
        "kind": kind,
        "name": name,
        "role": role,
        "case": "",
        "state": str(action.state),
        "sentence": f"{subject.release} is {action.state} now: {action.reason}",
    }


def role_of(platform: Platform, name: str, *, required: bool) -> str | None:
    """Return a person's role by the project file, None without one.

    Raises:
        InvalidInput: a role is required, and there is none.
    """
    approval = platform.project.rollout.approval
    roles = approval.roles_of(name)
    if not roles and required:
        names = sorted({person for names in approval.roles.values() for person in names})
        if not names:
            raise InvalidInput(
                "nobody has a role in this project",
                got=name,
                where="[rollout.approval] roles",
                next_step='Name people there, such as roles = { lead = ["ann"] }.',
            )
        raise unknown_name("name with a role", name, names, "--as")
    return roles[0] if roles else None


def _wants_role(platform: Platform, command: CommandKind) -> bool:
    return command is CommandKind.REJECT and bool(platform.project.rollout.approval.roles)


def _overrider(platform: Platform, name: str) -> str:
    approval = platform.project.rollout.approval
    for role in approval.roles_of(name):
        if role in approval.override:
            return role
    raise Refused(
        "not a person who may override",
        got=name,
        expected=f"a role of {', '.join(approval.override) or 'nobody: [rollout.approval] override is empty'}",
        where="--as",
        next_step="Ask one of them, or wait for what `recloser rollout explain` names.",
    )


def _known(platform: Platform, rollout: str) -> RolloutRecord:
    records = platform.ledger.find(RolloutRecord, order_by="started_at", descending=True)
    names = [name for record in records for name in (record.release, record.key)]
    if rollout not in names:
        raise unknown_name("rollout", rollout, names, "ROLLOUT")
    return next(record for record in records if rollout in {record.release, record.key})
