"""Owns the HTTP transport of the gateway: Open Inference Protocol v2, /invocations, /metrics and the grid's own /v1.

Does not decide answers (that is the gateway), start a server or keep forecasts. Imported only where HTTP is served.
"""

from recloser.serving.http.app import build_app
from recloser.serving.http.data import decide
from recloser.serving.http.edge import Access
from recloser.serving.http.events import Event, EventBuffer, EventSource
from recloser.serving.http.people.desk import Desk, Done, Wish
from recloser.serving.http.people.inlets import Arrival, InletDesk, Receipt
from recloser.serving.http.service import Colleagues, CurrentForecast, ForecastSource, PastForecast, Service
from recloser.serving.wire.rows import InputColumns

__all__ = [
    "Access",
    "Arrival",
    "Colleagues",
    "CurrentForecast",
    "Desk",
    "Done",
    "Event",
    "EventBuffer",
    "EventSource",
    "ForecastSource",
    "InletDesk",
    "InputColumns",
    "PastForecast",
    "Receipt",
    "Service",
    "Wish",
    "build_app",
    "decide",
]
