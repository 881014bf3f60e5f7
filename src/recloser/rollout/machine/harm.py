"""Owns the fall back of a champion that a changed relation harms now: to whom, and when not. Switches nothing."""

from __future__ import annotations

from datetime import datetime

from recloser.rollout.evidence import Evidence
from recloser.rollout.machine.action import Action, Target
from recloser.rollout.paired.retreat import Harm, Rival
from recloser.rollout.rollout import Rollout, RolloutState

_S = RolloutState


def on_harm(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """Let who would have served better take over from a champion that is harmed now.

    The former champion needs its package verified (I2) and a clean record; a rung of the ladder is always there. While
    a challenger is on trial the trial decides, unless the champion does worse than the naive floor. Nothing is done
    where nobody would have been better.
    """
    harm = evidence.harm
    if harm is None or rollout.phase is not _S.CHAMPION or (not evidence.slot_free and not harm.critical):
        return None
    chosen = next((rival for rival in harm.rivals if rival.better and _may(rival, rollout, evidence)), None)
    if chosen is None:
        return None
    reason = f"harmed now: {harm.reason} {_capital(chosen.sentence())}"
    target = Target(chosen.name) if chosen.release else Target(None, rung=chosen.name)
    alarm = "" if chosen.release else f"the fallback ladder serves: {chosen.name.replace('_', ' ')}"
    return Action(
        _S.ROLLED_BACK,
        f"{reason}; {alarm}" if alarm else reason,
        target,
        recall=evidence.rung_at_hand == chosen.name,
        tier="harm",
        alarm=alarm,
        step=rollout.step,
        pulled=rollout.pulled,
        numbers=harm.to_dict(),
    )


def outlook_of_harm(harm: Harm | None) -> str:
    """Return what would make a champion fall back, with where that stands, in plain words."""
    rule = "a changed relation harms it now, and its former champion or the ladder would surely have served better"
    if harm is None:
        return f"{rule} (no signal says so)"
    return f"{rule} ({'; '.join(rival.sentence() for rival in harm.rivals) or 'nobody to compare with'})"


def _may(rival: Rival, rollout: Rollout, evidence: Evidence) -> bool:
    if not rival.release:
        return True
    clean = evidence.incidents.get(rival.name, 0) < rollout.plan.trip_count
    return rival.name == rollout.champion and clean and evidence.target_ready is True


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
