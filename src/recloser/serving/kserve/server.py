"""Owns the web application of a pod that runs one release: Open Inference Protocol v2, no guard and no route.

Its only caller is the gateway in front, which judges every answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from recloser import __version__
from recloser.core import FloatArray, ModelRows, RecloserError
from recloser.serving.http.body import BINARY, HEADER_LENGTH, JSON, read_tensors
from recloser.serving.http.edge import answer, json_response, on_crash, on_http_error, on_recloser_error
from recloser.serving.wire.models import PLATFORM, UnknownModel
from recloser.serving.wire.oip import EXTENSIONS, Reply, check_call, read_call, write_reply
from recloser.serving.wire.rows import InputColumns, quantile_names, rows_from_tensors, tensors_of
from recloser.serving.wire.tensors import Tensor

BODY_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HostedRelease:
    """The release of a pod.

    Attributes:
        release: id, which is also the model's name and version in the protocol.
        columns: numeric columns of a row, 'scale_mw' among them, in the order of a single tensor.
        quantiles: levels of the answers.
        predict: returns MW, shape (n_rows, n_quantiles); thread safe.
    """

    release: str
    columns: tuple[str, ...]
    quantiles: tuple[float, ...]
    predict: Callable[[ModelRows], FloatArray]


@dataclass(frozen=True, slots=True)
class _Infer:
    hosted: HostedRelease
    __name__ = "infer"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosted = self.hosted
        _known(hosted, scope["path_params"])
        body, header = await read_tensors(scope, receive, BODY_LIMIT)
        call = read_call(body, header)
        names = quantile_names(hosted.quantiles)
        check_call(call, hosted.release, names)
        rows = rows_from_tensors(call.tensors, InputColumns(hosted.columns, at=False))
        given = ModelRows(rows.areas, rows.names, rows.table, rows.at_us)
        mw = await to_thread.run_sync(hosted.predict, given)
        tensors = [Tensor(name, "FP64", (len(rows.areas),), column) for name, column in zip(names, mw.T, strict=True)]
        content, length = write_reply(call, Reply(hosted.release, hosted.release, tuple(tensors)))
        if length is None:
            await answer(send, content, JSON)
        else:
            await answer(send, content, BINARY, (HEADER_LENGTH.encode(), b"%d" % length))


def build_model_app(hosted: HostedRelease) -> Starlette:
    """Return the ASGI application that serves one release, which is loaded, and ready from the first request on."""

    async def server(_: Request) -> Response:
        return json_response({"name": "recloser", "version": __version__, "extensions": EXTENSIONS[:1]})

    async def live(_: Request) -> Response:
        return json_response({"live": True})

    async def ready(_: Request) -> Response:
        return json_response({"ready": True})

    async def model(request: Request) -> Response:
        return json_response(_metadata(hosted, request.path_params))

    async def model_ready(request: Request) -> Response:
        return json_response({"name": _known(hosted, request.path_params), "ready": True})

    infer = _Infer(hosted)
    routes = [Route("/v2", server), Route("/v2/health/live", live), Route("/v2/health/ready", ready)]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [Route(path, model), Route(f"{path}/ready", model_ready)]
        routes.append(Route(f"{path}/infer", infer, methods=["POST"]))
    handlers: Any = {RecloserError: on_recloser_error, HTTPException: on_http_error, Exception: on_crash}
    return Starlette(routes=routes, exception_handlers=handlers)


def _metadata(hosted: HostedRelease, asked: dict[str, str]) -> dict[str, Any]:
    inputs, outputs = tensors_of(InputColumns(hosted.columns), hosted.quantiles)
    return {
        "name": _known(hosted, asked),
        "versions": [hosted.release],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": [tensor for tensor in outputs if tensor["datatype"] == "FP64"],
    }


def _known(hosted: HostedRelease, asked: dict[str, str]) -> str:
    if asked["name"] != hosted.release or asked.get("version", hosted.release) != hosted.release:
        raise UnknownModel("no such model", got=asked["name"][:100], expected=hosted.release, where="model")
    return hosted.release
