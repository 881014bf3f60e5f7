"""Owns the short way to inference: what would only be routed past a framework's layers goes straight to its endpoint.

The paths stand in the router as well, which has the same endpoints: methods, documents and errors are the same.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from recloser.core import RecloserError
from recloser.serving.http.data import Infer, Invocations
from recloser.serving.http.edge import on_http_error, on_recloser_error

BEFORE, AFTER = "/v2/models/", "/infer"


class HotWay:
    """ASGI middleware, the innermost: `POST /v2/models/{name}/infer` and `/invocations` are answered here."""

    def __init__(self, app: ASGIApp, infer: Infer, invocations: Invocations) -> None:
        self._app = app
        self._infer = infer
        self._invocations = invocations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer inference, and pass everything else on."""
        name = model_asked(scope)
        if name is None:
            await self._app(scope, receive, send)
            return
        endpoint: Infer | Invocations = self._infer if name else self._invocations
        scope["endpoint"], scope["path_params"] = endpoint, {"name": name}
        try:
            await endpoint(scope, receive, send)
        except RecloserError as error:
            await (await on_recloser_error(Request(scope), error))(scope, receive, send)
        except HTTPException as error:
            await (await on_http_error(Request(scope), error))(scope, receive, send)


def model_asked(scope: Scope) -> str | None:
    """Return the model in the path of an inference request, empty for `/invocations`, None for any other request."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
        return None
    path: str = scope["path"]
    if path == "/invocations":
        return ""
    name = path[len(BEFORE) : -len(AFTER)]
    if path.startswith(BEFORE) and path.endswith(AFTER) and name and "/" not in name:
        return name
    return None
