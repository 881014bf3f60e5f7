"""Owns simulated devices on real sockets: what the simulated grid measures, said in a protocol, faults on demand.

Does not own decoding (connectors), files, or the clock: the present is told by whoever starts a device.
"""

from recloser.simulation.devices.dnp3_outstation import Dnp3Outstation
from recloser.simulation.devices.fault import FAULT_KINDS, DeviceFault, parse_fault
from recloser.simulation.devices.feed import DeviceFeed, Feed, Moment, Now
from recloser.simulation.devices.iec104_station import Iec104Station
from recloser.simulation.devices.modbus_server import ModbusServer
from recloser.simulation.devices.pmu.grid_waves import GridWaveFeed, parse_grid_event
from recloser.simulation.devices.pmu.server import PmuServer, WaveFeed
from recloser.simulation.devices.serving import Device, Opened
from recloser.simulation.devices.sttp_publisher import SttpPublisher

__all__ = [
    "FAULT_KINDS",
    "Device",
    "DeviceFault",
    "DeviceFeed",
    "Dnp3Outstation",
    "Feed",
    "GridWaveFeed",
    "Iec104Station",
    "ModbusServer",
    "Moment",
    "Now",
    "Opened",
    "PmuServer",
    "SttpPublisher",
    "WaveFeed",
    "parse_fault",
    "parse_grid_event",
]
