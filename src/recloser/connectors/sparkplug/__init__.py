"""Owns Sparkplug B messages: topics and payloads. Does not own what a host makes of them, brokers or connections.

Source: Eclipse Sparkplug 3.0.0, chapters 4 (topics) and 6 (payloads).
"""

from recloser.connectors.sparkplug.payload import (
    BD_SEQ,
    REBIRTH,
    DataType,
    Metric,
    Payload,
    payload_bytes,
    read_payload,
    rebirth_request,
)
from recloser.connectors.sparkplug.topic import Kind, Topic, read_topic, state_topic, wanted_topics

__all__ = [
    "BD_SEQ",
    "REBIRTH",
    "DataType",
    "Kind",
    "Metric",
    "Payload",
    "Topic",
    "payload_bytes",
    "read_payload",
    "read_topic",
    "rebirth_request",
    "state_topic",
    "wanted_topics",
]
