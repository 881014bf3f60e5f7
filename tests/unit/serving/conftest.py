"""Real small models with faults on demand, feature frames and gateways for the serving tests."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Self

import httpx
import numpy as np
import polars as pl
import pytest
import uvicorn

from recloser.core import TIME, InvalidInput, Refused, Served, Unavailable, VirtualClock
from recloser.serving import NAIVE, AssetLimits, Gateway, GuardPolicy, Route
from recloser.serving.grpc import grpc_lifespan
from recloser.serving.http import (
    CurrentForecast,
    Done,
    EventBuffer,
    InputColumns,
    PastForecast,
    Service,
    Wish,
    build_app,
)

STEP = timedelta(minutes=30)
ISSUED = datetime(2020, 3, 1, 22, tzinfo=UTC)
NOW = datetime(2020, 3, 1, 22, 0, 5, tzinfo=UTC)
LIMITS = AssetLimits(-500.0, 3000.0, 400.0, STEP)


class Steady:
    """Answers the recent level with a daily swing; `predict` counts its calls."""

    def __init__(self, release: str, offset_mw: float = 0.0) -> None:
        self.release = release
        self.offset_mw = offset_mw
        self.calls = 0

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        self.calls += 1
        scale = rows["scale_mw"].fill_null(1000.0).to_numpy()
        hour = rows["swing"].fill_nan(0.0).fill_null(0.0).to_numpy()
        median = scale * (1.0 + 0.1 * hour) + self.offset_mw
        return np.stack([median - 40.0, median, median + 40.0], axis=1)


RAISED: dict[str, BaseException] = {
    "exception": KeyError("no such tree"),
    "exit": SystemExit(1),
    "memory": MemoryError(),
    "panic": pl.exceptions.PanicException("polars gave up"),
}
RETURNED: dict[str, Callable[[np.ndarray], object]] = {
    "shape": lambda mw: mw[:, :2],
    "short": lambda mw: mw[:-1],
    "flat": np.ravel,
    "none": lambda _: None,
    "text": lambda mw: [["a", "b", "c"]] * len(mw),
    "ragged": lambda mw: [[1.0, 2.0, 3.0]] * (len(mw) - 1) + [[1.0]],
    "complex": lambda mw: mw + 1j,
}


class Faulty(Steady):
    """Goes wrong in one named way, for all areas or some."""

    def __init__(self, release: str, fault: str, areas: Sequence[str] | None = None) -> None:
        super().__init__(release, offset_mw=1.0)
        self.fault = fault
        self.areas = areas
        self.frozen: np.ndarray | None = None

    def predict(self, rows: pl.DataFrame) -> object:
        mw = super().predict(rows)
        hit = np.ones(len(rows), bool) if self.areas is None else rows["area"].is_in(list(self.areas)).to_numpy()
        if not hit.any():
            return mw
        if self.fault in RAISED:
            raise RAISED[self.fault]
        if self.fault in RETURNED:
            return RETURNED[self.fault](mw)
        if self.fault == "mutate":
            rows.replace_column(0, pl.Series("area", ["stolen"] * len(rows)))
            return mw
        mw[hit] = self._spoilt(mw[hit])
        return mw

    def _spoilt(self, mw: np.ndarray) -> np.ndarray:
        match self.fault:
            case "nan":
                return np.full_like(mw, np.nan)
            case "inf":
                return np.full_like(mw, np.inf)
            case "x1000":
                return mw * 1000.0
            case "sign":
                return -mw
            case "cross":
                return mw[:, ::-1].copy()
            case "huge":
                return np.full_like(mw, 1.7e308) * np.array([-1.0, 1.0, 1.0])
            case "ramp":
                return mw + np.where(np.arange(len(mw)) % 2, 450.0, 0.0)[:, None]
            case "far":
                return mw + 700.0
            case "frozen":
                if self.frozen is None or self.frozen.shape != mw.shape:
                    self.frozen = mw
                return self.frozen
        raise AssertionError(self.fault)


class Given:
    """Answers a prepared array, whatever it is asked; for arbitrary numbers."""

    def __init__(self, release: str, mw: np.ndarray) -> None:
        self.release = release
        self.mw = mw

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return self.mw[rows["row"].to_numpy().astype(int)]


def frame(areas: Sequence[str] = ("a", "b", "c", "d"), n: int = 6, scale_mw: float = 1000.0) -> pl.DataFrame:
    """Return the feature frame of one issue."""
    ats = [ISSUED + timedelta(hours=16) + k * STEP for k in range(n)]
    rows = len(areas) * n
    return pl.DataFrame(
        {
            "area": [area for area in sorted(areas) for _ in ats],
            "issued_at": [ISSUED] * rows,
            "at": ats * len(areas),
            "lead_h": [16.0 + 0.5 * k for k in range(n)] * len(areas),
            "scale_mw": [scale_mw] * rows,
            "swing": [float(np.sin(k / 8)) for k in range(n)] * len(areas),
            "load_level_24h": [1.0] * rows,
            "lag": [1.0] * rows,
            "row": [float(k) for k in range(rows)],
        },
        schema_overrides={"issued_at": TIME, "at": TIME},
    )


def gateway(
    models: Mapping[str, object] | None = None,
    route: Route | None = None,
    policy: GuardPolicy | None = None,
    areas: Sequence[str] = ("a", "b", "c", "d"),
) -> Gateway:
    """Return a gateway with champion rel-1, canary rel-2 on every area and the naive rungs, some models replaced.

    Without a policy no model is late: a machine that is busy with other things must not decide who answers.
    """
    loaded = {name: Steady(name, offset) for name, offset in (("rel-1", 0.0), ("rel-2", 5.0), ("rel-0", 9.0))}
    loaded |= {name: Steady(name, 20.0) for name in NAIVE}
    chosen = route or Route(1, "rel-1", "rel-2", 1.0, fallback=("rel-0", *NAIVE))
    policy = policy or GuardPolicy(late_after_ms=60_000.0)
    return Gateway(loaded | dict(models or {}), chosen, dict.fromkeys(areas, LIMITS), policy)


class Forecasts:
    """Current forecasts kept in a dictionary."""

    def __init__(self, answers: Sequence[Served], void_ids: tuple[str, ...] = ()) -> None:
        self.answers = {served.area: served for served in answers}
        self.void_ids = void_ids

    def areas(self) -> list[str]:
        return [*sorted(self.answers), "idle"]

    def current(self, area: str) -> CurrentForecast | None:
        if area == "down":
            raise Unavailable("the ledger is locked", where=area)
        if area == "defect":
            raise ZeroDivisionError("secret")
        served = self.answers.get(area)
        return None if served is None else CurrentForecast(served, self.void_ids)

    def find(self, forecast: str) -> PastForecast | None:
        found = [served for served in self.answers.values() if served.id == forecast]
        return PastForecast(found[0], STEP) if found else None

    def many(self, areas: Sequence[str]) -> dict[str, CurrentForecast]:
        return {area: current for area in areas if (current := self.current(area)) is not None}


EXPLAINED = {
    "release": "rel-1",
    "champion": None,
    "state": "held",
    "phase": "canary",
    "since": NOW,
    "as_of": NOW,
    "time_base": "clock",
    "share": 0.1,
    "step": {"index": 0, "of": 3},
    "reason": "held by ann: switching",
    "next": {"state": "held", "reason": "on hold"},
    "would_advance": ["somebody resumes it"],
    "would_end": ["an operator rolls it back"],
    "deadline": NOW,
    "numbers": {},
    "outlook": None,
    "corrector": None,
    "freeze": "",
    "gate": "",
    "cohort": [],
    "proposers": {"known": ["eve"], "strangers": []},
    "approval": None,
    "on_trial": None,
    "sentences": ["it is held"],
}


class Clerk:
    """Writes wishes into a list; nothing can be done about rel-bad."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []

    @property
    def rolled(self) -> list[tuple[str | None, str, str]]:
        return [(wish.subject, wish.reason, wish.actor) for wish in self.wishes if wish.kind == "rollback"]

    def carry_out(self, wish: Wish) -> Done:
        if wish.subject == "rel-bad":
            raise Refused("the signature does not fit", got=wish.subject)
        repeated = wish.key is not None and wish in self.wishes
        self.wishes.append(wish)
        said = {"reason": wish.reason, "sentence": "done"}
        if wish.kind == "rollback":
            champion = wish.subject or "rel-0"
            return Done({"released": "rel-1", "champion": champion, "epoch": 2, "recalled": [], **said}, repeated)
        if wish.kind in {"freeze", "lift"}:
            span = {"from": NOW, "to": None} | {k: at for k, at in wish.more.items() if at}
            return Done({"freeze": wish.subject or "freeze-1", "actor": wish.actor, **span, **said}, repeated)
        if wish.kind == "retrain":
            return Done({"trigger": "trg-1", "at": NOW, "actor": wish.actor, **said}, repeated)
        rollout = {"rollout": wish.subject, "release": "rel-1", "kind": wish.kind, "name": wish.actor, "role": None}
        return Done({**rollout, "case": wish.more.get("evidence", ""), "state": "held", "sentence": "done"}, repeated)

    def tell(self, what: str, subject: str | None) -> dict[str, object]:
        if what == "freezes":
            return {"in_force": [], "declared": [], "recurring": []}
        if what == "explain" and subject == "nonsense":
            raise InvalidInput("no such rollout", got=subject)
        if what == "explain":
            return dict(EXPLAINED) | {"rollout": subject}
        if what == "agreement":
            counts = {"advised": 0, "followed": 0, "against": 0, "share": None, "by_kind": {}, "by_person": []}
            return {"since": None, **counts, "reasons_against": [], "sentence": "nobody has decided anything"}
        row = {"key": "ro-1", "release": "rel-1", "state": "canary", "reason": "it goes", "case": ""}
        return {"rollouts": [row]}


