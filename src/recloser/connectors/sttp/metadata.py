"""Owns what a publisher's metadata say of its signals: tag, description, device, frames a second. No I/O.

Source: IEEE 2664-2024, clause 7: the tables MeasurementDetail and DeviceDetail as XML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID
from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal as the publisher describes it.

    Attributes:
        identity: its UUID, for ever the same.
        tag: the point tag, unique at the publisher.
        reference: signal reference, such as SHELBY-PM2.
        description: for people.
        device: acronym of its device; '' for none.
        kind: such as FREQ, VPHM, IPHA.
        frames_per_second: of its device; 0 where nothing is said.
        enabled: whether it is in service.
    """

    identity: UUID
    tag: str
    reference: str = ""
    description: str = ""
    device: str = ""
    kind: str = ""
    frames_per_second: int = 0
    enabled: bool = True


def read_metadata(data: bytes) -> list[Signal]:
    """Return the signals of metadata, unpacked XML; rows without a UUID are passed over.

    Raises:
        ValueError: not XML in UTF-8, or XML that declares a document type (entities may blow up).
    """
    text = data.decode("utf-8-sig")
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise ValueError("metadata that declare a document type")
    try:
        root = ET.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))  # noqa: S314 - no entity can be declared
    except ET.ParseError as error:
        raise ValueError(f"metadata that are no XML: {error}") from error
    rates: dict[str, int] = {}
    rows: list[dict[str, str]] = []
    for element in root:
        kind = element.tag.rpartition("}")[2]
        cells = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in element}
        if kind == "DeviceDetail":
            rates[cells.get("Acronym", "")] = _whole(cells.get("FramesPerSecond", ""))
        elif kind == "MeasurementDetail":
            rows.append(cells)
    return [signal for row in rows if (signal := _signal(row, rates)) is not None]


def _signal(cells: dict[str, str], rates: dict[str, int]) -> Signal | None:
    try:
        identity = UUID(cells.get("SignalID", ""))
    except ValueError:
        return None
    device = cells.get("DeviceAcronym", "")
    return Signal(
        identity,
        cells.get("PointTag", ""),
        cells.get("SignalReference", ""),
        cells.get("Description", ""),
        device,
        cells.get("SignalAcronym", ""),
        rates.get(device, 0) if device else 0,
        cells.get("Enabled", "true").lower() not in {"false", "0"},
    )


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,6}", text) else 0
