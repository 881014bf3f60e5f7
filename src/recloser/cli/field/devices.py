"""Owns the verb about simulated devices: simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app.links.simulating import PROTOCOLS, DeviceOptions, run_device
from recloser.cli.options import example, json_option
from recloser.cli.output import emit, say
from recloser.simulation.devices import parse_fault, parse_grid_event


@click.command("simulate", epilog=example("recloser simulate iec104 --port 2404 --points-out points/rtu7.csv"))
@click.argument("protocol", type=click.Choice(PROTOCOLS))
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; mqtt, sparkplug: of the broker."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port, 0 for any free one (default: the protocol's registered one)."
)
@click.option(
    "--feeders", type=click.IntRange(1, 400), default=6, show_default=True, help="Feeders, or PMUs of the stream."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated grid.")
@click.option(
    "--rate",
    type=click.FloatRange(0.01, 120),
    help="Values of a point a second (default 1); c37118: frames a second (default 50).",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, 100_000, min_open=True),
    default=1.0,
    show_default=True,
    help="Simulated seconds a second; time stamps stay those of the clock.",
)
@click.option("--fault", "faults", multiple=True, metavar="KIND@START+LENGTH", help="Such as drop@30+10; repeat.")
@click.option("--ambient", is_flag=True, help="Of c37118: PMUs swing as a grid at rest does.")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="KIND@SECONDS",
    help="Of c37118: an event of that grid, such as islanding@60; repeat.",
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so long.")
@click.option(
    "--points-out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the registry of points by which it can be read.",
)
@click.option(
    "--transport",
    type=click.Choice(["tcp", "udp", "mixed", "listen"]),
    default="tcp",
    show_default=True,
    help="Of c37118; listen: datagrams to --host and --port, unasked.",
)
@click.option("--data-port", type=click.IntRange(0, 65535), default=0, help="Of c37118 mixed: the receiver's.")
@json_option
def simulate(protocol: str, as_json: bool, **device: Any) -> int:
    """Run a simulated device on a real socket: the simulated grid's loads, or PMUs; faults on demand."""
    device["rate"] = device["rate"] or (50.0 if protocol == "c37118" else 1.0)
    device["faults"] = tuple(map(parse_fault, device["faults"]))
    device["events"] = tuple(map(parse_grid_event, device["events"]))
    options = DeviceOptions(protocol=protocol, points=device.pop("points_out"), **device)
    run_device(options, say, lambda facts: emit(facts, as_json=True, text=str) if as_json else None)
    return 0


VERBS = (simulate,)
