"""Owns which rollouts move together: those that fall with one, and those of an operator's rollback. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recloser.core import Refused
from recloser.rollout.decide import Action, Target
from recloser.rollout.evidence import Evidence
from recloser.rollout.rollout import BARRED, TRYING, Rollout, RolloutState, World

_S = RolloutState


@dataclass(frozen=True, slots=True)
class Move:
    """One rollout and the action decided about it on that evidence."""

    rollout: Rollout
    action: Action
    evidence: Evidence


def companions(world: World, moves: Sequence[Move], target: Target | None) -> list[Move]:
    """Return the moves that must go with these: when only the ladder is left, the champion's rollout trips too (I9)."""
    if target is None or target.champion is not None:
        return []
    moved = {move.rollout.key for move in moves}
    reason = f"falls with {moves[0].rollout.release}: {moves[0].action.reason}"
    return [
        Move(
            other,
            Action(_S.TRIPPED, reason, recall=True, event="falls_with", tier=moves[0].action.tier),
            moves[0].evidence,
        )
        for other in world.rollouts
        if other.state is _S.CHAMPION and other.key not in moved
    ]


def rollback_subject(world: World) -> Rollout:
    """Return the rollout that an operator's rollback without a target is about: the one whose release has traffic.

    Raises:
        Refused: there is none.
    """
    trying = [r for r in world.rollouts if r.state in TRYING]
    # By the route, not by the phase alone: the canary of a champion that tripped has no traffic any more.
    route = world.route
    traffic = set() if route is None else {route.canary, route.champion}
    exposed = [r for r in trying if r.phase is not _S.QUEUED and r.release in traffic]
    serving = [r for r in world.rollouts if r.state is _S.CHAMPION and r.release == world.champion]
    for rollout in (*exposed, *serving, *trying):
        return rollout
    raise Refused("nothing to roll back: no release serves", where="rollback", next_step="See `recloser status`.")


def reopening(world: World, to: str, evidence: Evidence) -> tuple[list[Move], Target]:
    """Return the moves and the route of an operator's rollback to a retained release.

    Args:
        world: with all rollouts and the record of `to`.
        to: the release to return to.
        evidence: the command, and whether `to` verifies (target_ready).

    Raises:
        Refused: `to` serves already, was never champion (a rollback cannot promote), was tripped or does not verify.
    """
    back = world.latest_of(to)
    record = world.releases.get(to)
    trying = [r for r in world.rollouts if r.state in TRYING and r.phase is not _S.QUEUED]
    problem = ""
    if back is None or record is None:
        problem = "it was never champion: a rollback cannot promote"
    elif back.state is _S.TRIPPED or record.state in BARRED:
        problem = f"it is {record.state}"
    elif evidence.target_ready is not True:
        problem = evidence.ready_reason or "it does not verify"
    elif any(r.release == to for r in trying):
        problem = "it is the one on trial"
    elif world.champion == to and not trying:
        problem = "it serves already"
    if problem or back is None:
        raise Refused(f"cannot roll back to this release: {problem}", got=to, where="rollback")
    command = evidence.command
    by = "" if command is None else f"{command.actor}: {command.reason}"
    key = "" if command is None else command.key
    exposed = {_S.CANARY, _S.PROBATION, _S.CHAMPION}
    moves = [
        Move(
            rollout,
            Action(
                _S.ROLLED_BACK if rollout.release == world.champion or rollout.state in TRYING else _S.RETIRED,
                f"rolled back to {to} by {by}",
                recall=rollout.phase in exposed and (rollout.state in TRYING or rollout.release == world.champion),
                event="rollback_to",
                tier="operator",
                handled=key,
            ),
            evidence,
        )
        for rollout in (*trying, *(r for r in world.rollouts if r.state is _S.CHAMPION))
        if rollout.release != to
    ]
    if not moves:
        moves = [
            Move(
                replace(back, champion=None),  # who served before it then is no target of a rollback now
                Action(_S.CHAMPION, f"restored by {by}", event="rollback_to", tier="operator", handled=key),
                evidence,
            )
        ]
    return moves, Target(to)
