"""Owns the verb decode: what a protocol decoder sees in a capture file, as JSON Lines or as text for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from recloser.cli.options import example
from recloser.cli.output import stdout, write_line
from recloser.connectors import PROTOCOLS, decode_file, plain

SKIPPED = {"packet", "error", "config", "pmus"}


@click.command("decode", epilog=example("recloser decode c37118 substation.pcapng --json"))
@click.argument("protocol", type=click.Choice(PROTOCOLS))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    help="Of iec104, dnp3, modbus: a further port that speaks it; repeat.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object a frame or information object.")
def decode(protocol: str, file: Path, ports: tuple[int, ...], as_json: bool) -> None:
    """Decode a capture file (pcap or pcapng) and print what the decoder sees, in capture order.

    A malformed frame is a row with an error and never ends the decoding.
    """
    rows = decode_file(protocol, file, ports)
    out = stdout()
    try:
        if as_json:
            for row in rows:
                out.write(_json(row) + "\n")
            out.flush()
        else:
            for line in _lines(rows):
                write_line(out, line)
    except BrokenPipeError:
        raise click.exceptions.Exit(0) from None  # the reader has seen enough


def _json(row: dict[str, Any]) -> str:
    try:
        return json.dumps(row, allow_nan=False, separators=(",", ":"))
    except ValueError:  # a number that is not finite
        return json.dumps(plain(row), allow_nan=False, separators=(",", ":"))


def _lines(rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    counts: Counter[str] = Counter()
    errors = 0
    for row in rows:
        errors += "error" in row
        counts[str(row.get("type") or row.get("format") or row.get("function") or "row")] += 1
        yield f"{row['packet']:>8}  " + "  ".join(_words(plain(row)))
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing of this protocol"
    yield f"{sum(counts.values())} rows ({summary}); {errors} with an error"


def _words(row: dict[str, Any]) -> Iterable[str]:
    """Yield the words of a row for people: names with plain values, PMUs in short, the error last."""
    for name, value in row.items():
        if name not in SKIPPED and value is not None:
            yield f"{name}={json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"
    for pmu in row.get("pmus", ()):
        phasors = " ".join(
            f"{p['name']}={_number(p['magnitude'])}{p['unit']}/{_number(p['angle_deg'])}deg" for p in pmu["phasors"]
        )
        yield f"[{pmu['station']} stat=0x{pmu['stat']:04x} {_number(pmu['frequency_hz'])}Hz {phasors}]"
    if "config" in row:
        yield "stations=" + ",".join(pmu["station"] for pmu in row["config"]["pmus"])
    if row.get("error"):
        yield f"ERROR {row['error']}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


VERBS = (decode,)
