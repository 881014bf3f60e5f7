"""Owns bringing an old release's pods back before a rollback returns to it: a wish in the ledger, and its fulfilment.

Whoever rolls back needs no right in the cluster: the controller starts what is wished for. Changes no route.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from recloser.app.platform import Platform
from recloser.core import RecloserError, Refused, Unavailable, format_utc, parse_utc
from recloser.ledger import Ledger, ReleaseRecord, RouteRecord, StateRecord, decided_again
from recloser.registry import check_golden
from recloser.serving.kserve import ServiceKeeper

WISHES = "kserve.wishes"
"""Key of the record with the releases that shall run though no route names them, and until when."""
LONGER = timedelta(minutes=10)
"""So long after a start may take at most a wish still counts: somebody may come back to what he had begun."""
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who wants to return to a release, why, and who is told how it goes."""

    actor: str
    reason: str
    say: Callable[[str], None]


def runs(platform: Platform, release: str) -> bool:
    """Return whether a release answers its golden rows where it runs; one that runs in our own processes always may.

    Raises:
        Refused: it answers other numbers, or its package does not verify.
    """
    if platform.elsewhere is None:
        return True
    try:
        loaded = platform.load(release)
        result = check_golden(loaded.package, loaded.model.predict)
    except Unavailable:
        platform.give_up(release)  # where it runs may be told anew
        return False
    if not result.agrees:
        raise Refused("it answers other numbers where it runs", got=result.reason, where=release)
    return True


def wish(platform: Platform, release: str, caller: Caller) -> None:
    """Ask the controller to start a release's pods; a wish that counts already is made longer.

    Raises:
        Unavailable: the ledger cannot be written now.
    """
    decided_again(lambda: _wish(platform, release, caller))


def _wish(platform: Platform, release: str, caller: Caller) -> None:
    ledger, now = platform.ledger, platform.clock.now()
    known = ledger.stored(StateRecord, WISHES)
    lasting = {} if known is None else _lasting(known.record.state, now)
    until = now + timedelta(minutes=platform.project.kserve.start_minutes) + LONGER
    state = {**{name: format_utc(at) for name, at in lasting.items()}, release: format_utc(until)}
    with ledger.change(caller.actor, now) as change:
        version = 0 if known is None else known.version
        change.put(StateRecord(WISHES, now, state), expected_version=version)
        change.note("kserve.wish", release, {"reason": caller.reason, "until": state[release]})


def wished(ledger: Ledger, now: datetime) -> Mapping[str, datetime]:
    """Return the releases that shall run though no route names them, with the end of each wish (aware UTC).

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    known = ledger.get(StateRecord, WISHES)
    return {} if known is None else _lasting(known.state, now)


def _lasting(state: Mapping[str, str], now: datetime) -> dict[str, datetime]:
    ends = {name: parse_utc(text, WISHES) for name, text in state.items()}
    return {name: until for name, until in ends.items() if until > now}


def fulfil(platform: Platform, keeper: ServiceKeeper, found: Callable[[str, str], None]) -> None:
    """Let the keeper start what is wished for, and tell where it is once it is ready; to be repeated. Raises nothing.

    Args:
        platform: project.
        keeper: of its InferenceServices.
        found: told release and address.
    """
    with suppress(RecloserError):
        for release in wished(platform.ledger, platform.clock.now()):
            record = platform.ledger.get(ReleaseRecord, release)
            if record is not None:
                keeper.ask(release, record.digest)
                with suppress(Refused, Unavailable):
                    found(release, keeper.address(release))


def bring_back(
    platform: Platform,
    release: str,
    caller: Caller,
    sleep: Callable[[float], None] = time.sleep,
    timer: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until a release answers where it runs, having asked for its pods if it does not; who serves goes on.

    Raises:
        Refused: what runs is not the release.
        Unavailable: it did not get ready in time. Its wish counts for a while, so the same command may be repeated.
    """
    if runs(platform, release):
        return
    wish(platform, release, caller)
    minutes = platform.project.kserve.start_minutes
    caller.say(
        f"{release} does not run: its pods are being started, which may take up to {minutes:g} minutes. Until then "
        f'{_serving(platform)}. To stop that at once instead: recloser rollback --reason "..."'
    )
    deadline = timer() + 60.0 * minutes
    while timer() < deadline:
        sleep(LOOK_S)
        if runs(platform, release):
            return
    raise Unavailable(
        "the release did not get ready, and nothing was switched",
        got=f"no answer within {minutes:g} minutes",
        where=release,
        next_step="Look at 'kubectl get inferenceservices', and whether a controller runs; then repeat.",
    )


def require_running(platform: Platform, release: str, caller: Caller) -> None:
    """See that a release runs where it can be asked at once; if not, have its pods started.

    Raises:
        Refused: it does not run yet; nothing was switched.
    """
    if runs(platform, release):
        return
    wish(platform, release, caller)
    raise Refused(
        "the release does not run yet: its pods are being started",
        got=release,
        where="rollback",
        next_step=f"Ask again in a minute; until then {_serving(platform)}. To stop that at once, name no target.",
    )


def _serving(platform: Platform) -> str:
    route = platform.ledger.get(RouteRecord, "route")
    champion = None if route is None else route.champion
    return f"{champion} goes on serving" if champion else "the fallback ladder answers"
