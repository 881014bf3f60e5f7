"""Owns the gRPC methods, on grpc.aio. Decides no answer; opens its port only when told to."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc import aio

from recloser import __version__
from recloser.core import Unavailable
from recloser.serving.grpc.calls import Asked, Calls
from recloser.serving.grpc.convert import call_of, config_of, message_of, reply_of
from recloser.serving.grpc.health import HEALTH_SERVICE, checked
from recloser.serving.grpc.messages import MESSAGES, SERVICE
from recloser.serving.http import Service, decide
from recloser.serving.wire.models import (
    UnknownModel,
    known_model,
    model_config,
    model_metadata,
    model_names,
    repository_index,
    version_of,
)
from recloser.serving.wire.oip import EXTENSIONS, Call, Reply, check_call, timeout_ms
from recloser.serving.wire.rows import output_names, outputs_of, rows_from_tensors

MOST_AT_ONCE = 256
"""Calls under way; further ones are answered RESOURCE_EXHAUSTED."""


class Methods:
    """The methods of the service, one per name in the protocol; each takes a request and what else is known of it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._gateway = service.gateway

    async def server_live(self, *_: Any) -> Any:
        """Tell that the process answers."""
        return MESSAGES["ServerLiveResponse"](live=True)

    async def server_ready(self, *_: Any) -> Any:
        """Tell whether a route with at least one model is in force."""
        return MESSAGES["ServerReadyResponse"](ready=bool(self._gateway.route.names()))

    async def model_ready(self, request: Any, *_: Any) -> Any:
        """Tell whether a model is loaded; an unknown one is not ready, which is no error."""
        try:
            self._name(request)
        except UnknownModel:
            return MESSAGES["ModelReadyResponse"](ready=False)
        return MESSAGES["ModelReadyResponse"](ready=True)

    async def server_metadata(self, *_: Any) -> Any:
        """Tell name, version and extensions of the server."""
        return MESSAGES["ServerMetadataResponse"](name="recloser", version=__version__, extensions=EXTENSIONS)

    async def model_metadata(self, request: Any, *_: Any) -> Any:
        """Tell the inputs, outputs and version of a model."""
        document = model_metadata(self._gateway, self._service.columns, self._name(request))
        return message_of("ModelMetadataResponse", document)

    async def model_config(self, request: Any, *_: Any) -> Any:
        """Tell the configuration of a model."""
        return config_of(model_config(self._gateway, self._service.columns, self._name(request)))

    async def model_statistics(self, request: Any, *_: Any) -> Any:
        """Tell counts and durations of one model, or of all if none is named."""
        names = (self._name(request),) if request.name else model_names(self._gateway)
        rows = await asyncio.to_thread(self._service.model_statistics, names)
        return message_of("ModelStatisticsResponse", {"model_stats": rows})

    async def repository_index(self, *_: Any) -> Any:
        """List the models that can be asked."""
        return message_of("RepositoryIndexResponse", {"models": repository_index(self._gateway)})

    async def model_infer(self, request: Any, asked: Asked) -> Any:
        """Answer one inference request within the caller's deadline."""
        name = known_model(self._gateway, request.model_name, request.model_version)
        with self._service.statistics.request(name, self._service.clock) as watch:
            call, raw = call_of(request)
            check_call(call, name, output_names(self._gateway.quantiles))
            rows = rows_from_tensors(call.tensors, self._service.columns)
            watch.lap("compute_input")
            answers = await decide(
                self._service, name, rows, _within_ms(call, asked.remaining_s), call.id or asked.name
            )
            watch.lap("compute_infer")
            outputs = outputs_of(answers, self._gateway.quantiles)
            response = reply_of(call, Reply(name, version_of(self._gateway, name), outputs), raw=raw)
            watch.lap("compute_output")
            watch.rows = len(rows.areas)
        return response

    def _name(self, request: Any) -> str:
        return known_model(self._gateway, request.name, request.version)


def _within_ms(call: Call, remaining_s: float | None) -> float | None:
    """Return the caller's time in milliseconds: the shorter of the call's deadline and its parameter `timeout`."""
    given = [timeout_ms(call.parameters), None if remaining_s is None else 1_000.0 * max(remaining_s, 1e-3)]
    return min((ms for ms in given if ms is not None), default=None)


def handlers(service: Service, calls: Calls) -> dict[str, Any]:
    """Return the handlers of the protocol's service by the names of its methods."""
    methods = Methods(service)
    named = {
        "ServerLive": methods.server_live,
        "ServerReady": methods.server_ready,
        "ModelReady": methods.model_ready,
        "ServerMetadata": methods.server_metadata,
        "ModelMetadata": methods.model_metadata,
        "ModelConfig": methods.model_config,
        "ModelStatistics": methods.model_statistics,
        "RepositoryIndex": methods.repository_index,
        "ModelInfer": methods.model_infer,
    }
    found = {
        name: grpc.unary_unary_rpc_method_handler(calls.single(f"{name}Request", method))
        for name, method in named.items()
    }
    return found | {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler(calls.streamed(methods.model_infer))}


async def start(
    service: Service, host: str, port: int, tls: tuple[bytes, bytes, bytes | None] | None = None
) -> tuple[Any, int]:
    """Open the port in the running event loop and return the server with the port it has.

    Raises:
        Unavailable: the address is taken or not ours.
    """
    options = [
        ("grpc.max_receive_message_length", service.body_limit),
        ("grpc.so_reuseport", 0),
    ]
    server = aio.server(options=options, maximum_concurrent_rpcs=MOST_AT_ONCE)
    calls = Calls(service.gate)
    check = grpc.unary_unary_rpc_method_handler(calls.single("HealthCheckRequest", checked(service.gateway)))
    spoken = {SERVICE: handlers(service, calls), HEALTH_SERVICE: {"Check": check}}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(*pair) for pair in spoken.items()])
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls is None:
            bound = server.add_insecure_port(address)
        else:
            key, certificate, authority = tls
            secured = grpc.ssl_server_credentials([(key, certificate)], authority, authority is not None)
            bound = server.add_secure_port(address, secured)
    except RuntimeError as error:
        raise Unavailable("cannot listen", where=address, next_step="Choose another gateway.grpc_port.") from error
    await server.start()
    return server, int(bound)
