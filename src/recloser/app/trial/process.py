"""Owns the process in which a candidate is tried: verifies its package, scores golden rows, serves it. Judges nothing.

It prints one JSON line when it listens and one when it ends; anything else goes to stderr.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.predictions.opening import log_policy
from recloser.app.processes.process import end_with_parent
from recloser.app.processes.server import Ending, close_gateway, gateway_app, gateway_service, listen
from recloser.app.release import LoadedRelease
from recloser.app.security.gatekeeping import limits_of
from recloser.app.trial.bodies import HOST
from recloser.app.trial.machine import machine_facts
from recloser.core import ModelRows, RecloserError, parse_utc
from recloser.ledger import RouteRecord
from recloser.registry import read_golden
from recloser.registry.golden import Golden, compare_golden
from recloser.serving.http import Access, EventBuffer
from recloser.serving.http.admission import protocol_with
from recloser.serving.log import PredictionLog, StandbyLog


def main(words: Sequence[str]) -> int:
    """Run the trial's gateway until told to stop; return the exit code.

    Args:
        words: project folder, release, instant whose history limits are learned from, scratch folder, parent's pid.
    """
    folder, release, at, scratch, parent = words
    threading.Thread(target=end_with_parent, args=(int(parent),), daemon=True).start()
    try:
        with Platform.open(Path(folder), apart=True) as platform:
            return _serve(platform, release, parse_utc(at), Path(scratch))
    except RecloserError as error:
        _tell({"error": error.explain(), "exit_code": error.exit_code})
        return error.exit_code


def _serve(platform: Platform, release: str, at: datetime, scratch: Path) -> int:
    loaded = platform.load(release)
    loop = ControlLoop(platform, LoopOptions())
    loop.router.refresh(at)
    loop.router.set_route(_route(release, at, list(platform.ladder(None))))
    events = EventBuffer()
    log = StandbyLog(lambda: PredictionLog(scratch / "log", log_policy(platform), platform.clock))
    service = gateway_service(platform, loop, events, log if platform.project.gateway.log.enabled else None)
    # The load comes from one address: a limit per caller is not what is measured.
    limits = replace(limits_of(platform), requests_per_second=0.0)
    service = replace(service, access=Access(), limits=limits, audit=None)
    listening = listen(HOST, 0)
    config = uvicorn.Config(
        gateway_app(service, HOST, 0),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        http=protocol_with(limits),
        ws="none",
        server_header=False,
    )
    server = uvicorn.Server(config)
    Ending().of(server)
    told = {"golden": golden_told(loaded), "staging": machine_facts(), "release": loaded.release}
    told["locked"] = loaded.package.facts.environment.differences(platform.environment)
    _tell({**told, "port": listening.getsockname()[1]})
    try:
        server.run(sockets=[listening])
    finally:
        close_gateway(service, events, listening, log)
    _tell({"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
    return 0


def golden_told(loaded: LoadedRelease) -> list[dict[str, Any]]:
    """Return how the golden rows are answered by data frame and by arrays, as the gateway asks."""
    golden = read_golden(loaded.package)
    frame = compare_golden(golden, loaded.model.predict(golden.rows), 0.0)
    arrays = compare_golden(golden, loaded.predict_rows(arrays_of(golden)), 0.0)
    return [
        {"where": where, "rows": result.rows, "agrees": result.agrees, "reason": result.reason}
        for where, result in (("process, data frame", frame), ("process, arrays", arrays))
    ]


def arrays_of(golden: Golden) -> ModelRows:
    """Return the golden rows as the arrays that come over the wire."""
    names = tuple(name for name, kind in golden.rows.schema.items() if kind.is_numeric())
    numbers = golden.rows.select(names).cast(dict.fromkeys(names, float)).fill_null(float("nan")).to_numpy()
    at_us = golden.rows["at"].dt.epoch("us").to_numpy()
    return ModelRows(golden.rows["area"].to_list(), names, numbers.copy(order="C"), at_us)


def _route(release: str, at: datetime, rungs: list[str]) -> RouteRecord:
    return RouteRecord("route", 1, release, None, 0.0, [], None, rungs, None, "trial", at)


def _tell(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
