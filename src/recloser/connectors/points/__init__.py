"""Owns what all SCADA and PMU sources give: one record, one quality vocabulary, the registry of a device's points."""

from recloser.connectors.points.addresses import PROTOCOLS, REGISTERS
from recloser.connectors.points.block import (
    BlockHead,
    ReadingBlock,
    ReadingRun,
    Readings,
    gathered,
    merged,
    parts_of,
    run_of,
)
from recloser.connectors.points.importing import import_sheet
from recloser.connectors.points.mapping import (
    c37118_quality,
    dnp3_quality,
    iec104_quality,
    opcua_overflowed,
    opcua_quality,
    sttp_quality,
)
from recloser.connectors.points.measured import Measured, measured, source_time
from recloser.connectors.points.quality import PointQuality, has_any, sample_quality, worded
from recloser.connectors.points.reading import Missed, PointReading, nanoseconds
from recloser.connectors.points.registry import ROLES, Point, PointRegistry, read_registry, registry_text

__all__ = [
    "PROTOCOLS",
    "REGISTERS",
    "ROLES",
    "BlockHead",
    "Measured",
    "Missed",
    "Point",
    "PointQuality",
    "PointReading",
    "PointRegistry",
    "ReadingBlock",
    "ReadingRun",
    "Readings",
    "c37118_quality",
    "dnp3_quality",
    "gathered",
    "has_any",
    "iec104_quality",
    "import_sheet",
    "measured",
    "merged",
    "nanoseconds",
    "opcua_overflowed",
    "opcua_quality",
    "parts_of",
    "read_registry",
    "registry_text",
    "run_of",
    "sample_quality",
    "source_time",
    "sttp_quality",
    "worded",
]
