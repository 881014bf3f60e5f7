"""Owns the JSON rows of decoded C37.118 frames (docs/contract.md). Does not own their meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recloser.connectors.c37118.configuration import Configuration, PmuConfiguration
from recloser.connectors.c37118.data import DataFrame, forms
from recloser.connectors.c37118.observer import Observation, Observer
from recloser.connectors.capture import Chunk, Ended, Event

Row = dict[str, Any]
COMMANDS = {
    1: "turn off transmission of data frames",
    2: "turn on transmission of data frames",
    3: "send HEADER frame",
    4: "send CFG-1 frame",
    5: "send CFG-2 frame",
    6: "send CFG-3 frame",
    8: "extended frame",
}


class C37118Rows:
    """Turns the events of a capture into rows, one a frame."""

    def __init__(self) -> None:
        self._observer = Observer()

    def add(self, event: Event) -> Iterator[Row]:
        """Yield the rows of the frames that this event completes."""
        if isinstance(event, Chunk | Ended):
            for observation in self._observer.add(event):
                yield row_of(observation)

    def pending(self) -> int | None:
        """Return the earliest packet that a row told later may name."""
        return self._observer.pending()

    def finish(self) -> Iterator[Row]:
        """Yield the rows of frames that the capture ends in."""
        for observation in self._observer.finish():
            yield row_of(observation)


def row_of(observation: Observation) -> Row:
    """Return the row of one frame."""
    row: Row = {"packet": observation.packet}
    envelope = observation.envelope
    if envelope is not None:
        row |= {
            "type": envelope.type.name,
            "version": envelope.version,
            "idcode": envelope.idcode,
            "size": envelope.size,
            "soc": envelope.soc,
            "fracsec": envelope.fracsec,
            "time_quality": envelope.time_quality,
            "leap_second": {
                "pending": envelope.leap_pending,
                "occurred": envelope.leap_occurred,
                "delete": envelope.leap_delete,
            },
            "t_ns": observation.t_ns,
            "crc_ok": observation.crc_ok,
        }
    if observation.data is not None:
        row["pmus"] = _pmus(observation.data)
    if observation.configuration is not None:
        row["config"] = _config(observation.configuration)
    if observation.header is not None:
        row["header"] = observation.header
    if observation.command is not None:
        row["command"] = observation.command
        row["meaning"] = COMMANDS.get(observation.command, "user defined or unknown")
        row |= {"extended": observation.extended.hex()} if observation.extended else {}
    if observation.error is not None:
        row["error"] = observation.error
    return row


def _pmus(data: DataFrame) -> list[Row]:
    pmus, phasor, analog, digital = [], 0, 0, 0
    for index, pmu in enumerate(data.layout.configuration.pmus):
        numbers = data.phasors[2 * phasor : 2 * (phasor + len(pmu.phasors))]
        analogs = slice(analog, analog + len(pmu.analogs))
        scaled, raw = data.analogs[analogs], data.raw_analogs[analogs]
        pmus.append(
            {
                "station": pmu.station,
                "idcode": pmu.idcode,
                "stat": data.stats[index],
                "phasors": _phasors(pmu, numbers),
                "frequency_hz": data.frequencies[2 * index],
                "rocof_hz_s": data.frequencies[2 * index + 1],
                "analogs": [
                    {"name": channel.name, "raw": raw[place], "scaled": scaled[place]}
                    for place, channel in enumerate(pmu.analogs)
                ],
                "digitals": list(data.digitals[digital : digital + len(pmu.digitals)]),
            }
        )
        phasor, analog, digital = phasor + len(pmu.phasors), analog + len(pmu.analogs), digital + len(pmu.digitals)
    return pmus


def _phasors(pmu: PmuConfiguration, numbers: tuple[float, ...]) -> list[Row]:
    rows = []
    for place, channel in enumerate(pmu.phasors):
        turn = 0.0 if pmu.phasors_float else channel.angle_offset_rad
        re, im, magnitude, angle = forms(numbers[2 * place], numbers[2 * place + 1], polar=pmu.polar, turn_rad=turn)
        row = {"name": channel.name, "unit": channel.unit, "re": re, "im": im}
        rows.append(row | {"magnitude": magnitude, "angle_deg": angle})
    return rows


def _config(configuration: Configuration) -> Row:
    return {
        "kind": configuration.kind,
        "time_base": configuration.time_base,
        "rate": configuration.rate,
        "data_size": configuration.data_size,
        "pmus": [_pmu(pmu) for pmu in configuration.pmus],
    }


def _pmu(pmu: PmuConfiguration) -> Row:
    row: Row = {
        "station": pmu.station,
        "idcode": pmu.idcode,
        "format": pmu.format,
        "notation": "polar" if pmu.polar else "rectangular",
        "phasor_format": "float" if pmu.phasors_float else "int",
        "analog_format": "float" if pmu.analogs_float else "int",
        "frequency_format": "float" if pmu.frequency_float else "int",
        "nominal_hz": pmu.nominal_hz,
        "change_count": pmu.change_count,
        "phasors": [
            {"name": c.name, "unit": c.unit, "scale": c.scale, "angle_offset_rad": c.angle_offset_rad}
            for c in pmu.phasors
        ],
        "analogs": [{"name": c.name, "scale": c.scale, "offset": c.offset, "kind": c.kind} for c in pmu.analogs],
        "digitals": [{"names": list(c.names), "normal": c.normal, "valid": c.valid} for c in pmu.digitals],
    }
    place = pmu.location
    if place is not None:
        row["location"] = {
            "global_id": place.global_id,
            "latitude_deg": place.latitude_deg,
            "longitude_deg": place.longitude_deg,
            "elevation_m": place.elevation_m,
            "service_class": place.service_class,
            "window_us": place.window_us,
            "group_delay_us": place.group_delay_us,
        }
    return row
