"""A publisher of sttpapi as a program: numbers each frame it publishes, until it is killed. Needs sttpapi.

Words: PORT FRAMES_PER_SECOND [FIRST]. Says "ready" once it listens, then each number after it was published; a line
on its input is a word to do: "leave N" (N frames are not published), "change" (its metadata are defined anew).
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import numpy as np
import sttp
from sttp.data.dataset import DataSet
from sttp.publisher import Publisher
from sttp.ticks import Ticks
from sttp.transport.constants import StateFlags
from sttp.transport.measurement import Measurement

DEVICE = """<DeviceDetail>
<UniqueID>c9650400-d17c-41df-b974-83a6662afab6</UniqueID><IsConcentrator>false</IsConcentrator>
<Acronym>SHELBY</Acronym><Name>Shelby</Name><AccessID>2</AccessID><ProtocolName>IEEE C37.118.2-2011</ProtocolName>
<FramesPerSecond>{rate}</FramesPerSecond><CompanyAcronym>TVA</CompanyAcronym><Longitude>-89.8</Longitude>
<Latitude>35.4</Latitude><Enabled>true</Enabled><UpdatedOn>2026-01-04T03:00:52.73-05:00</UpdatedOn></DeviceDetail>"""
SIGNAL = """<MeasurementDetail>
<DeviceAcronym>SHELBY</DeviceAcronym><ID>SHELBY:{number}</ID><SignalID>{identity}</SignalID>
<PointTag>{tag}</PointTag><SignalReference>{tag}</SignalReference><SignalAcronym>{kind}</SignalAcronym>
<Description>{tag} of Shelby</Description><Internal>true</Internal><Enabled>true</Enabled>
<UpdatedOn>2026-01-04T03:00:52.77-05:00</UpdatedOn></MeasurementDetail>"""
SIGNALS = (
    ("83673c68-d59d-4926-b7e9-e7678f9f66b4", "SHELBY_FREQ", "FREQ"),
    ("83673c68-d59d-4926-b7e9-e7678f9f66b5", "SHELBY_VPHM", "VPHM"),
    ("83673c68-d59d-4926-b7e9-e7678f9f66b6", "SHELBY_MW", "CALC"),
)


def metadata(rate: int) -> DataSet:
    """Return the metadata of one device with three signals."""
    template = (Path(sttp.__file__).parent / "MetadataTemplate.xml").read_text(encoding="utf-8")
    rows = DEVICE.format(rate=rate) + "".join(
        SIGNAL.format(number=number, identity=identity, tag=tag, kind=kind)
        for number, (identity, tag, kind) in enumerate(SIGNALS, 1)
    )
    found, error = DataSet.from_xml(template.replace("<SchemaVersion>", rows + "<SchemaVersion>"))
    assert error is None, error
    return found


def say(word: str) -> None:
    """Tell the test a word."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Publish until killed."""
    port, rate = int(sys.argv[1]), int(sys.argv[2])
    number = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    publisher, known = Publisher(), metadata(rate)
    publisher.statusmessage_logger = publisher.errormessage_logger = lambda _message: None
    publisher.define_metadata(known)
    error = publisher.start(port)
    assert error is None, error
    words: list[str] = []
    threading.Thread(target=lambda: words.extend(sys.stdin), daemon=True).start()
    identities = [UUID(identity) for identity, _, _ in SIGNALS]
    say("ready")
    begun_ticks, step = int(time.time()) * 10_000_000 + int(Ticks.UNIXBASEOFFSET), 10_000_000 // rate
    frame = leave = 0
    while True:
        frame += 1
        if words:
            word, *rest = words.pop(0).split()
            if word == "leave":
                leave = int(rest[0])
            elif word == "change":
                publisher.define_metadata(known)
        if leave:
            leave -= 1
        else:
            number += 1
            told = ((50.0, StateFlags.NORMAL), (float(number), StateFlags.SUSPECTDATA), (np.nan, StateFlags.BADTIME))
            publisher.publish_measurements(
                [
                    Measurement(identity, np.float64(value), np.int64(begun_ticks + frame * step), np.uint32(flags))
                    for identity, (value, flags) in zip(identities, told, strict=True)
                ]
            )
            say(str(number))
        time.sleep(1 / rate)


if __name__ == "__main__":
    main()
