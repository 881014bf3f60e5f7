"""Starts one server of the comparison: `python server.py ours|echo --port N [...]`; serves until ended."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body and send a fixed answer: the limit of the transport."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    body = b'{"model_name":"echo","outputs":[]}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def ours(options: argparse.Namespace) -> Any:
    """Return our application over the world of the benchmark."""
    from world import COLUMNS, TRAINED, Named, Nobody, Nothing, Present, gateway, models, route  # noqa: PLC0415

    from recloser.serving.http import EventBuffer, Service, build_app  # noqa: PLC0415
    from recloser.serving.log import LogPolicy, PredictionLog  # noqa: PLC0415
    from recloser.serving.plane import job  # noqa: PLC0415

    needed = TRAINED if options.canary else TRAINED[:1]
    predictors: dict[str, Any] = {
        name: Named(name, model) for name, model in models(options.folder, options.trees, needed).items()
    }
    if options.shadow:  # trees of its own, as a third release would have
        shadow = models(options.folder, options.trees, TRAINED[1:])["rel-canary"]
        predictors["rel-shadow"] = Named("rel-shadow", shadow)
    if options.faults:
        predictors["rel-canary"] = spoilt(options, predictors["rel-canary"])
    chosen = route(share=options.canary, shadow="rel-shadow" if options.shadow else None)
    gate = gateway(predictors, chosen, options.trip_after)
    if options.swap:
        from swapping import Swapper  # noqa: PLC0415

        folders = {name: options.folder / f"{name}-{options.trees}" for name in TRAINED}
        Swapper(gate, folders, options.swap, options.swap_log).start()
    if options.one_by_one:
        from unittest.mock import patch  # noqa: PLC0415

        patch.object(job, "joinable", lambda *_: False).start()  # raises if it is not there
    log = PredictionLog(options.log, LogPolicy(), Present()) if options.log else None
    return build_app(Service(gate, Present(), COLUMNS, Nothing(), EventBuffer(), Nobody(), log=log))


def spoilt(options: argparse.Namespace, honest: Any) -> Any:
    """Return a canary that goes wrong in the steps asked for, in this process or in one of its own."""
    from faulty import Spoilt, save_spoilt  # noqa: PLC0415

    from recloser.serving.foreign import ProcessPredictor, Program  # noqa: PLC0415

    steps = options.faults.split(",")
    if options.apart:
        place = Path(tempfile.mkdtemp())
        save_spoilt(honest.model, steps, place)
        words = [sys.executable, "-m", "recloser.serving.foreign", str(place)]
        program = Program(lambda number: [*words, str(number), "2048", str(os.getpid())], _environment())
        return ProcessPredictor("rel-canary", program)
    return Spoilt(honest, steps)


def _environment() -> dict[str, str]:
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ours", "echo"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--canary", type=float, default=0.0)
    parser.add_argument("--shadow", action="store_true")
    parser.add_argument("--faults", default="")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--trip-after", type=int, default=3)
    parser.add_argument("--one-by-one", action="store_true", help="no request shares a batch with another")
    parser.add_argument("--log", type=Path, help="folder of a prediction log with the default policy")
    parser.add_argument("--swap", type=float, default=0.0)
    parser.add_argument("--swap-log", type=Path, default=Path("swaps.json"))
    options = parser.parse_args()
    settings: dict[str, Any] = {"port": options.port, "log_level": "warning", "access_log": False, "lifespan": "off"}
    if options.what == "echo":
        config = uvicorn.Config(echo, **settings)
    else:
        from recloser.serving.http.admission.limits import TrafficLimits  # noqa: PLC0415 - not for the echo
        from recloser.serving.http.admission.protocol import protocol_with  # noqa: PLC0415

        protocol = protocol_with(TrafficLimits())
        config = uvicorn.Config(ours(options), http=protocol, ws="none", server_header=False, **settings)
    gc.collect()
    gc.freeze()  # as our own gateway process does
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
