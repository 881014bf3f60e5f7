"""Writes answers until it is killed and tells each one that is durable; started by test_log_append."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import NOW, QUICK, decided
from recloser.core import VirtualClock
from recloser.serving.log import LogPolicy, PredictionLog


def main() -> None:
    folder, keep_on = Path(sys.argv[1]), len(sys.argv) > 2
    policy = LogPolicy(segment_bytes=4000 if keep_on else 10**7, pause_s=QUICK.pause_s)
    log = PredictionLog(folder, policy, VirtualClock(NOW))
    base = os.getpid() * 100_000 if keep_on else 0
    number = 0
    while keep_on or number < 20:
        number += 1
        sequence = log.append(decided(base + number)._replace(made_at=NOW))
        if (not keep_on or number % 5 == 0) and log.wait(sequence or 0, 10.0):
            sys.stdout.write(json.dumps(f"r{base + number}") + "\n")
            sys.stdout.flush()
    sys.stdin.read()


main()
