"""Owns quantities, aware-UTC time, quality, samples, served records, ids and errors. No I/O, no wall clock."""

from recloser.core.contract import STANDARD_CONTRACT, DataContract, SeriesContract
from recloser.core.digests import canonical_json, digest_bytes, digest_of, jsonable, short_id, stable_share
from recloser.core.errors import (
    Conflict,
    InvalidInput,
    RecloserError,
    Refused,
    Unavailable,
    Unproven,
    nearest,
    unknown_name,
)
from recloser.core.model_rows import ModelRows
from recloser.core.quality import Quality
from recloser.core.quantities import INCUMBENT, LOAD, TEMPERATURE
from recloser.core.sample import SAMPLE_SCHEMA, TIME, Panel, Sample, instant, instants, sample_frame
from recloser.core.served import QUANTILES, FloatArray, Served, forecast_id
from recloser.core.time import (
    Clock,
    Horizon,
    VirtualClock,
    format_utc,
    local_midnight,
    parse_utc,
    parse_zone,
    require_utc,
    within_reach,
)

__all__ = [
    "INCUMBENT",
    "LOAD",
    "QUANTILES",
    "SAMPLE_SCHEMA",
    "STANDARD_CONTRACT",
    "TEMPERATURE",
    "TIME",
    "Clock",
    "Conflict",
    "DataContract",
    "FloatArray",
    "Horizon",
    "InvalidInput",
    "ModelRows",
    "Panel",
    "Quality",
    "RecloserError",
    "Refused",
    "Sample",
    "SeriesContract",
    "Served",
    "Unavailable",
    "Unproven",
    "VirtualClock",
    "canonical_json",
    "digest_bytes",
    "digest_of",
    "forecast_id",
    "format_utc",
    "instant",
    "instants",
    "jsonable",
    "local_midnight",
    "nearest",
    "parse_utc",
    "parse_zone",
    "require_utc",
    "sample_frame",
    "short_id",
    "stable_share",
    "unknown_name",
    "within_reach",
]
