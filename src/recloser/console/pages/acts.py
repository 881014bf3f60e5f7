"""Owns the forms by which people act: opened first, then confirmed, always with a reason. Carries nothing out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recloser.console.markup import Child, Markup, el

MANY = frozenset({"lift", "acknowledge", "shelve"})
"""Acts that a page may offer several times, each for another subject."""
REASONS = ("the forecasts look wrong", "a device or feed is faulty", "asked for by the control room", "a drill")


@dataclass(frozen=True, slots=True)
class Person:
    """Who looks at a page: name, roles, what he may do, and what his forms carry; `local` if his password is ours."""

    name: str
    roles: tuple[str, ...]
    may: frozenset[str]
    csrf: str
    back: str
    local: bool = True


def act(person: Person, kind: str, words: str, subject: str | None, *more: Child, explain: str = "") -> Markup | None:
    """Return the form of one act, None where the person may not; opened by its title, sent by its button."""
    if kind not in person.may:
        return None
    return el(
        "details",
        el("summary", f"{words} ..."),
        el(
            "form",
            el("p", explain) if explain else None,
            *more,
            el("label", "Reason", el("textarea", name="reason", rows=2, cols=50, required=True, maxlength=2000)),
            *_hidden(person, kind, subject),
            el("button", words),
            method="post",
            action="/act",
            class_="stack",
        ),
        class_="act",
        id=f"act-{kind}-{subject}" if kind in MANY else f"act-{kind}",
    )


def stop(person: Person) -> Markup | None:
    """Return the one action for a panic: two presses, no typing; the reason is chosen, and may be told in words."""
    if "rollback" not in person.may:
        return None
    options = [el("option", words) for words in REASONS]
    return el(
        "details",
        el("summary", "Stop and revert", id="stop-summary"),
        el(
            "form",
            el(
                "p",
                "The model that went into service last is stopped; its forecasts are recalled and replaced.",
            ),
            el("button", "Revert now", class_="urgent"),
            el("label", "Reason", el("select", options, name="preset")),
            el("label", "in words, if there is time", el("input", name="reason", maxlength=2000)),
            *_hidden(person, "rollback", None),
            method="post",
            action="/act",
            class_="stack",
        ),
        class_="act",
        id="stop",
    )


def rollout_acts(
    person: Person | None, rollout: Mapping[str, Any] | None, release: str, *, may_return: bool
) -> Markup | None:
    """Return what a person may do about a release: about its rollout while it lasts, or to return to it."""
    if person is None:
        return None
    forms: list[Markup | None] = []
    if rollout is not None and not rollout["finished"]:
        forms = _under_way(person, rollout)
    if may_return:
        words = "Return to this release"
        forms.append(act(person, "rollback", words, release, explain=f"{release} serves again at once."))
    shown = [form for form in forms if form is not None]
    return el("div", shown, class_="acts") if shown else None


def _under_way(person: Person, rollout: Mapping[str, Any]) -> list[Markup | None]:
    key, state, forms = rollout["rollout"], rollout["state"], []
    approval = rollout["approval"]
    if approval is not None:
        case = approval["case"]
        given = ", ".join(f"{row['name']} ({row['role']})" for row in approval["given"]) or "nobody yet"
        words = (
            f"You say yes to the evidence {case[:16]} on this page; if it changes, your yes is void. So far: {given}."
        )
        evidence = el("input", type="hidden", name="evidence", value=case)
        forms.append(act(person, "approve", "Approve", key, evidence, explain=words))
    if state in {"queued", "shadow", "canary", "awaiting_approval", "held"}:
        forms.append(act(person, "reject", "Reject", key, explain="Ends the rollout; traffic returns to the champion."))
        words = "Takes the next step without its waiting time or proof; never past a freeze or signs of harm."
        forms.append(act(person, "override", "Override", key, explain=words))
    if state == "held":
        forms.append(act(person, "resume", "Resume", key, explain="The time of its phase starts anew."))
    elif state in {"queued", "shadow", "canary", "probation"}:
        forms.append(act(person, "hold", "Hold", key, explain="Stops it where it stands; protections go on."))
    return forms


def _hidden(person: Person, kind: str, subject: str | None) -> list[Markup]:
    fields = {"kind": kind, "csrf": person.csrf, "back": person.back, "key": secrets.token_urlsafe(12)}
    if subject is not None:
        fields["subject"] = subject
    return [el("input", type="hidden", name=name, value=text) for name, text in fields.items()]
