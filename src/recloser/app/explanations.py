"""Owns the answers to why a rollout is where it is, by an id that may be misspelt. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.evidence import freezes_of
from recloser.app.loop.online.correcting import corrector_document, corrector_sentences
from recloser.app.people.proposers import proposers_of
from recloser.app.people.timing import TimeBase, live_in, time_base
from recloser.app.platform import Platform
from recloser.core import InvalidInput, format_utc, nearest
from recloser.ledger import ReleaseRecord, RolloutRecord
from recloser.rollout import Evidence, Rollout, RolloutState, explain, freeze_reason, identity, reach_words


def explain_rollout(folder: Path, identifier: str) -> dict[str, Any]:
    """Return why a rollout is where it is and what would change it.

    The rollout is looked at by the clock while a controller leads, else where the data ends (`time_base`); approvals,
    waivers and freezes always by the clock.

    Raises:
        InvalidInput: no such rollout or release, or a release that the gate has not accepted.
    """
    with Platform.open(folder) as platform:
        records = platform.ledger.find(RolloutRecord, order_by="started_at")
        chosen = [record for record in records if identifier in {record.key, record.release}]
        base = time_base(platform) if chosen else TimeBase(platform.today(), "clock")
        if not chosen:
            release = platform.ledger.get(ReleaseRecord, identifier)
            if release is None:
                raise none_of("no such rollout", identifier, [name for r in records for name in (r.release, r.key)])
            document = _staged(platform, release, base)
        else:
            live_in(platform, base)
            document = _rolling(platform, Rollout.from_record(chosen[-1]), base)
        return {**document, "sentences": rollout_sentences(document)}


def _rolling(platform: Platform, rollout: Rollout, base: TimeBase) -> dict[str, Any]:
    loop = ControlLoop(platform, LoopOptions())
    seen = loop.controller.inspect(loop.evidence, rollout.key)
    subject, evidence = (rollout, Evidence()) if seen is None else seen
    document = explain(subject, evidence, base.at)
    asked = document["approval"]
    if asked is not None:
        asked["may_approve"] = _may_approve(platform, document)
    told = {"on_trial": _on_trial(platform, subject), "corrector": corrector_document(platform, subject.release)}
    return {**document, "time_base": base.by, **told}


def _may_approve(platform: Platform, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return who may still say yes, with their roles: not the proposers, and not those who have."""
    approval = platform.project.rollout.approval
    proposers = document["proposers"]
    done = {identity(name) for name in (*proposers["known"], *proposers["strangers"])}
    done |= {identity(row["name"]) for row in document["approval"]["given"]}
    people = dict.fromkeys(name for names in approval.roles.values() for name in names)
    return [{"name": name, "roles": list(approval.roles_of(name))} for name in people if identity(name) not in done]


def _on_trial(platform: Platform, rollout: Rollout) -> str | None:
    """Return the release on trial that a queued one waits for."""
    if rollout.phase is not RolloutState.QUEUED:
        return None
    for record in platform.ledger.find(RolloutRecord, finished_at=None, order_by="started_at"):
        other = Rollout.from_record(record)
        if other.phase not in {RolloutState.QUEUED, RolloutState.CHAMPION}:
            return other.release
    return None


def _staged(platform: Platform, release: ReleaseRecord, base: TimeBase) -> dict[str, Any]:
    """Return the explanation of a release that the gate accepted and nobody has queued yet."""
    if release.state != "accepted":
        raise InvalidInput(
            "this release was never rolled out",
            got=f"{release.key}, which is {release.state}",
            expected="a release that passed the gate",
            next_step=f"See `recloser gate explain {release.key}`.",
        )
    frozen = freeze_reason(freezes_of(platform, platform.today()))
    reason = "the gate accepted it; it is not in the queue yet"
    return {
        "rollout": None,
        "release": release.key,
        "champion": None,
        "state": "staged",
        "phase": "staged",
        "since": format_utc(release.created_at),
        "as_of": format_utc(base.at),
        "time_base": base.by,
        "share": 0.0,
        "step": None,
        "reason": reason,
        "next": {"state": "queued", "reason": "a controller queues what the newest run brought at its next look"},
        "would_advance": ["a controller runs (recloser up), or the run is made again (recloser run)"],
        "would_end": ["a newer run: only what the newest one brought is queued"],
        "deadline": None,
        "numbers": {},
        "outlook": None,
        "freeze": frozen,
        "gate": "",
        "cohort": [],
        "proposers": proposers_of(platform, release.key).to_dict(),
        "approval": None,
        "on_trial": None,
        "corrector": None,
    }


def none_of(what: str, got: str, known: Sequence[str]) -> InvalidInput:
    """Build the error about an id that nothing bears; the nearest and the newest ones are named."""
    guess = nearest(got, known)
    some = ", ".join(dict.fromkeys(known[:20]))
    return InvalidInput(
        what,
        got=got,
        expected=f"one of {some}" if known else "an id; there is none yet",
        next_step=f"Did you mean {guess!r}?" if guess else "See `recloser status`." if known else "Run: recloser run",
    )


def rollout_sentences(document: Mapping[str, Any]) -> list[str]:
    """Return the explanation of a rollout as lines for people."""
    lines = [f"{document['release']}: {_where(document)} since {document['since']} - {document['reason']}"]
    following = document["next"]
    stays = following["state"] == document["state"]
    if document["deadline"] is not None or not stays:
        lines.append(f"Next tick: {'stays' if stays else following['state']} - {following['reason']}")
    lines.append(_traffic(document))
    if document["on_trial"]:
        lines.append(f"On trial before it: {document['on_trial']}")
    lines += _people_lines(document)
    lines += [f"To advance: {line}" for line in document["would_advance"]]
    lines += [f"Would end it: {line}" for line in document["would_end"]]
    lines += corrector_sentences(document["corrector"])
    whose = "the clock: a controller leads" if document["time_base"] == "clock" else "where the data ends"
    lines.append(f"As of {document['as_of']} ({whose}); approvals, waivers and freezes by the clock.")
    return lines


def _where(document: Mapping[str, Any]) -> str:
    state, phase, step = document["state"], document["phase"], document["step"]
    text = state if phase == state else f"{state} (in {phase})"
    return text if step is None else f"{text}, step {step['index'] + 1} of {step['of']}"


def _traffic(document: Mapping[str, Any]) -> str:
    """Return what the release answers for now."""
    phase = document["phase"]
    if phase in {"probation", "champion"}:
        return "Traffic: all of it"
    if phase == "canary":
        return f"Traffic: {reach_words(document)}"
    return "Traffic: none" + (", it answers every request unseen" if phase == "shadow" else "")


def _people_lines(document: Mapping[str, Any]) -> list[str]:
    behind = document["proposers"]
    names = [*behind["known"], *(f"{name} (not named in the project file)" for name in behind["strangers"])]
    lines = [f"Proposed by {', '.join(names)}, who may not approve it"] if names else []
    asked = document["approval"]
    if asked is None:
        return lines
    lines.append(f"Evidence to approve: {asked['case']}")
    lines += [f"Approved: by {row['name']} ({row['role']}), until {row['expires_at']}" for row in asked["given"]]
    if asked["may_approve"] and asked["missing"]:
        may = ", ".join(f"{row['name']} ({', '.join(row['roles'])})" for row in asked["may_approve"])
        lines.append(f"May approve it: {may}")
    elif asked["missing"]:
        lines.append("Nobody else in [rollout.approval] may approve it: name somebody there, or reject it")
    return lines
