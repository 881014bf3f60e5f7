"""Owns opening traces as the project file says. Makes none."""

from __future__ import annotations

from pathlib import Path

from recloser.app.opentelemetry.tracing import Tracing
from recloser.app.project.settings import Project
from recloser.app.security.reaching import secret_of
from recloser.core import Unavailable


def tracing_of(project: Project, root: Path) -> Tracing | None:
    """Return where the project's traces go, None where it wants none.

    Raises:
        Unavailable: the extra `otel` is not installed, or the token cannot be read.
    """
    section = project.observability
    if section.traces is None:
        return None
    try:
        from recloser.app.opentelemetry.provider import OpenTelemetryTracing  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise Unavailable(
            "traces need the extra 'otel'",
            where="observability.traces",
            next_step="Run: pip install 'recloser[otel]', or remove the key.",
        ) from error
    file = section.traces_token_file
    token = None if file is None else secret_of(root / file, "observability.traces_token_file").decode()
    return OpenTelemetryTracing.to_collector(section.traces, token, section.traces_share, project.project.name)
