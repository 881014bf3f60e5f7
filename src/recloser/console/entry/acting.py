"""Owns turning a posted form into a wish of a signed-in person, and telling what became of it. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from recloser.app import ControlRoom, Kind, Session, Wish
from recloser.console.entry.door import Door
from recloser.console.entry.forms import safe_place
from recloser.console.pages.shell import problem
from recloser.core import InvalidInput, RecloserError, parse_utc

KINDS = ("rollback", "approve", "reject", "hold", "resume", "override", "freeze", "lift", "retrain")
MARKS = ("acknowledge", "shelve")
LONGEST_FREEZE_H = 24.0 * 366
LEAST_EVIDENCE = 8


class Acting:
    """The endpoint of all acts.

    Args:
        room: carries them out.
        door: knows who asks.
        headers: of every answer.
    """

    def __init__(self, room: ControlRoom, door: Door, headers: dict[str, str]) -> None:
        self._room, self._door, self._headers = room, door, headers

    async def act(self, request: Request) -> Response:
        """Carry out what the form says, and go back to where it stood, with a sentence of what became of it."""
        try:
            session, fields = await self._door.person(request)
        except RecloserError as error:
            page = problem(error.explain(), "Nothing was done")
            return HTMLResponse(page, status_code=403, headers=self._headers)
        try:
            sentence = await to_thread.run_sync(self._carried_out, session, fields)
        except RecloserError as error:
            self._door.tell(session, f"Not done: {error.explain()}", well=False)
        else:
            self._door.tell(session, sentence, well=True)
        return RedirectResponse(safe_place(fields.get("back", "/")), 303, headers=self._headers)

    def _carried_out(self, session: Session, fields: Mapping[str, str]) -> str:
        """Carry out what a form says; return what became of it.

        Raises:
            InvalidInput: an unknown kind, no reason, or a field that does not fit.
            Refused: too many acts within a minute, no role for it, or a state or policy forbids it.
        """
        self._door.pace(session, stops=fields.get("kind") == "rollback")
        kind, subject = fields.get("kind", ""), fields.get("subject", "")[:200] or None
        told = [fields.get("preset", "").strip(), fields.get("reason", "").strip()]
        reason = ": ".join(text for text in told if text)
        if not reason or (len(reason) > 2_100 and kind != "rollback"):
            raise InvalidInput("no reason given" if not reason else "a reason that is too long", where="reason")
        if kind in MARKS:
            hours = _hours(fields)
            return self._room.mark_alarm(session.account, kind, subject or "", reason, hours)
        if kind not in KINDS:
            raise InvalidInput("an unknown act", got=kind[:40], expected=", ".join((*KINDS, *MARKS)))
        more, key = _more(kind, fields, self._room.now()), fields.get("key", "")[:100] or None
        wish = Wish(cast(Kind, kind), subject, session.account.name, reason, more, key)
        return str(self._room.act(session.account, wish).document["sentence"])


def _hours(fields: Mapping[str, str]) -> float | None:
    text = fields.get("hours", "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInput("not a number of hours", got=text[:20], where="hours") from error


def _more(kind: str, fields: Mapping[str, str], now: datetime) -> dict[str, Any]:
    if kind == "approve":
        evidence = fields.get("evidence", "")
        if len(evidence) < LEAST_EVIDENCE:
            raise InvalidInput("an approval names the evidence that was seen", got=evidence, where="evidence")
        return {"evidence": evidence}
    if kind == "freeze":
        hours = _hours(fields)
        if hours is None:
            return {"from": None, "to": None}
        if not 0.0 < hours <= LONGEST_FREEZE_H:
            raise InvalidInput("a freeze of that length", got=hours, expected=f"> 0, <= {LONGEST_FREEZE_H:.0f} h")
        made = parse_utc(fields["made"], "made") if fields.get("made") else now
        return {"from": None, "to": (made if abs(now - made) < timedelta(hours=1) else now) + timedelta(hours=hours)}
    return {}
