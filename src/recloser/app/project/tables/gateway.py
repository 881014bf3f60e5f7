"""Owns the tables of the project file below `[gateway]`: log, limits, SLA, TLS. Opens nothing they name."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput


class LogSection(Section):
    """What the gateway writes down about every answer: `[gateway.log]`."""

    enabled: bool = True
    inputs: Literal["digest", "full", "none"] = "digest"
    sync: Literal["group", "each", "none"] = "group"
    segment_mb: Annotated[float, Field(gt=0, le=256)] = 16
    segment_seconds: Annotated[float, Field(gt=0)] = 60
    queue_mb: Annotated[float, Field(gt=0)] = 64


class LimitsSection(Section):
    """What callers may do to a gateway process: `[gateway.limits]`."""

    requests_per_second: Annotated[float, Field(ge=0)] = 0.0
    burst: Annotated[int, Field(ge=1)] = 100
    concurrent: Annotated[int, Field(ge=1)] = 256
    overload_ms: Annotated[float, Field(gt=0)] = 500.0
    connections: Annotated[int, Field(ge=1)] = 1000
    header_seconds: Annotated[float, Field(gt=0)] = 10.0
    body_seconds: Annotated[float, Field(gt=0)] = 30.0
    write_seconds: Annotated[float, Field(gt=0)] = 30.0
    body_mb: Annotated[float, Field(gt=0, le=1024)] = 8.0


class SlaSection(Section):
    """What a gateway promises, and every candidate must keep under load before it may serve: `[gateway.sla]`."""

    requests_per_second: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    p50_ms: Annotated[float, Field(gt=0)] = 250.0
    p99_ms: Annotated[float, Field(gt=0)] = 1000.0
    p999_ms: Annotated[float, Field(gt=0)] = 3000.0
    error_share: Annotated[float, Field(ge=0, lt=1)] = 0.001
    start_seconds: Annotated[float, Field(gt=0)] = 60.0
    memory_mb: Annotated[float, Field(gt=0)] = 2048.0


class TlsSection(Section):
    """Encryption of the gateway: `[gateway.tls]`; file names are relative to the project."""

    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None) or (self.client_ca and self.certificate is None):
            raise InvalidInput(
                "TLS needs a certificate and its key",
                got={"certificate": self.certificate, "key": self.key, "client_ca": self.client_ca},
                where="gateway.tls",
                next_step="Name both, or neither and no client_ca.",
            )
        return self
