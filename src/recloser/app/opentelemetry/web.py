"""Owns the span around a request of the gateway. Knows nothing of models."""

from __future__ import annotations

from opentelemetry import context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recloser.app.opentelemetry.spans import carried, extracted, failed, plain
from recloser.serving.http.edge import HEADER

UNTRACED = frozenset({"/metrics", "/v2/health/live", "/v2/health/ready", "/ping", "/health", "/v1/events"})
"""What is asked every few seconds, or goes on for hours."""
CARRIERS = frozenset({b"traceparent", b"tracestate"})


class TracedWeb:
    """ASGI application around the gateway's: a server span for each request, child of the caller's.

    Args:
        app: the gateway's.
        tracer: makes spans.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its span."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        told = {name.decode(): text.decode("latin-1") for name, text in scope["headers"] if name in CARRIERS}
        parent = extracted(told)
        span = self._tracer.start_span(f"{scope['method']}", parent, SpanKind.SERVER, plain(_asked(scope)))
        token = context.attach(set_span_in_context(span, parent))
        try:
            await self._app(scope, receive, _watching(span, send))
        except BaseException as error:
            failed(span, error)
            raise
        finally:
            context.detach(token)
            endpoint = getattr(scope.get("endpoint"), "__name__", None)
            if endpoint is not None:
                span.update_name(f"{scope['method']} {endpoint}")
                span.set_attribute("recloser.endpoint", endpoint)
            span.end()


def _asked(scope: Scope) -> dict[str, object]:
    client = scope.get("client") or (None, None)
    return {
        "http.request.method": scope["method"],
        "url.path": scope["path"],
        "url.scheme": scope.get("scheme"),
        "client.address": client[0],
        "network.protocol.version": scope.get("http_version"),
    }


def _watching(span: Span, send: Send) -> Send:
    """Return what sends an answer on: status and the request's name are noted, and the caller is told the trace."""

    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR, f"status {status}"))
            headers = message.get("headers", ())
            name = next((text for key, text in headers if key == HEADER), None)
            if name is not None:
                span.set_attribute("recloser.request.id", name.decode("latin-1"))
            trace = carried(span).get("traceparent", "").encode()
            message["headers"] = [*headers, (b"traceresponse", trace)]
        await send(message)

    return watched
