"""Starts one server of the comparison: `python server.py ours|echo --port N [...]`; serves until ended."""

from __future__ import annotations

import argparse
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
    from faulty import spoilt  # noqa: PLC0415 - the echo needs none of this
    from world import COLUMNS, Named, gateway, models, route  # noqa: PLC0415

    from recloser.app.clock import SystemClock  # noqa: PLC0415
    from recloser.serving.http import EventBuffer, Service, build_app  # noqa: PLC0415

    class Nothing:
        """No forecasts."""

        def areas(self) -> list[str]:
            return []

        def current(self, _: str) -> None:
            return None

    predictors: dict[str, Any] = {name: Named(name, model) for name, model in models(options.folder).items()}
    if options.faults:
        predictors["rel-canary"] = spoilt(predictors["rel-canary"], options.faults)
    gate = gateway(predictors, route(canary=options.canary, shadow=options.shadow))
    return build_app(Service(gate, SystemClock(), COLUMNS, Nothing(), EventBuffer(), lambda *_: {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ours", "echo"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--canary", action="store_true")
    parser.add_argument("--shadow", action="store_true")
    parser.add_argument("--faults", default="")
    options = parser.parse_args()
    app = echo if options.what == "echo" else ours(options)
    config = uvicorn.Config(app, port=options.port, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
