"""Owns what a person's order is about and when it is refused. Carries nothing out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from recloser.core import Refused
from recloser.ledger import ActRecord
from recloser.rollout.decide import Action
from recloser.rollout.evidence import CommandKind, Evidence
from recloser.rollout.gates import needs_approval, override_blockers
from recloser.rollout.people.approval import Approval, approval_key
from recloser.rollout.people.asking import behind
from recloser.rollout.people.proposers import Proposers
from recloser.rollout.rollout import Rollout, RolloutState, World, trial_of


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asks.

    Attributes:
        kind: see `CommandKind`; of an approval it is not looked at.
        actor, reason: who and why.
        role: in which role.
        rollout: key of the rollout, or its release; None means the one on trial.
    """

    kind: CommandKind
    actor: str
    reason: str
    role: str | None = None
    rollout: str | None = None


def subject_of(world: World, order: Order) -> Rollout:
    """Return the rollout that an order is about.

    Raises:
        Refused: there is none alive.
    """
    if order.rollout is None:
        trial = trial_of(world)
        if trial is None:
            raise Refused("no rollout is on trial", where=str(order.kind), next_step="See `recloser status`.")
        return trial
    found = [r for r in world.rollouts if order.rollout in {r.key, r.release} and not r.finished]
    if not found:
        raise Refused("no such rollout is under way", got=order.rollout, next_step="See `recloser status`.")
    return found[-1]


def refusal(order: Order, rollout: Rollout, evidence: Evidence, action: Action) -> Refused:
    """Return why the order cannot be carried out."""
    what = f"cannot {order.kind} a rollout in this state"
    next_step = "See `recloser rollout explain`."
    firm = override_blockers(rollout, evidence) if order.kind is CommandKind.OVERRIDE else ()
    if firm:
        return Refused(f"nobody may override this: {'; '.join(firm)}", where=rollout.key, next_step=next_step)
    if order.kind is CommandKind.OVERRIDE and needs_approval(rollout) and behind(rollout, evidence).bar(order.actor):
        return own_release(order.actor, rollout)
    if order.kind is CommandKind.OVERRIDE and action.state is not rollout.state:
        return Refused(f"a protection comes first: {action.reason}", where=rollout.key, next_step=next_step)
    if order.kind is CommandKind.REJECT:
        next_step = "It serves already: use `recloser rollback`."
    return Refused(what, got=str(rollout.state), where=rollout.key, next_step=next_step)


def own_release(name: str, rollout: Rollout) -> Refused:
    """Return the refusal of a person's yes to a release that the same person proposed."""
    what = "who proposed a release cannot approve it"
    return Refused(what, got=name, where=rollout.key, next_step="Ask somebody else (two-person rule).")


def require_approvable(rollout: Rollout, order: Order, case: str, proposers: Proposers) -> None:
    """See that the rollout awaits approval of this case, and may have it from this person.

    Raises:
        Refused: it does not, or the person proposed the release.
    """
    if rollout.state is not RolloutState.AWAITING_APPROVAL:
        raise Refused(
            "this rollout does not await approval",
            got=str(rollout.state),
            where=rollout.key,
            next_step="See `recloser rollout explain`.",
        )
    if rollout.proposers.joined(proposers).bar(order.actor):
        raise own_release(order.actor, rollout)
    if not rollout.case.startswith(case):
        raise Refused(
            "the evidence has changed since you saw it",
            got=case,
            expected=rollout.case,
            where=rollout.key,
            next_step="Read `recloser rollout explain` again, then approve what it shows.",
        )


def approval_act(rollout: Rollout, order: Order, now: datetime, until: datetime) -> ActRecord:
    """Return the record of a yes; the same person's later yes to the same case replaces it."""
    return ActRecord(
        key=approval_key(rollout.key, rollout.case, order.actor),
        at=now,
        rollout=rollout.key,
        release=rollout.release,
        kind="approve",
        name=order.actor,
        role=order.role,
        reason=order.reason,
        evidence_digest=rollout.case,
        expires_at=until,
        followed=True,
    )


def approvals_of(acts: Iterable[ActRecord]) -> tuple[Approval, ...]:
    """Return the approvals that the acts of one rollout hold."""
    return tuple(
        Approval(act.name, act.role or "", act.evidence_digest, act.expires_at)
        for act in acts
        if act.kind == "approve" and act.expires_at is not None
    )
