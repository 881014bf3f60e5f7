"""A collector as a process: takes OTLP over HTTP, decodes the protobuf, and appends each span as a line of JSON.

    python collector.py FILE [TOKEN]

Prints its port. With a token, whoever sends none is turned away.
"""

from __future__ import annotations

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

FILE = Path(sys.argv[1])
TOKEN = sys.argv[2] if len(sys.argv) > 2 else None
TYPE = "application/x-protobuf"


def plain(value: Any) -> Any:
    """Return an attribute's value."""
    kind = value.WhichOneof("value")
    return [plain(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def facts(attributes: Any) -> dict[str, Any]:
    return {item.key: plain(item.value) for item in attributes}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path != "/v1/traces" or self.headers["content-type"] != TYPE:
            self.answer(400)
            return
        if TOKEN is not None and self.headers.get("authorization") != f"Bearer {TOKEN}":
            self.answer(401)
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = facts(resource.resource.attributes)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.keep(span, about)
        self.answer(200)

    def keep(self, span: Any, about: dict[str, Any]) -> None:
        row = {
            "name": span.name,
            "trace": span.trace_id.hex(),
            "span": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "kind": span.kind,
            "began": span.start_time_unix_nano,
            "ended": span.end_time_unix_nano,
            "status": span.status.code,
            "facts": facts(span.attributes),
            "events": [[event.name, facts(event.attributes)] for event in span.events],
            "resource": about,
        }
        with FILE.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def answer(self, status: int) -> None:
        body = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        self.send_header("content-type", TYPE)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    FILE.touch()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)  # noqa: T201 - what the test waits for
    server.serve_forever()
