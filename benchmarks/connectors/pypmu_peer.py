"""Times pyPMU (PyPI `synchrophasor`) on frames from stdin; run with a Python that has it. Not part of the product.

Patched at run time: `collections.Sequence` is gone since Python 3.10. Prints microseconds of CPU per frame.
"""

from __future__ import annotations

import collections
import collections.abc
import sys
import time

collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
from synchrophasor.frame import ConfigFrame2, DataFrame  # noqa: E402

lines = [bytes.fromhex(line) for line in sys.stdin.read().split()]
configuration = ConfigFrame2.convert2frame(lines[0])
frames = lines[1:]
for _ in range(2):
    started = time.process_time()
    for frame in frames:
        DataFrame.convert2frame(frame, configuration)
    spent = time.process_time() - started
print(spent / len(frames) * 1e6)
