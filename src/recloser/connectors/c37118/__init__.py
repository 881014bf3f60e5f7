"""Owns IEEE C37.118.2 (versions 1 and 2): frames, configurations, data, one at a time and many at once.

Layers: envelope and check word (`frame`), finding frames (`framer`), meaning (`reading`, `data`, `batch`), following
conversations (`observer`). Does not own sockets.
"""

from recloser.connectors.c37118.batches.batch import DataBatch, begins_frame, leading_frames, read_batch
from recloser.connectors.c37118.batches.concentrator import Aligned, Concentrator, StreamTally, Waits
from recloser.connectors.c37118.configuration import (
    AnalogChannel,
    Configuration,
    DigitalWord,
    Location,
    PhasorChannel,
    PmuConfiguration,
)
from recloser.connectors.c37118.data import DataFrame, forms, read_data
from recloser.connectors.c37118.encoding import command_frame, configuration_frames, data_frame, header_frame
from recloser.connectors.c37118.frame import Envelope, FrameType, crc_ok, plausible, read_envelope, seal
from recloser.connectors.c37118.framer import Found, StreamFramer, frames_in_datagram
from recloser.connectors.c37118.layout import Layout, layout_of
from recloser.connectors.c37118.observer import Observation, Observer
from recloser.connectors.c37118.reading import PieceCollector, read_configuration
from recloser.connectors.c37118.rows import C37118Rows
from recloser.connectors.stamps import StampWatch

__all__ = [
    "Aligned",
    "AnalogChannel",
    "C37118Rows",
    "Concentrator",
    "Configuration",
    "DataBatch",
    "DataFrame",
    "DigitalWord",
    "Envelope",
    "Found",
    "FrameType",
    "Layout",
    "Location",
    "Observation",
    "Observer",
    "PhasorChannel",
    "PieceCollector",
    "PmuConfiguration",
    "StampWatch",
    "StreamFramer",
    "StreamTally",
    "Waits",
    "begins_frame",
    "command_frame",
    "configuration_frames",
    "crc_ok",
    "data_frame",
    "forms",
    "frames_in_datagram",
    "header_frame",
    "layout_of",
    "leading_frames",
    "plausible",
    "read_batch",
    "read_configuration",
    "read_data",
    "read_envelope",
    "seal",
]
