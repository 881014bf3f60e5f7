"""Owns letting a replay's loads come over a real socket: simulated station, link, spool. Judges nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from recloser.connectors.live import Endpoint, Iec104Client, Iec104Timing, Link, LinkEvent
from recloser.connectors.points import Readings, nanoseconds
from recloser.connectors.spool import Batch, Forwarder, Record, Spool, SpoolPolicy
from recloser.core import LOAD, TIME, Clock, Unavailable
from recloser.simulation.devices import Iec104Station, Moment

AHEAD, PATIENCE_S = 5_000, 60.0  # units that wait at the station; seconds without progress that end it
WINDOW = 512  # units in flight: a device far faster than real ones
STORED_AT_ONCE = 5_000  # records of the spool


class _Silence:
    """A device that measures nothing of its own: it tells what it is given."""

    def __init__(self, areas: tuple[str, ...]) -> None:
        self.areas = areas

    def now(self) -> Moment:
        return Moment((), 0)


class _Arrivals:
    """A link's output, and the sink of its spool: what arrived, by area and time."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._done: dict[str, int] = {}
        self.areas: list[str] = []
        self.at_us: list[int] = []
        self.numbers: list[float | None] = []

    def accept(self, readings: Readings) -> int:
        return self._spool.accept(readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        return self._spool.tell_gap(source, start_ns, end_ns, reason)

    def tell_link(self, event: LinkEvent) -> None:
        self._spool.tell_link(event.source, event.state.value, event.at_ns, event.reason)

    def committed(self, stream: str) -> int:
        return self._done.get(stream, 0)

    def store(self, stream: str, records: Sequence[Record]) -> None:
        for record in records:
            for reading in record.readings if isinstance(record, Batch) else ():
                if reading.usable and reading.source_ns is not None:
                    self.areas.append(reading.point.removesuffix("_P"))
                    self.at_us.append(reading.source_ns // 1_000)
                    self.numbers.append(reading.number)
        self._done[stream] = records[-1].sequence


def over_a_socket(frame: pl.DataFrame, folder: Path, clock: Clock, say: Callable[[str], None]) -> pl.DataFrame:
    """Return the samples with each load as it arrived over IEC 104 on the loopback, as fast as it goes.

    A station tells every load as a spontaneous value with the time of its interval; a link reads, its spool keeps.
    The numbers are then those of short floating point (24 bits).

    Args:
        frame: core.SAMPLE_SCHEMA.
        folder: of the spool.
        clock: tells the time of arrival.
        say: told of the outcome.

    Raises:
        Unavailable: not every load arrived.
    """
    loads = frame.filter((pl.col("quantity") == LOAD) & pl.col("value").is_not_null())
    wide = loads.pivot(on="area", index="at", values="value").sort("at")
    begun = time.monotonic()
    arrived = asyncio.run(_carry(wide, folder, clock))
    key = ["area", "at"]
    if arrived.height != loads.height or arrived.select(key).is_duplicated().any():
        raise Unavailable("not every load arrived once", got=arrived.height, expected=str(loads.height))
    say(f"{arrived.height} loads came over IEC 104 in {time.monotonic() - begun:.0f} s, each once")
    told = frame.join(arrived, on=key, how="left", maintain_order="left")
    use = (pl.col("quantity") == LOAD) & pl.col("arrived").is_not_null()
    return told.with_columns(value=pl.when(use).then("arrived").otherwise("value")).select(frame.columns)


async def _carry(wide: pl.DataFrame, folder: Path, clock: Clock) -> pl.DataFrame:
    areas = tuple(name for name in wide.columns if name != "at")
    station = Iec104Station(_Silence(areas), period_s=None, window=WINDOW)
    spool = Spool(folder, SpoolPolicy(), clock, time.monotonic)
    arrivals = _Arrivals(spool)
    forwarder = Forwarder(spool, arrivals)
    async with await station.open("127.0.0.1", 0) as opened:
        endpoint, timing = (
            Endpoint("127.0.0.1", opened.port),
            Iec104Timing(acknowledge_s=0.2, unacknowledged=WINDOW // 2),
        )
        client = Iec104Client("demo", endpoint, station.registry, clock, timing)
        task = asyncio.create_task(Link("demo", client, arrivals, clock).run())
        try:
            for at, *numbers in wide.iter_rows():
                station.tell(Moment(tuple(numbers), nanoseconds(at)))
                if station.waiting > AHEAD:
                    await _until(station, AHEAD // 2)
                    forwarder.step(STORED_AT_ONCE)
            await _until(station, 0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    while forwarder.step(STORED_AT_ONCE):
        pass
    spool.close()
    at = pl.Series("at", arrivals.at_us, dtype=pl.Int64).cast(TIME)
    return pl.DataFrame(
        {"area": arrivals.areas, "at": at, "arrived": arrivals.numbers},
        schema_overrides={"area": pl.String, "arrived": pl.Float64},
    )


async def _until(station: Iec104Station, left: int) -> None:
    """Wait until no more than so many units are unacknowledged.

    Raises:
        Unavailable: nothing was acknowledged for a minute.
    """
    latest, since = station.waiting, time.monotonic()
    while station.waiting > left:
        await asyncio.sleep(0.01)
        if station.waiting < latest:
            latest, since = station.waiting, time.monotonic()
        if time.monotonic() - since > PATIENCE_S:
            raise Unavailable("the link takes nothing any more", got=f"{station.waiting} units wait")
