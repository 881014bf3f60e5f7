"""A process that appends batches to a store, each of an area of its own and one sample that all writers share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

_WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from recloser.core import Sample, sample_frame
from recloser.store import Store
{opening}
area, batches, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
t0 = datetime(2020, 1, 1, tzinfo=UTC)


def sample(area, hour, value):
    return Sample(area, "load_mw", t0 + timedelta(hours=hour), t0 + timedelta(hours=hour + 1), value)


print("ready", flush=True)
sys.stdin.readline()
for number in range(batches):
    rows = [sample(area, number * size + i, float(i)) for i in range(size)]
    store.append(sample_frame([*rows, sample("shared", number, float(number))]), f"writer:{{area}}", number)
    print(number, flush=True)
{after}
"""


def begun(
    opening: str, arguments: Sequence[str], area: str, batches: int, size: int, after: str = ""
) -> subprocess.Popen[str]:
    """Return a writer that waits for `go`; it prints the number of each batch that is in the store.

    Args:
        opening: code that makes `store`; `sys.argv[4:]` are its arguments.
        arguments: those.
        area: it writes about.
        batches: how many.
        size: samples of each, the shared one not counted.
        after: code after each batch, indented.
    """
    code = _WRITER.format(opening=opening, after=after)
    command = [sys.executable, "-c", code, area, str(batches), str(size), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    """Let a writer begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
