"""Owns looking up one forecast or one prediction by its id: what it said, and whether it still holds. Keeps none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from recloser.core import Served, format_utc
from recloser.serving.http.edge import json_response
from recloser.serving.http.service import PastForecast, Service
from recloser.serving.wire.rows import quantile_names


class Lookup:
    """The endpoint of one forecast."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def by_id(self, request: Request) -> Response:
        """Give what a forecast or prediction id stands for, and whether it is valid, void or superseded."""
        asked = request.path_params["id"]
        forecast, mark, index = asked.partition(":")
        found = await to_thread.run_sync(self._service.forecasts.find, forecast)
        known = found is not None and (not mark or index in {str(k) for k in range(len(found.served.targets))})
        if found is None or not known:
            raise HTTPException(404, f"No forecast {asked[:100]!r}.")
        return json_response(past_document(found, asked, int(index) if mark else None))


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of one target of a forecast.

    Attributes:
        status: 'valid', 'void' (recalled: must not be acted on), or 'superseded' (a newer one is valid for it).
        replaced_by: prediction id of the re-issue that a recall put in its place, or None.
        in_force: prediction id of what holds for the target now, None if nothing does.
    """

    status: str
    replaced_by: str | None
    in_force: str | None


def standings(found: PastForecast) -> list[Standing]:
    """Return what became of each target, in their order; a void mark concerns only what had not ended by then."""
    own = found.served
    told = []
    for index, at in enumerate(own.targets):
        void = found.void_at is not None and at + found.resolution > found.void_at
        newer = _point_of(found.newer, at)
        if void:
            replacement = None if found.replacement is None else _point_of([found.replacement], at)
            told.append(Standing("void", replacement, newer))
        elif newer is not None:
            told.append(Standing("superseded", None, newer))
        else:
            told.append(Standing("valid", None, own.point_id(index)))
    return told


def past_document(found: PastForecast, asked: str, index: int | None) -> dict[str, Any]:
    """Return the JSON of a forecast looked up; of one prediction if an index is given."""
    own, told = found.served, standings(found)
    names = quantile_names(own.quantiles)
    cells = list(zip(own.targets, own.handed_out().tolist(), told, strict=True))
    points = [
        {
            "id": own.point_id(k),
            "at": format_utc(at),
            **dict(zip(names, mw, strict=True)),
            "status": one.status,
            "replaced_by": one.replaced_by,
            "in_force": one.in_force,
        }
        for k, (at, mw, one) in enumerate(cells)
    ]
    return {
        "asked": asked,
        "id": own.id,
        "area": own.area,
        "release": own.release,
        "served_by": own.served_by,
        "reason": own.reason,
        "issued_at": format_utc(own.issued_at),
        "made_at": format_utc(own.made_at),
        "quantiles": list(own.quantiles),
        "status": _status(found, told),
        "void_at": None if found.void_at is None else format_utc(found.void_at),
        "void_reason": found.void_reason,
        "trip": found.trip,
        "replaced_by": found.replaced_by,
        "points": points if index is None else [points[index]],
    }


def _status(found: PastForecast, told: Sequence[Standing]) -> str:
    """A recalled forecast is void; one is superseded once a newer one is valid for every target of it."""
    if found.void_at is not None:
        return "void"
    return "superseded" if told and all(one.status == "superseded" for one in told) else "valid"


def _point_of(forecasts: Sequence[Served], at: datetime) -> str | None:
    """Return the prediction id of a target in the first of some forecasts that has it."""
    for served in forecasts:
        if at in served.targets:
            return served.point_id(served.targets.index(at))
    return None
