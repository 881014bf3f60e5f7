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
    from faulty import Spoilt, save_spoilt  # noqa: PLC0415 - the echo needs none of this
    from swapping import Swapper  # noqa: PLC0415
    from world import COLUMNS, Named, Nothing, Present, gateway, models, route  # noqa: PLC0415

    from recloser.serving.foreign import ProcessPredictor, Program  # noqa: PLC0415
    from recloser.serving.http import EventBuffer, Service, build_app  # noqa: PLC0415
    from recloser.serving.plane import job  # noqa: PLC0415

    found = models(options.folder, options.trees)
    predictors: dict[str, Any] = {name: Named(name, model) for name, model in found.items()}
    steps = options.faults.split(",") if options.faults else []
    if steps and options.apart:
        place = Path(tempfile.mkdtemp())
        save_spoilt(found["rel-canary"], steps, place)
        words = [sys.executable, "-m", "recloser.serving.foreign", str(place)]
        program = Program(lambda number: [*words, str(number), "2048", str(os.getpid())], _environment())
        predictors["rel-canary"] = ProcessPredictor("rel-canary", program)
    elif steps:
        predictors["rel-canary"] = Spoilt(predictors["rel-canary"], steps)
    chosen = route(share=options.canary, shadow=options.shadow)
    gate = gateway(predictors, chosen, options.trip_after)
    if options.swap:
        names = ("rel-champion", "rel-canary")
        folders = {name: options.folder / f"{name}-{options.trees}" for name in names}
        Swapper(gate, folders, options.swap, options.swap_log).start()
    if options.one_by_one:
        job.joinable = lambda *_: False
    return build_app(Service(gate, Present(), COLUMNS, Nothing(), EventBuffer(), lambda *_: {}))


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
    parser.add_argument("--swap", type=float, default=0.0)
    parser.add_argument("--swap-log", type=Path, default=Path("swaps.json"))
    options = parser.parse_args()
    app = echo if options.what == "echo" else ours(options)
    gc.collect()
    gc.freeze()  # as our own gateway process does
    config = uvicorn.Config(app, port=options.port, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
