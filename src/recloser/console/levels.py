"""Owns the pages' endpoints: what a visit asks for, fetched from the room and made into a page. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request

from recloser.app import MAY, ControlRoom, LogAsk, OverviewAsk, Where
from recloser.console.entry.door import Door, Visit
from recloser.console.entry.forms import safe_place
from recloser.console.pages.acts import Person, rollout_acts
from recloser.console.pages.alarms import alarms_page
from recloser.console.pages.area import area_page
from recloser.console.pages.depth.diagnostics import diagnostics_page
from recloser.console.pages.depth.theatre import theatre_page
from recloser.console.pages.overview import overview_page
from recloser.console.pages.releases import release_page, releases_page
from recloser.console.pages.shell import Shell
from recloser.console.pages.why import why_page
from recloser.core import parse_utc, parse_zone, within_reach

LONGEST_NAME = 200


class Levels:
    """Makes the pages of one project; each method takes a visit and returns a page, or the data behind it.

    Args:
        room: the project.
        door: knows what a person is to be told.
        standing: the clock stands still.
    """

    def __init__(self, room: ControlRoom, door: Door, *, standing: bool) -> None:
        self._room, self._door, self._standing = room, door, standing

    def overview(self, visit: Visit) -> str:
        """Return level 1."""
        ask = overview_ask(visit.request)
        view = self._room.overview(ask)
        return overview_page(self._shell(visit, "/", view), view, ask.find, abnormal=ask.abnormal)

    def overview_data(self, visit: Visit) -> object:
        """Return level 1 as data."""
        return self._room.overview(overview_ask(visit.request))

    def area(self, visit: Visit) -> str:
        """Return level 2 of an area."""
        view = self._area(visit)
        return area_page(self._shell(visit, "/area", view), view)

    def area_data(self, visit: Visit) -> object:
        """Return level 2 of an area as data."""
        return self._area(visit)

    def releases(self, visit: Visit) -> str:
        """Return level 3, all releases."""
        view, freezes = self._room.releases(number(visit.request, "page")), self._room.freezes()
        return releases_page(self._shell(visit, "/releases", view), view, freezes)

    def releases_data(self, visit: Visit) -> object:
        """Return level 3, all releases, as data."""
        return {**self._room.releases(number(visit.request, "page")), "freezes": self._room.freezes()}

    def release(self, visit: Visit) -> str:
        """Return level 3 of one release, with what the person may do about it."""
        view = self._room.release(word(visit.request, "name"))
        shell = self._shell(visit, "/release", view)
        acts = rollout_acts(shell.person, view["rollout"], view["release"], may_return=view["may_return"])
        return release_page(shell, view, acts)

    def release_data(self, visit: Visit) -> object:
        """Return level 3 of one release as data."""
        return self._room.release(word(visit.request, "name"))

    def alarms(self, visit: Visit) -> str:
        """Return the alarm list."""
        view = self._room.alarms()
        return alarms_page(self._shell(visit, "/alarms", view), view)

    def alarms_data(self, _visit: Visit) -> object:
        """Return the alarm list as data."""
        return self._room.alarms()

    def why(self, visit: Visit) -> str:
        """Return why a forecast is what it is."""
        view = self._why(visit)
        return why_page(self._shell(visit, "/area", view), view)

    def why_data(self, visit: Visit) -> object:
        """Return why a forecast is what it is as data."""
        return self._why(visit)

    def diagnostics(self, visit: Visit) -> str:
        """Return level 4."""
        view = self._diagnostics(visit)
        return diagnostics_page(self._shell(visit, "/diagnostics", view), view)

    def diagnostics_data(self, visit: Visit) -> object:
        """Return level 4 as data."""
        return self._diagnostics(visit)

    def theatre(self, visit: Visit) -> str:
        """Return any moment as it was known then."""
        view = self._theatre(visit)
        return theatre_page(self._shell(visit, "/theatre", view), view)

    def theatre_data(self, visit: Visit) -> object:
        """Return any moment as it was known then, as data."""
        return self._theatre(visit)

    def _diagnostics(self, visit: Visit) -> dict[str, Any]:
        request = visit.request
        find = word(request, "find").strip()
        return self._room.diagnostics(_before(request), find, log_ask(request) if may_read_logs(visit) else None)

    def _theatre(self, visit: Visit) -> dict[str, Any]:
        step = word(visit.request, "step")
        where = Where(asked_time(visit.request, "at"), number(visit.request, "step") if step else None)
        return self._room.theatre(word(visit.request, "name") or None, where)

    def _why(self, visit: Visit) -> dict[str, Any]:
        return self._room.why(word(visit.request, "name"), asked_time(visit.request, "at"))

    def _area(self, visit: Visit) -> dict[str, Any]:
        return self._room.area(word(visit.request, "name"), asked_time(visit.request, "until"))

    def _shell(self, visit: Visit, place: str, view: Mapping[str, Any]) -> Shell:
        zone = parse_zone(self._room.zone_name())
        told = self._door.told(visit.session)
        return Shell(
            self._room.name(),
            parse_utc(str(view["now"])),
            zone,
            self._standing,
            length=self._room.length(),
            place=place,
            person=person_of(visit),
            told=told,
        )


def _before(request: Request) -> int | None:
    return number(request, "before") if request.query_params.get("before") else None


def asked_time(request: Request, name: str) -> datetime | None:
    """Return a time of the address (aware UTC), None without one.

    Raises:
        InvalidInput: unreadable, without an offset, or not in 1900 .. 2199.
    """
    text = word(request, name)
    return within_reach(parse_utc(text, name), name) if text else None


def may_read_logs(visit: Visit) -> bool:
    """Return whether whoever visits may read log lines; where nobody signs in, whoever reaches the pages may."""
    return visit.session is None or visit.session.account.reads_logs


def log_ask(request: Request) -> LogAsk:
    """Return which log lines are wanted."""
    before = asked_time(request, "until")
    return LogAsk(word(request, "process"), word(request, "level"), word(request, "line").strip(), before)


def person_of(visit: Visit) -> Person | None:
    """Return who looks at the page, None where nobody has signed in."""
    if visit.session is None:
        return None
    account, request = visit.session.account, visit.request
    may = frozenset(kind for kind in MAY if account.may(kind))
    back = safe_place(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    local = account.issuer is None
    return Person(account.name, tuple(sorted(account.roles)), may, visit.session.csrf, back, local)


def word(request: Request, name: str) -> str:
    """Return a parameter of the address, cut to a length that names have."""
    return request.query_params.get(name, "")[:LONGEST_NAME]


def number(request: Request, name: str) -> int:
    """Return a parameter as a whole number, 1 where it is none."""
    text = word(request, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 1


def overview_ask(request: Request) -> OverviewAsk:
    """Return which rows of the overview are wanted."""
    return OverviewAsk(
        number(request, "page"), word(request, "find").strip(), abnormal=word(request, "abnormal") == "1"
    )
