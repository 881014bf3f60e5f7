"""Owns the current forecasts, of one area or of many in one answer, as JSON or as Arrow. Does not keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any

import polars as pl
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from recloser.core import TIME, InvalidInput, format_utc, unknown_name
from recloser.serving.http.edge import json_response
from recloser.serving.http.service import CurrentForecast, Service
from recloser.serving.wire.rows import quantile_names

ARROW = "application/vnd.apache.arrow.stream"
MOST_AREAS = 10_000
"""Areas named in one request."""


class Forecasts:
    """Endpoints of current forecasts."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def forecast(self, request: Request) -> Response:
        """Give the current forecast of an area with quantiles in MW, age, release, prediction ids and void ids."""
        area = request.path_params["area"]
        current = await to_thread.run_sync(self._service.forecasts.current, area)
        if current is None:
            known = await to_thread.run_sync(self._service.forecasts.areas)
            detail = f"Nothing was forecast for {area!r} yet." if area in known else f"No area {area[:100]!r}."
            raise HTTPException(404, detail)
        age = self._service.clock.now() - current.served.made_at
        return json_response(forecast_document(current, age.total_seconds()))

    async def forecasts(self, request: Request) -> Response:
        """Give the current forecasts of the areas named, or of all; as an Arrow stream if `Accept` says so."""
        wanted = list(dict.fromkeys(request.query_params.getlist("area")))
        for name in request.query_params:
            if name != "area":
                raise unknown_name("parameter", name, ("area",), where="query")
        if len(wanted) > MOST_AREAS:
            raise InvalidInput("too many areas", got=len(wanted), expected=f"<= {MOST_AREAS}, or none for all")
        found, absent = await to_thread.run_sync(self._current, wanted)
        now = self._service.clock.now()
        if ARROW in request.headers.get("accept", ""):
            return Response(table_of(found, self._service.gateway.quantiles), media_type=ARROW)
        documents = [forecast_document(one, (now - one.served.made_at).total_seconds()) for one in found]
        return json_response({"forecasts": documents, "without_forecast": absent})

    def _current(self, wanted: Sequence[str]) -> tuple[list[CurrentForecast], list[str]]:
        source = self._service.forecasts
        known = source.areas()
        for area in set(wanted) - set(known):
            raise HTTPException(404, unknown_name("area", area, known, where="query.area").explain())
        asked = wanted or known
        current = source.many(asked)
        return [current[area] for area in asked if area in current], [area for area in asked if area not in current]


def void_flags(current: CurrentForecast) -> list[bool]:
    """Return for each point whether it must not be acted on."""
    served, void = current.served, set(current.void_ids)
    whole = served.void or served.id in void
    return [whole or served.point_id(k) in void for k in range(len(served.targets))]


def forecast_document(current: CurrentForecast, age_s: float) -> Mapping[str, Any]:
    """Return the JSON of a current forecast; `points` as in the command `recloser forecast`."""
    served = current.served
    names = quantile_names(served.quantiles)
    cells = zip(served.targets, served.handed_out().tolist(), void_flags(current), strict=True)
    points = [
        {"id": served.point_id(k), "at": format_utc(at), **dict(zip(names, mw, strict=True)), "void": void}
        for k, (at, mw, void) in enumerate(cells)
    ]
    return {
        "area": served.area,
        "id": served.id,
        "release": served.release,
        "served_by": served.served_by,
        "reason": served.reason,
        "issued_at": format_utc(served.issued_at),
        "made_at": format_utc(served.made_at),
        "age_s": age_s,
        "quantiles": list(served.quantiles),
        "points": points,
        "void_ids": list(current.void_ids),
        "recalled": [{"void": one, "replaced_by": current.replaced_by.get(one)} for one in current.void_ids],
    }


def table_of(found: Sequence[CurrentForecast], quantiles: tuple[float, ...]) -> bytes:
    """Return forecasts as one Arrow IPC stream, a row per point; quantiles in MW, times in UTC."""
    names = quantile_names(quantiles)
    schema: dict[str, Any] = {
        **dict.fromkeys(("area", "forecast", "release", "served_by", "reason"), pl.String),
        **dict.fromkeys(("issued_at", "made_at", "at"), TIME),
        "id": pl.String,
        **dict.fromkeys(names, pl.Float64),
        "void": pl.Boolean,
    }
    rows: list[tuple[str | datetime | float | bool, ...]] = []
    for current in found:
        one = current.served
        head = (one.area, one.id, one.release, one.served_by, one.reason, one.issued_at, one.made_at)
        points = zip(one.targets, one.handed_out().tolist(), void_flags(current), strict=True)
        rows += [(*head, at, one.point_id(k), *mw, void) for k, (at, mw, void) in enumerate(points)]
    sink = BytesIO()
    pl.DataFrame(rows, schema=schema, orient="row").write_ipc_stream(sink)
    return sink.getvalue()
