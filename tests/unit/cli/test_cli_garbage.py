"""A command looks rarely for garbage; what it does is in the sizing benchmark."""

from __future__ import annotations

import gc
import io

from recloser.app.processes.garbage import THRESHOLDS
from recloser.cli.main import main


def test_a_command_looks_rarely_for_garbage():
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        assert main(["--version"], io.StringIO()) == 0
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
