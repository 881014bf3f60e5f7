"""Owns the types of the gateway's answers, for the OpenAPI document; tests hold real answers against them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

Text = str | None
Number = float | None
Unset = msgspec.UnsetType
UNSET = msgspec.UNSET


class Problem(msgspec.Struct, forbid_unknown_fields=True):
    """A problem document (RFC 9457). Under /v2 `error` is the sentence, elsewhere the kind of error."""

    type: str
    title: str
    status: int
    detail: str
    error: str | Unset = UNSET
    what: str | Unset = UNSET
    got: Text | Unset = UNSET
    expected: Text | Unset = UNSET
    where: Text | Unset = UNSET
    next_step: Text | Unset = UNSET
    error_code: str | Unset = UNSET
    message: str | Unset = UNSET
    ready: bool | Unset = UNSET


class Server(msgspec.Struct, forbid_unknown_fields=True):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class Live(msgspec.Struct, forbid_unknown_fields=True):
    """The process answers."""

    live: bool


class Ready(msgspec.Struct, forbid_unknown_fields=True):
    """A route with at least one model is in force."""

    ready: bool


class ModelReady(msgspec.Struct, forbid_unknown_fields=True):
    """A model is loaded."""

    name: str
    ready: bool


class TensorMetadata(msgspec.Struct, forbid_unknown_fields=True):
    """An input or output; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, forbid_unknown_fields=True):
    """Versions, inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfiguredTensor(msgspec.Struct, forbid_unknown_fields=True):
    """An input or output in a model configuration."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfiguration(msgspec.Struct, forbid_unknown_fields=True):
    """A model configuration as Triton's clients read it."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]


class Duration(msgspec.Struct, forbid_unknown_fields=True):
    """How often, and nanoseconds in all."""

    count: int
    ns: int


class InferStatistics(msgspec.Struct, forbid_unknown_fields=True):
    """Durations of the phases of inference."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class ModelStatistics(msgspec.Struct, forbid_unknown_fields=True):
    """Counts of one model; `last_inference` in milliseconds since 1970, `inference_count` in rows."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferStatistics
    batch_stats: list[dict[str, Any]]


class StatisticsAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """Statistics of models."""

    model_stats: list[ModelStatistics]


class IndexRow(msgspec.Struct, forbid_unknown_fields=True):
    """A model that can be asked."""

    name: str
    version: str
    state: str
    reason: str


class InferOutput(msgspec.Struct, forbid_unknown_fields=True):
    """One output: `data`, or `binary_data_size` in its parameters."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | str | None] | Unset = UNSET
    parameters: dict[str, int] | Unset = UNSET


class InferResponse(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to an inference request: quantiles in MW, who answered and why, per row."""

    model_name: str
    model_version: str
    outputs: list[InferOutput]
    id: str | Unset = UNSET


class AreaRow(msgspec.Struct, forbid_unknown_fields=True):
    """An area, who is meant to answer for it, and its limits as [lowest, highest] MW."""

    area: str
    arm: str
    limits_mw: list[float] | None


class Areas(msgspec.Struct, forbid_unknown_fields=True):
    """All areas."""

    areas: list[AreaRow]


class LogState(msgspec.Struct, forbid_unknown_fields=True):
    """How the prediction log does: 'ok', 'stalled' or 'closed', and what was written and dropped."""

    state: str
    error: str
    written: int
    dropped: int
    gaps: int
    waiting_bytes: int


class WorkerState(msgspec.Struct, forbid_unknown_fields=True):
    """What one gateway process says of itself; `problem` tells why it cannot follow the newest route."""

    worker: str
    pid: int
    epoch: int
    tripped: list[str]
    problem: str


class RouteState(msgspec.Struct, forbid_unknown_fields=True):
    """The route in force, what was tripped, whether the lease has run out, what is loaded, and how the log does."""

    epoch: int
    champion: Text
    canary: Text
    share: float
    cohort: list[str]
    shadow: Text
    fallback: list[str]
    lease_until: datetime | None
    tripped: list[str]
    lease_expired: bool
    loaded: list[str]
    prediction_log: LogState | None
    workers: list[WorkerState]


class RecalledRow(msgspec.Struct, forbid_unknown_fields=True):
    """A recalled forecast and what replaced it, null if nothing could."""

    void: str
    replaced_by: Text


def forecast_types(quantiles: tuple[str, ...]) -> tuple[type[msgspec.Struct], type[msgspec.Struct]]:
    """Return the types of a current forecast and of many, with the quantiles that the gateway answers."""
    numbers = [(name, Annotated[float, msgspec.Meta(description="MW")]) for name in quantiles]
    point = msgspec.defstruct("Point", [("id", str), ("at", datetime), *numbers, ("void", bool)], **_STRICT)
    texts = [(name, str) for name in ("area", "id", "release", "served_by", "reason")]
    times: list[tuple[str, Any]] = [("issued_at", datetime), ("made_at", datetime), ("age_s", float)]
    rest: list[tuple[str, Any]] = [
        ("quantiles", list[float]),
        ("points", list[point]),  # type: ignore[valid-type]
        ("void_ids", list[str]),
        ("recalled", list[RecalledRow]),
    ]
    forecast = msgspec.defstruct("Forecast", [*texts, *times, *rest], **_STRICT)
    many = [("forecasts", list[forecast]), ("without_forecast", list[str])]  # type: ignore[valid-type]
    return forecast, msgspec.defstruct("Forecasts", many, **_STRICT)


Status = Literal["valid", "void", "superseded"]


def past_type(quantiles: tuple[str, ...]) -> type[msgspec.Struct]:
    """Return the type of a forecast that is looked up by its id or by that of one of its predictions."""
    numbers = [(name, Annotated[float, msgspec.Meta(description="MW")]) for name in quantiles]
    ends: list[tuple[str, Any]] = [("status", Status), ("replaced_by", Text), ("in_force", Text)]
    point = msgspec.defstruct("PastPoint", [("id", str), ("at", datetime), *numbers, *ends], **_STRICT)
    texts = [(name, str) for name in ("asked", "id", "area", "release", "served_by", "reason")]
    rest: list[tuple[str, Any]] = [
        ("issued_at", datetime),
        ("made_at", datetime),
        ("quantiles", list[float]),
        ("status", Status),
        ("void_at", datetime | None),
        ("void_reason", Text),
        ("trip", Text),
        ("replaced_by", Text),
        ("points", list[point]),  # type: ignore[valid-type]
    ]
    return msgspec.defstruct("PastForecast", [*texts, *rest], **_STRICT)


def prediction_type(quantiles: tuple[str, ...]) -> type[msgspec.Struct]:
    """Return the type of MLflow's answer: one record per row."""
    numbers = [(name, Number) for name in quantiles]
    texts = [(name, str) for name in ("served_by", "release", "reason")]
    record = msgspec.defstruct("Prediction", [*numbers, *texts], **_STRICT)
    records = [("predictions", list[record])]  # type: ignore[valid-type]
    return msgspec.defstruct("Predictions", records, **_STRICT)


_STRICT: dict[str, Any] = {"forbid_unknown_fields": True}
