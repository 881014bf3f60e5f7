"""Owns what one step of a rollout is, the route that belongs to a phase, and applying a step. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from recloser.rollout.rollout import STOPPED, Rollout, RolloutState

_S = RolloutState


@dataclass(frozen=True, slots=True)
class Target:
    """Who shall serve: champion (None = fallback ladder alone), canary with its share, the shadow, and the first rung.

    No rung: the ladder in its usual order.
    """

    champion: str | None
    canary: str | None = None
    share: float = 0.0
    shadow: str | None = None
    rung: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What one tick does to a rollout.

    Attributes:
        state: the next state; the present one when nothing happens.
        reason: in plain words.
        event: which rule of `machine.table` it is; empty when nothing happens.
        target: the route wanted; None leaves it as it is.
        recall: re-issue the release's unexpired forecasts.
        tier: T0..T3 or 'operator', 'deadline', 'lease', ... for what ended or pulled it; empty otherwise.
        alarm: what a person must look at now; empty when the automatic response was enough.
        step: the next canary step.
        held_from: the state that a held rollout, or one that awaits approval, stands in.
        pulled: the next value of the rollout's mark.
        handled: key of the command that took effect; empty for none.
        case: what people are asked to approve; empty unless it awaits approval.
        overridden: who overrides the gates of what people are asked, and why; empty for nobody.
        numbers: the test numbers behind it, JSON-ready.
    """

    state: RolloutState
    reason: str
    target: Target | None = None
    recall: bool = False
    event: str = ""
    tier: str = ""
    alarm: str = ""
    step: int = 0
    held_from: RolloutState | None = None
    pulled: bool = False
    handled: str = ""
    case: str = ""
    overridden: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)

    def changes(self, rollout: Rollout) -> bool:
        """Return whether it changes anything about the rollout or the route."""
        held = rollout.held_from if rollout.state in STOPPED else None
        wanted = (self.state, self.step, self.held_from, self.case)
        stands = (rollout.state, rollout.step, held, rollout.case)
        return wanted != stands or self.target is not None or bool(self.handled)


def target_of(rollout: Rollout, phase: RolloutState, step: int = 0) -> Target | None:
    """Return the route that belongs to a phase of the rollout; None where the phase wants nothing."""
    if phase is _S.SHADOW:
        return Target(rollout.champion, shadow=rollout.release)
    if phase is _S.CANARY:
        return Target(rollout.champion, rollout.release, rollout.plan.steps[step].share)
    if phase is _S.PROBATION:
        return Target(rollout.release, shadow=rollout.champion)
    if phase is _S.CHAMPION:
        return Target(rollout.release)
    return None


def apply(rollout: Rollout, action: Action, now: datetime) -> Rollout:
    """Return the rollout after the action; `since` moves only with state or step."""
    if not action.changes(rollout):
        return rollout
    moved = (action.state, action.step, action.case) != (rollout.state, rollout.step, rollout.case)
    promoted = action.state in {_S.PROBATION, _S.CHAMPION}
    following = replace(
        rollout,
        state=action.state,
        since=now if moved else rollout.since,
        tried_at=now if action.state is _S.SHADOW and rollout.tried_at is None else rollout.tried_at,
        promoted_at=now if promoted and rollout.promoted_at is None else rollout.promoted_at,
        finished_at=None,
        held_from=action.held_from,
        step=action.step,
        pulled=action.pulled,
        handled=action.handled or rollout.handled,
        case=action.case,
        overridden=action.overridden,
        reason=action.reason,
        facts=action.numbers,
    )
    return following.ended(action.state, action.reason, now) if following.finished else following


def stay(rollout: Rollout, reason: str) -> Action:
    """Return the action that changes nothing, and why."""
    return Action(
        rollout.state,
        reason,
        step=rollout.step,
        held_from=rollout.held_from if rollout.state in STOPPED else None,
        pulled=rollout.pulled,
        case=rollout.case,
        overridden=rollout.overridden,
    )
