"""Owns what the gateway tells about itself: metadata, health and statistics of Open Inference Protocol v2 and MLflow.

Answers no inference.
"""

from __future__ import annotations

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from recloser import __version__
from recloser.serving.http.edge import json_response, problem
from recloser.serving.http.service import Service
from recloser.serving.wire.models import (
    known_model,
    model_config,
    model_metadata,
    model_names,
    repository_index,
)
from recloser.serving.wire.oip import EXTENSIONS


class Metadata:
    """Endpoints of `/v2` besides inference."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, _: Request) -> Response:
        """Tell name, version and extensions of the server."""
        return json_response({"name": "recloser", "version": __version__, "extensions": EXTENSIONS})

    async def live(self, _: Request) -> Response:
        """Tell that the process answers."""
        return json_response({"live": True})

    async def ready(self, _: Request) -> Response:
        """Tell whether a route with at least one model is in force."""
        if not self._service.gateway.route.names():
            return problem(503, "Not ready", "No model is in the route.", ready=False)
        return json_response({"ready": True})

    async def model(self, request: Request) -> Response:
        """Tell the inputs, outputs and version of a model."""
        return json_response(model_metadata(self._service.gateway, self._service.columns, self._name(request)))

    async def model_ready(self, request: Request) -> Response:
        """Tell that a model is loaded."""
        return json_response({"name": self._name(request), "ready": True})

    async def config(self, request: Request) -> Response:
        """Tell the configuration of a model, as Triton's clients read it."""
        return json_response(model_config(self._service.gateway, self._service.columns, self._name(request)))

    async def stats(self, request: Request) -> Response:
        """Tell counts and durations of one model."""
        return await self._stats((self._name(request),))

    async def all_stats(self, _: Request) -> Response:
        """Tell counts and durations of every model that can be asked."""
        return await self._stats(model_names(self._service.gateway))

    async def index(self, _: Request) -> Response:
        """List the models that can be asked; whatever body asked is ignored."""
        return json_response(repository_index(self._service.gateway))

    async def ping(self, _: Request) -> Response:
        """Answer MLflow's health check: ready, or 503."""
        if not self._service.gateway.route.names():
            return problem(503, "Not ready", "No model is in the route.", ready=False)
        return PlainTextResponse("\n")

    async def version(self, _: Request) -> Response:
        """Tell the version of the server where MLflow tells its own."""
        return PlainTextResponse(__version__)

    def _name(self, request: Request) -> str:
        parameters = request.path_params
        return known_model(self._service.gateway, parameters["name"], parameters.get("version", ""))

    async def _stats(self, names: tuple[str, ...]) -> Response:
        return json_response({"model_stats": await to_thread.run_sync(self._service.model_statistics, names)})
