"""Owns serving one release and nothing else, from its package alone: what a pod of KServe does. Guards no answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from recloser.app.cluster.hosting import columns_of
from recloser.app.processes.server import KEEP_ALIVE_S, Ending, listen
from recloser.app.releases.packages import trusted_by
from recloser.core import FloatArray, ModelRows, Refused
from recloser.models import Model, load_model, predict_rows
from recloser.registry import Package, check_golden, open_package, open_pinned
from recloser.serving.foreign import LOADERS
from recloser.serving.kserve.server import HostedRelease, build_model_app


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What is served, and where.

    Attributes:
        path: the package.
        folder: project whose keys are trusted, unless a digest or keys are given.
        keys: folder or file of trusted public keys.
        digest: of the package (64 hex digits); then no keys are needed, because who names it has checked the signature.
        host, port: where to listen; port 0 lets the system choose.
        allow_code: whether a model with code of its own may be opened.
    """

    path: Path
    folder: Path
    keys: Path | None = None
    digest: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    allow_code: bool = False

    def opened(self) -> Package:
        """Return the package, verified.

        Raises:
            InvalidInput, Refused, Unavailable: it does not verify.
        """
        path = self.path.absolute()
        return (
            open_package(path, trusted_by(self.folder, self.keys))
            if not self.digest
            else open_pinned(path, self.digest)
        )


def serve_package(plan: ServePlan, ready: Callable[[dict[str, Any]], None]) -> int:
    """Serve a release over Open Inference Protocol v2 until the process is told to stop.

    Args:
        plan: what and where.
        ready: told once it listens: {"release", "digest", "url", "rows", "reason"}.

    Raises:
        Refused: the package does not verify, its model runs code, or it does not answer its golden rows as recorded.
        Unavailable: the port is taken.
    """
    package = plan.opened()
    model = load_model(package.model_folder, LOADERS, allow_code=plan.allow_code)
    golden = check_golden(package, model.predict)
    if not golden.agrees:
        raise Refused("the model does not answer its golden rows as recorded", got=golden.reason, where=package.release)
    hosted = HostedRelease(package.release, columns_of(package), model.quantiles, _one_at_a_time(model))
    ending = Ending()
    listening = listen(plan.host, plan.port)
    server = uvicorn.Server(
        uvicorn.Config(
            build_model_app(hosted),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=3,
            timeout_keep_alive=KEEP_ALIVE_S,
            ws="none",
            server_header=False,
        )
    )
    ending.of(server)
    told = {"release": package.release, "digest": package.digest, "rows": golden.rows, "reason": golden.reason}
    ready({**told, "url": f"http://{plan.host}:{listening.getsockname()[1]}"})
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
    return 0


def _one_at_a_time(model: Model) -> Callable[[ModelRows], FloatArray]:
    """Return what answers rows, one request after the other: more at once would only wait for the same cores."""
    turn = threading.Lock()

    def predict(rows: ModelRows) -> FloatArray:
        with turn:
            return predict_rows(model, rows)

    return predict
