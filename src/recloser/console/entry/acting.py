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
            wish = await to_thread.run_sync(self._wish, session, fields)
            done = await to_thread.run_sync(self._room.act, session.account, wish)
        except RecloserError as error:
            self._door.tell(session, f"Not done: {error.explain()}", well=False)
        else:
            self._door.tell(session, str(done.document["sentence"]), well=True)
        return RedirectResponse(safe_place(fields.get("back", "/")), 303, headers=self._headers)

    def _wish(self, session: Session, fields: Mapping[str, str]) -> Wish:
        """Return the wish of a form.

        Raises:
            InvalidInput: an unknown kind, no reason, or a field that does not fit.
            Refused: too many acts within a minute.
        """
        self._door.pace(session)
        kind = fields.get("kind", "")
        if kind not in KINDS:
            raise InvalidInput("an unknown act", got=kind[:40], expected=", ".join(KINDS))
        told = [fields.get("preset", "").strip(), fields.get("reason", "").strip()]
        reason = ": ".join(text for text in told if text)
        if not reason or len(reason) > 2_100:
            raise InvalidInput("no reason given" if not reason else "a reason that is too long", where="reason")
        subject = fields.get("subject", "")[:200] or None
        more = _more(kind, fields, self._room.now())
        return Wish(cast(Kind, kind), subject, session.account.name, reason, more, fields.get("key", "")[:100] or None)


def _more(kind: str, fields: Mapping[str, str], now: datetime) -> dict[str, Any]:
    if kind == "approve":
        evidence = fields.get("evidence", "")
        if len(evidence) < LEAST_EVIDENCE:
            raise InvalidInput("an approval names the evidence that was seen", got=evidence, where="evidence")
        return {"evidence": evidence}
    if kind == "freeze":
        text = fields.get("hours", "").strip()
        if not text:
            return {"from": None, "to": None}
        try:
            hours = float(text)
        except ValueError as error:
            raise InvalidInput("not a number of hours", got=text[:20], where="hours") from error
        if not 0.0 < hours <= LONGEST_FREEZE_H:
            raise InvalidInput("a freeze of that length", got=hours, expected=f"> 0, <= {LONGEST_FREEZE_H:.0f} h")
        made = parse_utc(fields["made"], "made") if fields.get("made") else now
        return {"from": None, "to": (made if abs(now - made) < timedelta(hours=1) else now) + timedelta(hours=hours)}
    return {}
