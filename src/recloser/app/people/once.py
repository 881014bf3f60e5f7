"""Owns doing once what a caller asks repeatedly under one key (Idempotency-Key). Does nothing of it itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recloser.core import Clock, InvalidInput, RecloserError, Refused, digest_of, jsonable
from recloser.ledger import Ledger, StateRecord, decided_again
from recloser.serving.http import Done, Wish

KEPT = "http.wish"


def once(ledger: Ledger, clock: Clock, wish: Wish, act: Callable[[], Mapping[str, Any]]) -> Done:
    """Carry out a wish, or return what it came to under the same key before; without a key it is carried out.

    The key is taken in the ledger before the wish is carried out, so that of two requests at once, over whichever
    worker, one acts. What was refused may be asked again under the same key. A process killed in between leaves a key
    whose outcome is not known: it is refused, and the caller must look.

    Raises:
        InvalidInput: the key was used for another wish.
        Refused: the same wish is under way, or was when a process was killed.
        RecloserError: what `act` raises.
    """
    if wish.key is None:
        return Done(act())
    place = f"{KEPT}/{digest_of([wish.actor, wish.key])}"
    asked = digest_of([wish.kind, wish.subject, wish.reason, jsonable(dict(wish.more))])
    taken = decided_again(lambda: _take(ledger, clock, (place, wish), asked))
    if isinstance(taken, Done):
        return taken
    try:
        answer = jsonable(dict(act()))
    except RecloserError:
        _keep(ledger, clock, (place, wish), {"asked": asked, "state": "refused"}, taken)
        raise
    _keep(ledger, clock, (place, wish), {"asked": asked, "state": "done", "answer": answer}, taken)
    return Done(answer)


def _take(ledger: Ledger, clock: Clock, where: tuple[str, Wish], asked: str) -> Done | int:
    """Take a key for a wish and return the version of its record, or what the wish came to before."""
    place, wish = where
    stored = ledger.stored(StateRecord, place)
    if stored is not None:
        known = stored.record.state
        if known["asked"] != asked:
            raise InvalidInput("this key was used for another wish", got=wish.key, where="Idempotency-Key")
        if known["state"] == "done":
            return Done(known["answer"], repeated=True)
        if known["state"] == "begun":
            raise Refused(
                "the same wish is under way, or was when a process ended",
                got=wish.key,
                where="Idempotency-Key",
                next_step="Ask again in a moment; if this stays, look what became of it, and use another key.",
            )
    version = 0 if stored is None else stored.version
    _keep(ledger, clock, where, {"asked": asked, "state": "begun"}, version)
    return version + 1


def _keep(ledger: Ledger, clock: Clock, where: tuple[str, Wish], state: Mapping[str, Any], version: int) -> None:
    place, wish = where
    now = clock.now()
    with ledger.change(wish.actor, now) as change:
        change.put(StateRecord(place, now, dict(state)), expected_version=version)
        change.note("http.wish", wish.kind, {"key": wish.key, "state": state["state"]})