def service(gate: Gateway | None = None, **changes: object) -> Service:
    """Return a service over a gateway with one current forecast per area; rollbacks are written into a list."""
    gate = gate or gateway()
    answers = gate.answer(frame(), ISSUED, NOW).served
    whole = Service(
        gateway=gate,
        clock=VirtualClock(NOW + timedelta(minutes=10)),
        columns_at_first=InputColumns(("scale_mw", "swing", "lag")),
        forecasts=Forecasts(answers, (f"{answers[0].id}:1",)),
        events=EventBuffer(),
        desk=Clerk(),
    )
    return replace(whole, **changes)


class Client:
    """Speaks to an application in process, one request at a time; `host` is where it seems to come from."""

    def __init__(self, whole: Service, host: str = "127.0.0.1") -> None:
        self.app = build_app(whole)
        self.host = host

    def __call__(self, method: str, path: str, **options: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self.host, 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())


class Running:
    """A real uvicorn on a loopback port, in a thread."""

    def __init__(self, whole: Service, lifespan: object = None) -> None:
        self.service = whole
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        config = uvicorn.Config(build_app(self.service, lifespan), log_level="critical")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.service.events.close()
        self.server.should_exit = True
        self.thread.join(20)
        self.socket.close()
        assert not self.thread.is_alive()

    def connection(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20))


@contextmanager
def grpc_port(whole: Service) -> Iterator[int]:
    """Serve over gRPC (and HTTP) and give the port."""
    ports: list[int] = []
    with Running(whole, grpc_lifespan(whole, "127.0.0.1", 0, ports.append)) as running:
        while not ports:
            assert running.thread.is_alive()
            running.thread.join(0.01)
        yield ports[0]


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    return SimpleNamespace(
        Steady=Steady,
        Faulty=Faulty,
        Given=Given,
        frame=frame,
        gateway=gateway,
        ISSUED=ISSUED,
        NOW=NOW,
        STEP=STEP,
        LIMITS=LIMITS,
        Forecasts=Forecasts,
        service=service,
        Client=Client,
        Running=Running,
        grpc_port=grpc_port,
    )
