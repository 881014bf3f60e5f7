"""Owns what may go wrong with a simulated device, and when. Does nothing itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recloser.core import InvalidInput, unknown_name

FAULT_KINDS: dict[str, str] = {
    "drop": "connections are closed, and new ones too",
    "silent": "connections stay open and nothing is said",
    "stuck": "numbers stay what they were",
    "thousand": "numbers are a thousand times too large",
    "spike": "numbers are three times what they are",
    "invalid": "the device says that its values are invalid",
    "clock": "time stamps are an hour late",
    "damage": "one byte of what is sent is wrong",
}
"""Kind of fault -> what happens while it lasts."""
_FORM = re.compile(r"([a-z]+)@(\d+(?:\.\d+)?)\+(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """A fault of a kind, from `start_s` seconds after the device's start on, for `length_s`."""

    kind: str
    start_s: float
    length_s: float

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise unknown_name("fault", self.kind, FAULT_KINDS, where="--fault")

    def active(self, elapsed_s: float) -> bool:
        """Return whether it lasts so many seconds after the start."""
        return self.start_s <= elapsed_s < self.start_s + self.length_s


def parse_fault(text: str) -> DeviceFault:
    """Return the fault that a text such as 'drop@30+10' names: kind, start and length in seconds.

    Raises:
        InvalidInput: another form, or an unknown kind.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidInput(
            "not a fault", got=text, expected="KIND@START+LENGTH in seconds such as drop@30+10", where="--fault"
        )
    return DeviceFault(found[1], float(found[2]), float(found[3]))
